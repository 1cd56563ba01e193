"""What a view shows → the lines of one frame, for any width and height. Pure.

The finding to act on, with its command, always has room; then the figures, then the tables. What does not fit is left
out in whole lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.ordering import worst
from hk_tick_collector.ops.findings.words import Words, more
from hk_tick_collector.text import plain

from .cells import BAD, BOLD, CHOSEN, DIM, GOOD, WARNING, Span, broken, columns, flow, line, padded, shortened, width_of
from .choice import ORDERS, Choice, Page
from .figures import BARS, duration, groups, moment
from .help import help_lines
from .history import History
from .pasting import pasteable
from .tables import symbols_table, ticks_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.ops.findings.finding import Finding

    from .cells import Line
    from .sample import Sample

_STYLES: Final = {Severity.OK: GOOD, Severity.WARNING: WARNING, Severity.UNKNOWN: WARNING, Severity.CRITICAL: BAD}
_LATE_MS: Final = 3_000  # a report of the service is written every second
_LATE_S: Final = 3.0  # the same for what the view reads
_LABELLED: Final = 64  # from this width on the names of the groups have a column of their own
_INDENT: Final = "  "
_TABLE_LINES: Final = 4  # that the table of symbols keeps while the figures take the rest
_LATEST: Final = 8  # last ticks of all symbols
_TALL: Final = 14  # lines that the tables must have before the last ticks take some


ENDS_VIEW: Final = Words("end the view; the collector goes on", "離開畫面；收集器繼續運行")
ENDS_DEMO: Final = Words("end the demo and its collector", "結束示範及其收集器")


@dataclass(slots=True)
class Scene:
    """All that is shown: what was read, and what the user chose."""

    title: str  # like "hk-tick-collector top"
    lang: str
    bars: str = BARS
    sample: Sample | None = None
    history: History = field(default_factory=History)
    choice: Choice = field(default_factory=Choice)
    prices: dict[str, float] = field(default_factory=dict)  # the last known ones of symbols that were shown, HKD
    seen_ms: dict[str, int] = field(default_factory=dict)  # code of a finding → since when the view shows it
    now_ms: int = 0
    waits_s: float = 0.0  # since the view asked for a sample that it does not have yet
    keys: bool = True  # whether keys reach the view
    ends: Words = ENDS_VIEW

    def take(self, sample: Sample) -> None:
        """Shows another sample; remembers its counters, and since when each of its findings is shown."""
        self.sample, self.now_ms = sample, sample.now_ms
        seen = {finding.code: self.seen_ms.get(finding.code, sample.now_ms) for finding in sample.findings}
        self.seen_ms = seen
        self.prices = {**self.prices, **sample.prices} if sample.day else {}
        if sample.day and sample.read_s:
            self.history.add(sample.day["day"], sample.read_s, sample.symbols)


def frame(scene: Scene, width: int, height: int) -> list[Line]:
    """The lines of a frame: at most `height`, none wider than `width`."""
    top = [_title(scene, width)]
    foot = [_foot(scene, width)] if height >= 8 else []
    room = height - len(top) - len(foot)
    page = scene.choice.page
    if page is Page.HELP:
        body = _scrolled(help_lines(scene.ends, width, scene.lang), room, scene.choice)
    elif page is Page.FINDINGS:
        body = _scrolled(all_findings(scene, width), room, scene.choice)
    else:
        body = _verdict(scene, width, room)
        rest = _body(scene, width, room - len(body))
        body = _more_findings(scene, width, body, room - len(rest)) + rest
    body = body[:room]
    body += [()] * (room - len(body))
    return [*top, *body, *foot]


def whole_frame(scene: Scene, width: int, symbols: int) -> list[Line]:
    """A frame for a file or a pipe, which has no height: all findings, figures, and this number of symbols."""
    lines = [_title(scene, width), *all_findings(scene, width)]
    lines += [each for group in _figures(scene, width) for each in group]
    return [*lines, (), *_symbols(scene, width, symbols + 1), (), *_latest(scene, width, _LATEST + 1)]


def all_findings(scene: Scene, width: int) -> list[Line]:
    """Each finding with its command; without one, that all is fine."""
    if scene.sample is None or not scene.sample.findings:
        return _verdict(scene, width, 1_000)
    lines: list[Line] = []
    for number, finding in enumerate(scene.sample.findings):
        lines += _finding(scene, finding, finding.severity, 0, width, scene.sample.findings[:number])
    return lines


def _title(scene: Scene, width: int) -> Line:
    """Name and time. A report that is late is said here, before it is old enough for a finding."""
    sample, lang = scene.sample, scene.lang
    clock = f"{moment(scene.now_ms, scene.now_ms)} HKT"
    late = Words("", "")
    if sample and scene.waits_s > _LATE_S:
        late = Words("reading for {time}", "讀取已等候 {time}").filled(time=duration(scene.waits_s))
    elif sample and sample.live and scene.now_ms - sample.live.written_ms > _LATE_MS:
        age = duration((scene.now_ms - sample.live.written_ms) / 1000)
        late = Words("last report {time} ago", "最後回報於 {time}前").filled(time=age)
    right = [Span(late.of(lang), WARNING), Span("  ")] if late.of(lang) else []
    right.append(Span(clock))
    room = width - width_of(tuple(right)) - 2
    titles = [scene.title, scene.title.rpartition(" ")[2]]
    if sample and sample.live and sample.live.instance:
        titles.insert(0, f"{scene.title} {sample.live.instance}")
    left = next((each for each in (line((title, BOLD)) for title in titles) if width_of(each) <= room), ())
    if width_of(tuple(right)) > width:
        right = right[:1]
    blanks = Span(" " * max(0, width - width_of(left) - width_of(tuple(right))))
    return (*left, blanks, *right)


def _verdict(scene: Scene, width: int, room: int) -> list[Line]:
    """The finding to act on, with its command; or that all is fine, and why no ticks are expected."""
    sample, lang = scene.sample, scene.lang
    if sample is None:
        words = Words("reading the live state of the service", "正在讀取服務的即時狀態")
        if scene.waits_s > _LATE_S:
            words = Words("no answer for {time} while reading", "讀取已等候 {time}").filled(
                time=duration(scene.waits_s)
            )
        return broken(line((words.of(lang), WARNING)), width)[:room]
    if not sample.findings:
        return broken(line((health.summary([], sample.explained, lang)[1], GOOD)), width)[:room]
    first = sample.findings[0]
    lines = _finding(scene, first, worst(sample.findings), len(sample.findings) - 1, width)
    if len(lines) <= room:
        return lines
    command = _command(first, width)
    told = lines[: max(1, room - len(command))]
    last = "".join(span.text for span in told[-1])
    told[-1] = line((shortened(f"{last} {'x' * width}", width), told[-1][0].style))
    return [*told, *command][:room]


def _more_findings(scene: Scene, width: int, verdict: list[Line], room: int) -> list[Line]:
    """The verdict, and below it as many of the other findings as fit into lines that would be empty."""
    findings = scene.sample.findings if scene.sample and scene.choice.page is Page.ALL else []
    lines: list[Line] = []
    shown = 0
    for number, finding in enumerate(findings[1:], 1):
        added = _finding(scene, finding, finding.severity, 0, width, findings[:number])
        if len(verdict) + len(lines) + len(added) > room:
            break
        lines += added
        shown += 1
    if shown:
        verdict = _finding(scene, findings[0], worst(findings), len(findings) - 1 - shown, width)
    return [*verdict, *lines]


def _finding(
    scene: Scene, finding: Finding, severity: Severity, others: int, width: int, above: Sequence[Finding] = ()
) -> list[Line]:
    """Its text and command. A command that stands `above` is not shown again: it could be run twice."""
    lang = scene.lang
    since = Words(" since {moment}: ", "，由 {moment} 起：")
    at_ms = finding.since_ms
    if at_ms is None:  # not known when it began, but since when the view shows it
        since, at_ms = (
            Words(" seen since {moment}: ", "，{moment} 起見到："),
            scene.seen_ms.get(finding.code, scene.now_ms),
        )
    begun = since.filled(moment=moment(at_ms, scene.now_ms)).of(lang)
    said = f"{finding.words.of(lang)}{more(others).of(lang)}"
    text = broken(line((severity.name, _STYLES[severity]), (begun, DIM), (said, _STYLES[severity])), width)
    is_new = all(finding.remedy != other.remedy for other in above)
    return [*text, *(_command(finding, width) if is_new else [])]


def _command(finding: Finding, width: int) -> list[Line]:
    """The command, which can be pasted from the terminal, also if it is broken into lines."""
    arrow = "-> "
    first, *rest = pasteable(plain(finding.remedy), width, width - len(arrow)) if finding.remedy else [""]
    return [line(arrow, (first, BOLD)), *(line((each, BOLD)) for each in rest)] if first else []


def _body(scene: Scene, width: int, room: int) -> list[Line]:
    """Figures and tables below the verdict, as many lines as there is room for."""
    if scene.choice.page is Page.SYMBOL:
        return _one_symbol(scene, width, room)
    symbols = len(scene.sample.symbols) if scene.sample else 0
    kept = min(_TABLE_LINES, symbols + 1, room // 3) if symbols and room // 3 > 1 else 0
    lines: list[Line] = []
    for group in _figures(scene, width):
        lines += group[: max(0, room - kept - len(lines))]
    room -= len(lines)
    latest: list[Line] = []
    if symbols and room >= _TALL:
        latest = _latest(scene, width, min(_LATEST, room // 3))
        latest = [(), *latest] if latest else []
    if symbols and room - len(latest) > symbols + 2:
        lines.append(())
        room -= 1
    return [*lines, *_symbols(scene, width, room - len(latest)), *latest]


def _figures(scene: Scene, width: int) -> list[list[Line]]:
    """The lines of each group of figures."""
    sample, lang = scene.sample, scene.lang
    if sample is None:
        return []
    found = groups(sample.live, sample.day, sample.as_of_ms, scene.bars, lang)
    if sample.live and sample.as_of_ms != sample.now_ms:
        at = moment(sample.as_of_ms, sample.now_ms)
        as_of = Words(f"as of {at} HKT: not live", f"截至 {at} HKT：不是即時數字")
        found[0] = found[0]._replace(items=[line((as_of.of(lang), WARNING)), *found[0].items])
    if width < _LABELLED:
        return [flow([line((group.name, BOLD)), *group.items], width) for group in found]
    label = max((columns(group.name) for group in found), default=0) + 2
    lines = []
    for group in found:
        flowed = flow(group.items, width - label)
        names = [group.name, *[""] * (len(flowed) - 1)]
        lines.append([(Span(padded(name, label), BOLD), *each) for name, each in zip(names, flowed, strict=True)])
    return lines


def _symbols(scene: Scene, width: int, room: int) -> list[Line]:
    """The table of symbols: the part with the chosen one."""
    sample, choice = scene.sample, scene.choice
    if sample is None or not sample.symbols or room < 2:
        return []
    ordered = choice.sorted(sample.symbols, scene.history)
    rows = max(1, room - 1)
    choice.page_rows = max(1, rows - 1)
    names = [each.symbol for each in ordered]
    at = names.index(choice.symbol) if choice.symbol in names else 0
    first = min(max(0, at - rows // 2), max(0, len(ordered) - rows))
    choice.shown = tuple(names[first : first + rows])
    return symbols_table(
        ordered[first : first + rows], scene.history, scene.prices, choice, scene.bars, width, scene.lang
    )


def _latest(scene: Scene, width: int, room: int) -> list[Line]:
    """The last ticks of all symbols."""
    sample = scene.sample
    if sample is None or sample.ticks_of or not sample.ticks or room < 2:
        return []
    return ticks_table(sample.ticks[-(room - 1) :], width, scene.lang, of_one=False)


def _one_symbol(scene: Scene, width: int, room: int) -> list[Line]:
    """A symbol's figures of the day and its last ticks."""
    sample, choice, lang = scene.sample, scene.choice, scene.lang
    found = next((each for each in sample.symbols if each.symbol == choice.symbol), None) if sample else None
    if sample is None or found is None:
        words = Words("{symbol}: no tick today", "{symbol}：今日沒有 tick").filled(symbol=choice.symbol)
        return broken(line((words.of(lang), DIM)), width)[: max(0, room)]
    lines = symbols_table([found], scene.history, scene.prices, choice, scene.bars, width, lang)
    if sample.ticks_of == found.symbol:
        table = ticks_table(sample.ticks[-max(1, room - len(lines) - 2) :], width, lang, of_one=True)
        lines += [(), *table]
    return lines[: max(0, room)]


def _scrolled(lines: list[Line], room: int, choice: Choice) -> list[Line]:
    choice.scrolled = min(choice.scrolled, max(0, len(lines) - room))
    choice.page_rows = max(1, room - 1)
    return lines[choice.scrolled : choice.scrolled + room]


def _foot(scene: Scene, width: int) -> Line:
    """The keys that work here, as many as there is room for."""
    choice, lang = scene.choice, scene.lang
    if choice.search is not None:
        asked = Words("symbol: ", "股票：").of(lang) + choice.search + "_"
        return line((padded(shortened(asked, width), width), CHOSEN))
    if not scene.keys:
        return line((shortened(Words("Ctrl-C ends it", "Ctrl-C 結束").of(lang), width), DIM))
    keys = [("q", Words("quit", "離開")), ("?", Words("help", "說明"))]
    order = Words("sort: {name}", "排序：{name}").filled(name=ORDERS[choice.order])
    if choice.page is Page.ALL:
        keys += [("s", order), ("Enter", Words("look", "細看")), ("f", Words("findings", "問題")), ("/", _FIND)]
    elif choice.page is Page.SYMBOL:
        keys += [("Esc", _BACK), ("j k", Words("next, previous", "下一隻、上一隻"))]
    else:
        keys += [("Esc", _BACK), ("j k", Words("scroll", "捲動"))]
    spans: list[Span] = []
    for key, words in keys:
        more_spans = [Span("  ")] if spans else []
        more_spans += [Span(key, BOLD), Span(f" {words.of(lang)}", DIM)]
        if width_of((*spans, *more_spans)) > width:
            break
        spans += more_spans
    return tuple(spans)


_BACK: Final = Words("back", "返回")
_FIND: Final = Words("find", "搜尋")
