"""Scenarios: what goes wrong, and when, as a small text. A pure parser, and the moments it leads to.

    # a bad morning                           one step a line; # begins a comment, empty lines are fine
    at 5s cut
    at 10s away for 3s                        `for`: the step ends by itself
    at 12s mute                               without it, it lasts until its end is called
    at 16s end mute
    every 30s duplicate 50                    at 30 s, 60 s, …
    at 1m every 10s until 3m stop-pushes HK.00700,HK.00005
    every 2s random seed 7 from cut | away for 2s | mute for 1s

Times count from the first tick, in seconds of wall time: `5s`, `500ms`, `2m`, `1h`. `random` performs one of its steps
each time, at an interval between half and one and a half of what `every` says; equal seeds choose equally. A line:

    [at TIME] [every TIME [until TIME]]  STEP
    [at TIME] every TIME [until TIME] random seed NUMBER from STEP | STEP …

STEPS names every step with its arguments. A step marked `lasts` may have `for TIME` and can be ended with `end NAME`
(`end all` ends everything); performed again while it lasts, it begins anew with its new arguments. The control socket
takes the same steps, without a time.
"""

from __future__ import annotations

import difflib
import heapq
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.simulator.encoding.notices import NOTICES, PROGRAMS, RIGHTS
from hk_tick_collector.simulator.encoding.odd_ticks import ODD_KINDS
from hk_tick_collector.simulator.exchange.listing import parse_symbols
from hk_tick_collector.simulator.gateway.conditions import EVERY_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Argument: TypeAlias = int | float | str | tuple[str, ...]

MESSAGES: Final = {
    "InitConnect": messages.INIT_CONNECT,
    "GetGlobalState": messages.GET_GLOBAL_STATE,
    "KeepAlive": messages.KEEP_ALIVE,
    "Sub": messages.SUB,
    "GetSubInfo": messages.GET_SUB_INFO,
    "GetBasicQot": messages.GET_BASIC_QOT,
    "GetTicker": messages.GET_TICKER,
    "GetStaticInfo": messages.GET_STATIC_INFO,
    "GetSecuritySnapshot": messages.GET_SECURITY_SNAPSHOT,
    "RequestTradeDate": messages.REQUEST_TRADE_DATE,
    "any": EVERY_MESSAGE,
}
MARKET_STATES: Final = {market.state_name(number): number for number in (0, 1, 2, 3, 4, 5, 6, 19)}
ALL: Final = "all"
_MAX_COUNT: Final = 10_000_000
_MAX_BYTES: Final = 10_000_000
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME: Final = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)


class _WrongError(Exception):
    """What is wrong with a line, before it is known which file it is in."""


class Step(NamedTuple):
    """One thing that happens: its name, its arguments as values, and for how long it lasts where told."""

    name: str
    arguments: tuple[Argument, ...] = ()
    for_s: float | None = None
    text: str = ""  # as it was written


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scenario: which steps (more than one: one of them by chance), and when, in seconds."""

    steps: tuple[Step, ...]
    at_s: float
    every_s: float | None = None
    until_s: float = float("inf")
    seed: int | None = None


class Moment(NamedTuple):
    """A step with its time, in seconds from the first tick."""

    at_s: float
    step: Step


def _time(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None or match[1]:
        raise _WrongError(f"{text!r} is no time, write it like 5s, 500ms or 2m")
    return float(match[2]) * _UNITS[match[3]]


def _shift(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None or not match[1]:
        raise _WrongError(f"{text!r} is no shift of a clock, write it like +3600s or -1h")
    return float(match[1] + match[2]) * _UNITS[match[3]]


def _number(text: str, most: int = _MAX_COUNT) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise _WrongError(f"{text!r} is no number from 1 to {most}")
    return int(text)


def _days(text: str) -> int:
    if not re.fullmatch(r"[+-]?[1-9]\d{0,3}", text, re.ASCII):
        raise _WrongError(f"{text!r} is no number of days, write it like -1 or +30")
    return int(text)


def _bytes(text: str) -> int:
    return _number(text, _MAX_BYTES)


def _symbols(text: str) -> tuple[str, ...]:
    try:
        return tuple(parse_symbols(text.split(",")))
    except UsageError as error:
        raise _WrongError(error.one_line()) from None


def _symbols_or_all(text: str) -> tuple[str, ...]:
    return () if text == ALL else _symbols(text)


def _one_of(words: Sequence[str], what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise _WrongError(f"{text!r} is no {what}, allowed are {', '.join(words)}")
        return text

    return read


def _kinds(text: str) -> tuple[str, ...]:
    read = _one_of(tuple(ODD_KINDS), "kind of odd tick")
    return tuple(read(word) for word in text.split(","))


_message = _one_of(tuple(MESSAGES), "message")


_Arguments: TypeAlias = "tuple[str, tuple[Callable[[str], Argument], ...], int]"


class Form(NamedTuple):
    """How a step is written: its arguments as words for people and as what reads them, `optional` the last ones."""

    says: str
    words: str = ""
    reads: tuple[Callable[[str], Argument], ...] = ()
    optional: int = 0
    lasts: bool = False


def _of_tickers(word: str = "", read: Callable[[str], Argument] | None = None) -> _Arguments:
    """Words, readers and optional ones of a step about GetTicker: of which symbols, what, and for how many answers."""
    words = " ".join(filter(None, ("SYMBOLS|all", word, "[NUMBER]")))
    return words, (_symbols_or_all, *((read,) if read else ()), _number), 1


STEPS: Final[dict[str, Form]] = {
    # connections
    "cut": Form("every connection ends at once"),
    "cut-mid-frame": Form("every connection ends in the middle of the next frame that it sends"),
    "cut-mid-burst": Form("every connection ends between two frames of the next burst"),
    "cut-during-backfill": Form("the next answer to GetTicker is cut off, and its connection with it"),
    "away": Form("OpenD is gone: nobody listens; the market goes on", lasts=True),
    "mute": Form("it reads and answers nothing, the connections stay", lasts=True),
    "half-open": Form("the connections that there are hear and say nothing any more, not even an end"),
    "trickle": Form("so many bytes a second leave each connection", "BYTES", (_bytes,), lasts=True),
    # subscriptions
    "stop-pushes": Form("subscriptions die silently", "SYMBOLS|all", (_symbols_or_all,), lasts=True),
    "lose-subscriptions": Form("the same, and GetSubInfo shows it", "SYMBOLS|all", (_symbols_or_all,)),
    "refuse": Form("symbols that OpenD claims not to know", "SYMBOLS", (_symbols,), lasts=True),
    "quota": Form("the account's quota of subscriptions", "NUMBER", (_number,), lasts=True),
    "no-first-push": Form("subscribing sends no cached tick", lasts=True),
    "window": Form("GetTicker reaches back so many ticks only", "ROWS", (_number,), lasts=True),
    # bytes that are no good
    "garbage": Form("random bytes", "BYTES", (_bytes,)),
    "bad-magic": Form("a frame that does not begin with FT"),
    "bad-sha1": Form("a frame whose body is another"),
    "huge-length": Form("a header that announces 4 GB"),
    "json-body": Form("a frame that says it is JSON"),
    "truncated-protobuf": Form("a whole frame whose body ends too early"),
    "unknown-ids": Form("frames of unknown kinds: a message, a reply that nobody asked for, a notice"),
    # requests
    "no-reply": Form(
        "the next requests of a kind get no answer", "MESSAGE [NUMBER]", (_message, _number), 1, lasts=True
    ),
    "slow-reply": Form("they get it later", "MESSAGE TIME [NUMBER]", (_message, _time, _number), 1, lasts=True),
    "fail-reply": Form("they are refused", "MESSAGE [NUMBER]", (_message, _number), 1, lasts=True),
    # answers to GetTicker; what they hide belongs to the truth
    "ticker-partial": Form("it gives the newest ROWS only", *_of_tickers("ROWS", _number), lasts=True),
    "ticker-sample": Form("it gives about half of the ticks, by chance", *_of_tickers(), lasts=True),
    "ticker-without-latest": Form("it lacks the ticks of the last TIME", *_of_tickers("TIME", _time), lasts=True),
    "ticker-unordered": Form("it gives them in an order by chance", *_of_tickers(), lasts=True),
    "ticker-doubled": Form("it gives each tick twice", *_of_tickers(), lasts=True),
    "ticker-empty": Form("it gives none", *_of_tickers(), lasts=True),
    "ticker-other-symbol": Form("it gives another symbol's ticks, and names that", *_of_tickers(), lasts=True),
    "ticker-refused": Form("it is refused", *_of_tickers(), lasts=True),
    "ticker-never": Form("it never comes", *_of_tickers(), lasts=True),
    "ticker-late": Form("it comes later", *_of_tickers("TIME", _time), lasts=True),
    # what OpenD tells of itself
    "notify": Form("a notice and nothing else", "KIND", (_one_of(tuple(NOTICES), "notice"),)),
    "kicked-out": Form("another login took the quotes: no pushes, no answers about quotes", lasts=True),
    "quote-link-lost": Form("OpenD lost its own servers; told when it is back, with a refill of 50", lasts=True),
    "quote-right": Form("the account's right to Hong Kong quotes", "RIGHT", (_one_of(RIGHTS, "right"),), lasts=True),
    "program": Form("OpenD waits for its operator", "STATE", (_one_of(PROGRAMS, "program state"),), lasts=True),
    "not-logged-in": Form("not logged in to the quote servers, without a notice", lasts=True),
    "clock": Form("the time that OpenD tells is wrong", "SHIFT", (_shift,), lasts=True),
    "market-state": Form(
        "the market is in another state than its hours say, and trades only in a trading one",
        "STATE",
        (_one_of(tuple(MARKET_STATES), "market state"),),
        lasts=True,
    ),
    # ticks
    "pause": Form("the exchange makes no ticks", lasts=True),
    "burst": Form("so many ticks at once", "NUMBER", (_number,)),
    "duplicate": Form("the latest ticks of each symbol are pushed again", "NUMBER", (_number,)),
    "out-of-order": Form("so many ticks at once, the last first", "NUMBER", (_number,)),
    "late": Form("ticks of the day before", "NUMBER", (_number,)),
    "late-report": Form(
        "a trade of each, whose time lies TIME before the second in its sequence",
        "SYMBOLS|all TIME",
        (_symbols_or_all, _time),
    ),
    "wrong-date": Form(
        "a trade of each, dated so many DAYS off, its sequence in order", "SYMBOLS|all DAYS", (_symbols_or_all, _days)
    ),
    "restart-sequence": Form(
        "counters of these begin anew at 1 with the next second", "SYMBOLS|all", (_symbols_or_all,)
    ),
    "bad-ticks": Form(f"one tick of each kind: {', '.join(ODD_KINDS)}", "KIND,KIND…", (_kinds,)),
    "end": Form("ends a step that lasts", "NAME|all", ()),  # its argument is checked against this very table
}


def parse_step(text: str) -> Step:
    """A step without a time, as the control socket takes it; UsageError says what is wrong with it."""
    try:
        return _step(text.split())
    except _WrongError as wrong:
        raise UsageError(str(wrong)) from None


def parse_scenario(text: str, name: str) -> list[Line]:
    """The lines of a scenario; UsageError names the first bad line as `name:number`."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            lines.append(_line(words))
        except _WrongError as wrong:
            raise UsageError(f"{name}:{number}: {wrong}") from None
    return lines


def moments(lines: Sequence[Line]) -> Iterator[Moment]:
    """What happens when, in order; without end where a line repeats for ever. Equal lines give equal moments."""
    heap: list[tuple[float, int, Step]] = []
    sources = [_moments_of(line) for line in lines]
    for place, source in enumerate(sources):
        _push_next(heap, place, source)
    while heap:
        at_s, place, step = heapq.heappop(heap)
        yield Moment(at_s, step)
        _push_next(heap, place, sources[place])


def _push_next(heap: list[tuple[float, int, Step]], place: int, source: Iterator[Moment]) -> None:
    for at_s, step in source:
        heapq.heappush(heap, (at_s, place, step))
        return


def _moments_of(line: Line) -> Iterator[Moment]:
    rng = random.Random(line.seed)
    at_s = line.at_s
    while at_s <= line.until_s:
        yield Moment(at_s, line.steps[0] if line.seed is None else rng.choice(line.steps))
        if line.every_s is None:
            return
        at_s += line.every_s if line.seed is None else line.every_s * rng.uniform(0.5, 1.5)


def _line(words: list[str]) -> Line:
    at_s = _prefix(words, "at")
    every_s = _prefix(words, "every")
    until_s = None if every_s is None else _prefix(words, "until")
    if every_s is None and at_s is None:
        raise _WrongError("a line begins with at TIME or every TIME")
    if every_s is not None and every_s <= 0:
        raise _WrongError("every needs a time above 0")
    begin_s = at_s if at_s is not None else every_s or 0.0
    end_s = float("inf") if until_s is None else until_s
    if words[:1] != ["random"]:
        return Line((_step(words),), begin_s, every_s, end_s)
    if every_s is None or words[1:2] != ["seed"] or words[3:4] != ["from"]:
        raise _WrongError("write every TIME random seed NUMBER from STEP | STEP")
    seed = _number(words[2])
    steps = [_step(part.split()) for part in " ".join(words[4:]).split("|")]
    return Line(tuple(steps), begin_s, every_s, end_s, seed)


def _prefix(words: list[str], name: str) -> float | None:
    """Takes `name TIME` off the front, where it is there."""
    if words[:1] != [name]:
        return None
    if len(words) < 2:
        raise _WrongError(f"{name} needs a time")
    value = _time(words[1])
    del words[:2]
    return value


def _step(words: list[str]) -> Step:
    if not words:
        raise _WrongError("a step is missing")
    name, *rest = words
    form = STEPS.get(name)
    if form is None:
        near = difflib.get_close_matches(name, STEPS, n=1)
        raise _WrongError(f"there is no step {name!r}, {f'perhaps {near[0]}' if near else f'allowed are {_names()}'}")
    if name == "end":
        return _end(rest)
    for_s = None
    if len(rest) >= 2 and rest[-2] == "for":
        if not form.lasts:
            raise _WrongError(f"{name} happens at once, it cannot last")
        for_s = _time(rest[-1])
        rest = rest[:-2]
    if not len(form.reads) - form.optional <= len(rest) <= len(form.reads):
        raise _WrongError(f"write {name} {form.words}".rstrip() + (" [for TIME]" if form.lasts else ""))
    arguments = tuple(read(word) for read, word in zip(form.reads, rest, strict=False))
    return Step(name, arguments, for_s, " ".join(words))


def _end(rest: list[str]) -> Step:
    lasting = [name for name, form in STEPS.items() if form.lasts]
    if len(rest) != 1 or rest[0] not in (ALL, *lasting):
        raise _WrongError(f"write end NAME, with one of {', '.join((ALL, *lasting))}")
    return Step("end", (rest[0],), None, f"end {rest[0]}")


def _names() -> str:
    return ", ".join(STEPS)
