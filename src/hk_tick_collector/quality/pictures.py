"""The pictures of the page, as SVG: calendar, timeline, ticks by minute, delay, completeness by symbol. Pure.

Our own few shapes, no library: matplotlib and plotly are tens of megabytes and write hundreds of kilobytes a picture,
and pygal adds a script. Colours are classes of the page's style, so that a picture follows light and dark. A colour is
never alone: each verdict also has a mark, and each figure is in a tooltip or beside its shape.
"""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.ops.findings.words import Words

from .figures import at, delay, seconds
from .markup import Markup, element, joined
from .outages import sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .facts import DayFacts, SymbolFacts
    from .overall import Day
    from .scan import Scan

_CELL: Final = 26
_WIDE: Final = 960
_LEFT: Final = 130  # of the plot: the names of the lanes are before it
_RIGHT: Final = 12
_LANE: Final = 22
_PLOT: Final = 130  # the height of a plot
_MARKS: Final = {"OK": "", "WARNING": "!", "CRITICAL": "×", "UNKNOWN": "?"}
_WEEKDAYS: Final = Words("MTWTFSS", "一二三四五六日")
_HOUR_MS: Final = 3_600_000
_MOST_CAUSES: Final = 12  # lanes of the timeline


class _Axis(NamedTuple):
    """The time of a day from left to right."""

    from_ms: int
    to_ms: int

    def x(self, ts_ms: float) -> float:
        """The position of a time; a time outside the axis is at its end."""
        share = (ts_ms - self.from_ms) / (self.to_ms - self.from_ms)
        return _LEFT + min(1.0, max(0.0, share)) * (_WIDE - _LEFT - _RIGHT)


def calendars(days: Sequence[Day], lang: str, chosen: str) -> Markup:
    """A month for each month from the first day to the last one, each day with the colour and mark of its verdict.

    A weekday without a file is an empty frame: a holiday, or the collector did not run.
    """
    by_day = {day.facts.day: day for day in days}
    months = sorted({day[:6] for day in by_day})
    columns = 7 if any(not market.is_weekday(market.parse_day(day)) for day in by_day) else 5
    return joined(_month(month, by_day, lang, chosen, columns) for month in _through(months))


def _through(months: Sequence[str]) -> Iterator[str]:
    """Every month from the first to the last, at most ten years."""
    if not months:
        return
    year, month = int(months[0][:4]), int(months[0][4:])
    for _ in range(120):
        yield f"{year:04}{month:02}"
        if f"{year:04}{month:02}" >= months[-1]:
            return
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _month(month: str, days: dict[str, Day], lang: str, chosen: str, columns: int) -> Markup:
    first = market.parse_day(f"{month}01")
    before = market.day_date(first).weekday()
    names = sorted(days)
    cells: list[Markup] = [
        element("text", name, x=column * _CELL + _CELL / 2, y=14, class_="mid soft")
        for column, name in enumerate(_WEEKDAYS.of(lang)[:columns])
    ]
    number, rows = first, 0
    while (name := market.day_name(number))[:6] == month:
        row, column = divmod(before + number - first, 7)
        rows = row + 1
        day = days.get(name)
        if day or (column < 5 and names[0] <= name <= names[-1]):
            cells.append(_cell(name, day, column * _CELL, 20 + row * _CELL, name == chosen))
        number += 1
    width, height = columns * _CELL, 20 + rows * _CELL
    label = f"{month[:4]}-{month[4:]}"
    picture = element(
        "svg", *cells, viewBox=f"0 0 {width} {height}", width=width, height=height, role="img", aria_label=label
    )
    return element("figure", element("figcaption", label), picture, class_="month")


def _cell(name: str, day: Day | None, x: int, y: int, is_chosen: bool) -> Markup:
    verdict = day.judged.severity.name if day else ""
    parts: list[str | Markup] = []
    if day:
        parts.append(element("title", f"{name} {verdict} {day.judged.standing}"))
    shape = f"{verdict.lower() or 'none'}{' chosen' if is_chosen else ''}"
    parts.append(element("rect", x=x + 1, y=y + 1, width=_CELL - 2, height=_CELL - 2, rx=4, class_=shape))
    number = name[6:].lstrip("0")
    parts.append(element("text", number, x=x + _CELL / 2, y=y + 17, class_="mid on" if day else "mid faint"))
    if mark := _MARKS.get(verdict, ""):
        parts.append(element("text", mark, x=x + _CELL - 7, y=y + 10, class_="mid on mark"))
    return element("g", *parts)


def timeline(facts: DayFacts, lang: str) -> Markup:
    """When OpenD was connected and when not, and the gaps by cause: open ones filled, closed ones as a frame."""
    axis = _axis(facts)
    causes = list(dict.fromkeys(span.cause for span in sorted(facts.spans, key=lambda span: -span.missing)))
    causes = causes[:_MOST_CAUSES]
    lanes: list[Markup] = [_lane_name(0, "OpenD")]
    if facts.away:
        until_ms = max(facts.away.seen_ms or 0, facts.last_ts_ms or 0)
        lanes += [
            _bar(axis, 0, begin, min(end, until_ms), "connected", Words("connected", "已連線").of(lang))
            for begin, end in sessions(facts.day)
            if begin < until_ms
        ]
        lanes += [
            _bar(axis, 0, each.from_ms, each.to_ms, "away", f"{seconds(each.seconds).of(lang)}: {each.reason}")
            for each in facts.away.listed
        ]
    for lane, cause in enumerate(causes, 1):
        lanes.append(_lane_name(lane, cause))
        of_cause = [span for span in facts.spans if span.cause == cause]
        for span in sorted(of_cause, key=lambda span: span.status == GAP_OPEN):  # open ones lie above
            text = Words("{gaps:,} gaps, {missing:,} missing, {status}", "{gaps:,} 個缺口，欠 {missing:,} 筆，{status}")
            shape = "gap over" if span.status == GAP_OPEN else "healed"
            lanes.append(_bar(axis, lane, span.from_ms, span.to_ms, shape, text.filled(**span._asdict()).of(lang)))
    height = (len(causes) + 1) * _LANE
    return _plot(facts, axis, height, lanes, Words("gaps and outages over the day", "全日的缺口與中斷").of(lang))


def _lane_name(lane: int, name: str) -> Markup:
    shown = name if len(name) <= 18 else f"{name[:17]}…"
    return element("text", element("title", name), shown, x=_LEFT - 8, y=lane * _LANE + 15, class_="end")


def _bar(axis: _Axis, lane: int, from_ms: int, to_ms: int, shape: str, text: str) -> Markup:
    begin, end = axis.x(from_ms), axis.x(max(from_ms, to_ms))
    title = element("title", f"{at(from_ms)}–{at(to_ms)} {text}")
    return element(
        "rect",
        title,
        x=begin,
        y=lane * _LANE + 4,
        width=max(2.0, end - begin),
        height=_LANE - 8,
        class_=shape,
    )


def minutes(facts: DayFacts, found: Scan, lang: str) -> Markup:
    """The stored ticks of each minute."""
    axis = _axis(facts)
    most = max((minute.rows for minute in found.minutes), default=0) or 1
    shapes: list[Markup] = []
    for value in (most, most // 2):
        y = _PLOT - _PLOT * 0.92 * value / most
        shapes += [
            element("line", x1=_LEFT, x2=_WIDE - _RIGHT, y1=y, y2=y, class_="grid"),
            element("text", f"{value:,}", x=_LEFT - 8, y=y + 4, class_="end soft"),
        ]
    points = [(minute.minute, _PLOT - _PLOT * 0.92 * minute.rows / most) for minute in found.minutes]
    steps = "".join(
        f"M{axis.x(minute * 60_000):.1f} {_PLOT}V{y:.1f}h{_minute_width(axis):.1f}V{_PLOT}z"
        for minute, y in points
        if axis.from_ms <= minute * 60_000 < axis.to_ms
    )
    shapes.append(element("path", d=steps, class_="area"))
    return _plot(facts, axis, _PLOT, shapes, Words("ticks by minute", "每分鐘筆數").of(lang))


def delays(facts: DayFacts, found: Scan, lang: str) -> Markup:
    """The delay of the live ticks of each minute, on a logarithmic scale: the half, and the latest one."""
    axis = _axis(facts)
    tops = [minute.most_ms for minute in found.minutes if minute.most_ms is not None]
    decades = max(3, int(log10(max([1, *tops]))) + 1)

    def y(ms: float) -> float:
        return _PLOT - _PLOT * 0.95 * min(log10(max(1.0, ms)), decades) / decades

    shapes: list[Markup] = []
    for decade in range(1, decades + 1):
        height = y(10.0**decade)
        shapes += [
            element("line", x1=_LEFT, x2=_WIDE - _RIGHT, y1=height, y2=height, class_="grid"),
            element("text", delay(10**decade), x=_LEFT - 8, y=height + 4, class_="end soft"),
        ]
    latest = [(minute.minute, minute.most_ms) for minute in found.minutes if minute.most_ms is not None]
    half = [(minute.minute, minute.half_ms) for minute in found.minutes if minute.half_ms is not None]
    shapes += [_curve(axis, latest, y, "latest"), _curve(axis, half, y, "half")]
    return _plot(facts, axis, _PLOT, shapes, Words("delay by minute", "每分鐘的延遲").of(lang))


def _curve(axis: _Axis, points: Iterable[tuple[int, int]], y: Callable[[float], float], shape: str) -> Markup:
    """A line through the points; a minute without a live tick interrupts it."""
    path, before = [], 0
    for minute, ms in points:
        if not axis.from_ms <= minute * 60_000 < axis.to_ms:
            continue
        x = axis.x((minute + 0.5) * 60_000)
        path.append(f"{'L' if minute == before + 1 else 'M'}{x:.1f} {y(ms):.1f}")
        if minute != before + 1:
            path.append("h.1")  # a single minute is a dot
        before = minute
    return element("path", d="".join(path), class_=shape)


def symbols(worst: Sequence[SymbolFacts], lang: str) -> Markup:
    """The symbols with the most missing ticks: a bar from 0 to 100 %, and the number that is missing."""
    shapes: list[Markup] = []
    room = _WIDE - _LEFT - 180
    for row, each in enumerate(worst):
        y, stored = row * _LANE, room * min(100.0, each.percent) / 100
        missing = Words(f"{each.missing:,} missing", f"欠 {each.missing:,} 筆").of(lang)
        shapes += [
            element("text", each.symbol[:18], x=_LEFT - 8, y=y + 15, class_="end"),
            element("rect", x=_LEFT, y=y + 4, width=stored, height=_LANE - 8, class_="stored"),
            element("rect", x=_LEFT + stored, y=y + 4, width=max(1.5, room - stored), height=_LANE - 8, class_="gap"),
            element("text", f"{each.share}, {missing}", x=_LEFT + room + 8, y=y + 15),
        ]
    label = Words("completeness by symbol, worst first", "各股票的完整度，由最差起").of(lang)
    return _svg(max(1, len(worst)) * _LANE, shapes, label)


def _axis(facts: DayFacts) -> _Axis:
    """The trading hours with half an hour around them, and the ticks of this date outside them."""
    hours = sessions(facts.day)
    start_ms = market.day_start_ms(market.parse_day(facts.day))
    first, last = facts.first_ts_ms or hours[0][0], facts.last_ts_ms or hours[-1][1]
    from_ms = min(hours[0][0], max(first, start_ms))
    to_ms = max(hours[-1][1], min(last, start_ms + market.DAY_MS - 1))
    half_hour = _HOUR_MS // 2
    return _Axis(from_ms // half_hour * half_hour, -(-to_ms // half_hour) * half_hour)


def _minute_width(axis: _Axis) -> float:
    return max(0.8, axis.x(axis.from_ms + 60_000) - axis.x(axis.from_ms))


def _plot(facts: DayFacts, axis: _Axis, height: int, shapes: Sequence[Markup], label: str) -> Markup:
    """A picture over the time of a day, with hours below, and the break at noon shaded."""
    morning, afternoon = sessions(facts.day)
    noon, one = axis.x(morning[1]), axis.x(afternoon[0])
    behind = [element("rect", x=noon, y=0, width=one - noon, height=height, class_="lunch")]
    hours = range(-(-axis.from_ms // _HOUR_MS), axis.to_ms // _HOUR_MS + 1)
    for hour in list(hours)[:: max(1, len(hours) // 12)]:
        x = axis.x(hour * _HOUR_MS)
        behind.append(element("line", x1=x, x2=x, y1=0, y2=height, class_="grid"))
        behind.append(element("text", f"{market.hkt(hour * _HOUR_MS):%H:%M}", x=x, y=height + 15, class_="mid soft"))
    return _svg(height + 20, [*behind, *shapes], label)


def _svg(height: int, shapes: Sequence[Markup], label: str) -> Markup:
    return element("svg", *shapes, viewBox=f"0 0 {_WIDE} {height}", role="img", aria_label=label, class_="wide")
