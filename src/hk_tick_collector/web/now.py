"""The view *Now*: a Moment → the parts of the page, and its routes. The rendering does no I/O."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.routing import Route

from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.market_silence import budget_left_s, silence
from hk_tick_collector.ops.findings.ordering import worst
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, joined

from .feed import figures_of
from .history import FOLDS
from .live_file import Read
from .sparkline import Sparkline, sparkline

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from hk_tick_collector.ops.live.status import LiveStatus

    from .feed import Feed
    from .moment import Moment
    from .pages import Pages
    from .streams import Streams

PARTS: Final = ("verdict", "announce", "known", "opend", "busiest", "findings", "today", "details")
_LEAST: Final = frozenset({"disk"})  # of these the lowest value matters
_MB_PER_GB: Final = 1024


class Figure(NamedTuple):
    """One figure of the last hour, as text, with its picture."""

    name: str
    value: str  # of this second; empty if it is not known
    extreme: str  # the highest or lowest value of the hour
    picture: Sparkline
    why: str  # why the value is not known: a name of words.py


class Budget(NamedTuple):
    """The outage budget: seconds in all, seconds left (negative if it is used up), and whether it is running down."""

    all_s: int
    left_s: int
    runs: bool


class Shown(NamedTuple):
    """What the templates get."""

    moment: Moment
    severity: str
    meaning: Words  # of the first finding: it does not change while the finding lasts, so it is announced once
    explained: Words
    figures: list[Figure]
    pictures: dict[str, Sparkline]
    budget: Budget | None
    link_s: int | None  # for how long OpenD has been connected or away


def routes(pages: Pages, feed: Feed, streams: Streams) -> list[Route]:
    """The page, and its stream."""

    async def page(request: Request) -> Response:
        feed.look(time.monotonic())
        parts = feed.boards[pages.choice(request).lang].parts()
        return pages.page(request, "now.html", view="now", parts=parts)

    async def events(request: Request) -> Response:
        feed.look(time.monotonic())
        return streams.answer(feed.boards[pages.choice(request).lang].frames())

    return [Route("/", page), Route("/now/events", events)]


def renderer(pages: Pages) -> Callable[[str, Moment], dict[str, str]]:
    """The function that renders the parts of a Moment in a language."""

    def render(lang: str, moment: Moment) -> dict[str, str]:
        seen = shown(moment)
        values: dict[str, Any] = {**seen._asdict(), "live": moment.live}
        parts = {name: pages.text(f"now/{name}.html", lang, **values) for name in PARTS}
        for figure in seen.figures:
            parts[f"{figure.name}-value"] = pages.text("now/value.html", lang, figure=figure)
            parts[f"{figure.name}-picture"] = pages.text("now/picture.html", lang, figure=figure)
        return parts

    return render


def shown(moment: Moment) -> Shown:
    """What a Moment looks like; pure."""
    live = moment.live
    known = {} if moment.silent else figures_of(Read(live, None, 0.0), moment.now_ms)
    explained = silence(live, moment.now_ms) if live and not moment.silent else NO_WORDS
    if moment.examined and not moment.silent:
        explained = joined(explained, moment.examined.explained)
    as_of_ms = live.written_ms if live and moment.silent else moment.now_ms
    return Shown(
        moment=moment,
        severity=worst(moment.findings).name if moment.findings else Severity.OK.name,
        meaning=_meaning(moment),
        explained=explained,
        figures=[_figure(name, known.get(name), moment.hour[name], _why(name, moment)) for name in FOLDS],
        pictures={busy.symbol: sparkline(busy.steps) for busy in moment.busiest},
        budget=_budget(live, moment) if live else None,
        link_s=(as_of_ms - (live.link_since_ms or live.started_ms)) // 1000 if live else None,
    )


def _meaning(moment: Moment) -> Words:
    first = next(iter(moment.findings), None)
    spec = REGISTRY.spec(first.code) if first else None
    return spec.meaning if spec else NO_WORDS


def _why(name: str, moment: Moment) -> str:
    has_ticks = moment.live is not None and moment.live.newest_ts_ms is not None
    return "not_trading" if name == "lag" and has_ticks and not moment.silent else "unknown"


def _figure(name: str, value: float | None, hour: list[float | None], why: str) -> Figure:
    known = [each for each in hour if each is not None]
    extreme = (min if name in _LEAST else max)(known, default=None)
    # The present step changes every second: the picture shows complete ones, so that it is sent when it changes.
    picture = sparkline([None, *hour[:-1]])
    return Figure(name, as_text(name, value), as_text(name, extreme), picture, why)


def as_text(name: str, value: float | None) -> str:
    """A figure in its unit (`unit_NAME` of words.py); empty if it is not known."""
    if value is None:
        return ""
    if name == "disk":
        return f"{value / _MB_PER_GB:,.1f}"
    return f"{value:,.1f}" if name in ("lag", "commit") else f"{value:,.0f}"


def _budget(live: LiveStatus, moment: Moment) -> Budget | None:
    if live.outage_budget_s is None:
        return None
    all_s = int(live.outage_budget_s)
    if live.connected:
        return Budget(all_s, all_s, runs=False)
    left_s = budget_left_s(live, moment.now_ms)
    return None if left_s is None else Budget(all_s, int(left_s), runs=True)
