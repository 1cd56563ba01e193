"""Whom to ask OpenD for next, so that gaps are filled before they are lost. Pure: the caretaker does the asking.

GetTicker gives the latest 1,000 ticks of a symbol, nothing older. So a gap can be filled as long as its ticks are among
those, and the symbol whose oldest missing tick leaves that window first is asked first. What an answer leaves open is
asked for again, ever more slowly, until an honest and full answer says that it is lost. Beside gaps there are symbols
that nobody has heard of since a connection began or an outage of OpenD's own ended: they are looked at once, because a
jump shows only when a next tick comes. And every symbol that trades is compared with OpenD's answer now and then: often
where its sequence does not tell what is missing, so that each answer overlaps the one before, and rarely where it does.
Of one symbol only one request is under way at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .answer import WINDOW_LEAST, Answer
from .symbol_day import COMPARED_ROWS, COMPARED_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .gap import OpenGap
    from .symbol_day import SymbolDay
    from .tracker import GapTracker

WINDOW_ROWS: Final = 1000
_LOOK_ROWS: Final = 10  # enough to see whether a quiet symbol has gone on without us
_SPARE_ROWS: Final = 20  # ticks that may arrive between the question and the answer
_LOOKS: Final = 3  # failures before a symbol is no longer looked at for its own sake
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
# OpenD keeps 1,000 ticks. Where it shows that it keeps fewer, an answer of that length is full.
_WINDOW_TIMES: Final = 2
_WINDOW_S: Final = 15.0
_RATE_EVERY_S: Final = 10.0
_COMPARE_EVERY_S: Final = 1.0  # how often it is seen who is to be compared
_COMPARE_RULE_S: Final = 300.0  # a symbol that follows the rule
_COMPARE_LEAST_S: Final = 1.0  # one that does not: at least, and COMPARED_S at most


class Ask(NamedTuple):
    """A request for the latest `rows` ticks of a symbol."""

    symbol: str
    rows: int


class _Window(NamedTuple):
    """OpenD may keep fewer ticks of a symbol than it says: answers that are always as long, and move on."""

    rows: int
    oldest_seq: int  # of the last of them
    since_s: float
    moved: int = 0  # how often the oldest tick had fallen out


@dataclass(slots=True)
class _Patient:
    """What is known of a symbol's healing."""

    asked: bool = False
    not_before_s: float = 0.0
    failures: int = 0  # requests without an answer, one after the other
    whole: bool = False  # the last request for gaps did not reach back far enough
    newest_ms: int = 0  # the newest tick that was known when it was asked
    compared_s: float = 0.0  # when OpenD last answered, and how far the symbol had come
    progress: int = 0
    window: _Window | None = None  # answers of one length from which the oldest ticks fall out


class BackfillPlan:
    """Plans requests. Times are monotonic seconds."""

    def __init__(self, tracker: GapTracker) -> None:
        self._tracker = tracker
        self._patients: dict[str, _Patient] = {}
        self._to_look_at: dict[str, int] = {}  # symbol → rows, in order of asking
        self._rates: dict[str, float] = {}  # ticks/s
        self._rate_base: dict[str, tuple[int, int]] = {}  # progress, and the newest tick's time
        self._rate_at_s = 0.0
        self._to_compare: dict[str, int] = {}  # symbol → rows, in order of asking
        self._compare_at_s = 0.0

    def look_at(self, symbols: Iterable[str]) -> None:
        """Asks for each of these once: what OpenD's newest tick is tells whether one was missed."""
        for symbol in symbols:
            self._to_look_at[symbol] = self._look_rows(symbol)
            patient = self._patient(symbol)
            patient.not_before_s, patient.failures = 0.0, 0
            self._tracker.hope(symbol, WINDOW_ROWS)

    def look_now(self, symbol: str) -> Ask:
        """A request to look at one symbol out of turn. Not while another one is under way: see `is_asked`."""
        return self._ask(Ask(symbol, self._look_rows(symbol)))

    def is_asked(self, symbol: str) -> bool:
        """Whether a request for a symbol is under way."""
        return self._patient(symbol).asked

    def reset(self) -> None:
        """A connection ended: what was asked of it will not be answered."""
        self._patients.clear()
        self._to_look_at.clear()
        self._to_compare.clear()

    @property
    def looking(self) -> bool:
        """Whether symbols still wait to be looked at."""
        return bool(self._to_look_at)

    def due(self, now_s: float, most: int) -> list[Ask]:
        """The next requests, at most `most`, the most urgent first."""
        if most <= 0:
            return []
        asks = [self._ask(ask) for _, ask in sorted(self._urgent(now_s))[:most]]
        for ask in asks:
            self._to_look_at.pop(ask.symbol, None)
        self._plan_to_compare(now_s)
        for waiting in (self._to_look_at, self._to_compare):
            for symbol in list(waiting):
                if len(asks) >= most:
                    break
                patient = self._patient(symbol)
                if not patient.asked and now_s >= patient.not_before_s:
                    asks.append(self._ask(Ask(symbol, waiting.pop(symbol))))
        return asks

    def answered(self, ask: Ask, ticks: Sequence[tuple[int, int]], now_s: float) -> list[OpenGap]:
        """The tracker saw the reply to a request: sequences and times (epoch ms). Returns the gaps that are lost."""
        patient = self._patient(ask.symbol)
        patient.window = _moved_on(patient.window, ask, ticks, now_s)
        full = len(ticks) >= WINDOW_ROWS or _is_window(patient.window, now_s)
        lost = self._tracker.answered(ask.symbol, Answer(ticks, ask.rows, full, patient.newest_ms, now_s))
        track = self._tracker.track(ask.symbol)
        patient.asked, patient.failures = False, 0
        patient.compared_s, patient.progress = now_s, track.progress if track else 0
        exhausted = len(ticks) < ask.rows or ask.rows >= WINDOW_ROWS
        patient.whole = ask.rows > _LOOK_ROWS and not exhausted and self._tracker.missing(ask.symbol) > 0
        patient.not_before_s = now_s
        return lost

    def failed(self, ask: Ask, now_s: float) -> None:
        """A request brought no answer: again, later and later."""
        patient = self._patient(ask.symbol)
        patient.asked = False
        patient.failures += 1
        patient.not_before_s = now_s + _delay_s(patient.failures)
        if patient.failures < _LOOKS:
            self._to_look_at.setdefault(ask.symbol, ask.rows)

    def refused(self, ask: Ask) -> list[OpenGap]:
        """OpenD does not answer for this symbol, because it is not subscribed: returns the gaps that it leaves."""
        self._patient(ask.symbol).asked = False
        return self._tracker.give_up(ask.symbol)

    def measure(self, now_s: float) -> None:
        """Takes the rate of every symbol; call it about once a second.

        Ticks of a longer time that come at once, from a predecessor's file, the spool or a backfill, have the rate of
        that time.
        """
        passed_s = now_s - self._rate_at_s
        if passed_s < _RATE_EVERY_S or self._tracker.deaf:  # no tick comes, and none is a rate of the market's
            return
        for track in self._tracker.tracks():
            base, base_ms = self._rate_base.get(track.symbol, (0, 0))
            if track.progress >= base > 0 and self._rate_at_s:
                rate = _rate(track, track.progress - base, base_ms, passed_s)
                self._rates[track.symbol] = max(rate, self._rates.get(track.symbol, 0.0) * 0.9)
            self._rate_base[track.symbol] = track.progress, track.last_ts_ms
        self._rate_at_s = now_s

    def busiest(self) -> tuple[str, float] | None:
        """The symbol with the most ticks a second, and how many; None before a rate is known."""
        return max(self._rates.items(), key=lambda item: item[1], default=None)

    def _ask(self, ask: Ask) -> Ask:
        patient, track = self._patient(ask.symbol), self._tracker.track(ask.symbol)
        patient.asked, patient.newest_ms = True, track.last_ts_ms if track else 0
        return ask

    def _plan_to_compare(self, now_s: float) -> None:
        """Which symbols that trade are due to be compared with OpenD's own ticks."""
        if now_s < self._compare_at_s or self._tracker.deaf:
            return
        self._compare_at_s = now_s + _COMPARE_EVERY_S
        for track in self._tracker.tracks():
            symbol, patient = track.symbol, self._patient(track.symbol)
            if symbol in self._to_compare or patient.asked or track.progress == patient.progress:
                continue
            if not patient.compared_s:
                patient.compared_s = now_s  # it begins to be counted
            if now_s - patient.compared_s >= self._compare_after_s(track, track.progress - patient.progress):
                self._to_compare[symbol] = self._look_rows(symbol)

    def _compare_after_s(self, track: SymbolDay, new_rows: int) -> float:
        if track.patterned:
            return _COMPARE_RULE_S
        window = self._patient(track.symbol).window  # OpenD keeps fewer, by its last answer
        rows = COMPARED_ROWS if window is None else min(COMPARED_ROWS, window.rows * COMPARED_ROWS // WINDOW_ROWS)
        return _COMPARE_LEAST_S if new_rows >= rows else COMPARED_S

    def _urgent(self, now_s: float) -> Iterable[tuple[tuple[float, float], Ask]]:
        """Symbols with gaps that may be filled, with the seconds until their oldest missing tick is out of reach."""
        first: dict[str, tuple[int, int]] = {}
        for track, gap in self._tracker.open_gaps():
            if gap.final or track.symbol in first or now_s < gap.tried_s + _delay_s(gap.tries):
                continue
            if gap.first or not self._tracker.deaf:
                # A doubt begins at 0: the whole window is asked for.
                first[track.symbol] = (_in_run(track, gap.first, gap.from_seq or 0), track.next)
        for track in () if self._tracker.deaf else self._tracker.unwitnessed():
            before = track.unwitnessed
            if before is None or not before.answers or now_s < before.answered_s + _delay_s(before.answers - 1):
                continue
            if track.symbol not in first:
                known = _in_run(track, before.next - 1, before.last_seq) if before.answers == 1 else 0
                first[track.symbol] = (known, track.next)
        for symbol, (oldest, upcoming) in first.items():
            patient = self._patient(symbol)
            if patient.asked or now_s < patient.not_before_s:
                continue
            rate = self._rates.get(symbol, 0.0)
            slack = max(0, oldest - (upcoming - WINDOW_ROWS))
            rows = WINDOW_ROWS
            if oldest and not patient.whole:
                rows = min(rows, upcoming - oldest + _SPARE_ROWS + int(rate * 2))
            yield (slack / (rate + 0.001), -rate), Ask(symbol, rows)

    def _look_rows(self, symbol: str) -> int:
        track, patient = self._tracker.track(symbol), self._patients.get(symbol)
        if track is None and patient is not None and patient.compared_s:
            return _LOOK_ROWS  # OpenD has been asked, and has nothing of a day that goes on
        return _LOOK_ROWS if track and track.patterned else WINDOW_ROWS

    def _patient(self, symbol: str) -> _Patient:
        patient = self._patients.get(symbol)
        if patient is None:
            patient = self._patients[symbol] = _Patient()
        return patient


def _in_run(track: SymbolDay, counter: int, seq: int) -> int:
    """A counter, or 0 where it is of a run before the one that goes on: it does not tell how long ago that was."""
    return counter if seq >= track.run_seq else 0


def _moved_on(window: _Window | None, ask: Ask, ticks: Sequence[tuple[int, int]], now_s: float) -> _Window | None:
    """What is known of OpenD's window for a symbol after an answer; one as long as was asked for changes nothing."""
    if len(ticks) >= ask.rows:
        return window
    if len(ticks) < WINDOW_LEAST:
        return None
    oldest_seq = min(ticks, key=lambda tick: tick[1])[0]
    if window is None or window.rows != len(ticks):
        return _Window(len(ticks), oldest_seq, now_s)
    fell_out = all(seq != window.oldest_seq for seq, _ in ticks)
    return window._replace(oldest_seq=oldest_seq, moved=window.moved + fell_out)


def _is_window(window: _Window | None, now_s: float) -> bool:
    """Whether OpenD gives no more than this: shown often enough, and for longer than it takes to fill a cache."""
    return window is not None and window.moved >= _WINDOW_TIMES and now_s - window.since_s >= _WINDOW_S


def _delay_s(times: int) -> float:
    """How long to wait after something went wrong so often in a row."""
    return _RETRY_S[min(times, len(_RETRY_S)) - 1] if times else 0.0


def _rate(track: SymbolDay, new: int, since_ms: int, passed_s: float) -> float:
    """Ticks/s of so many new ticks: by the time that passed, or by their own where that is longer."""
    counted = new
    if track.recent is not None and new:
        times = track.recent.times[-new:]
        counted, since_ms = len(times), min(times)
    span_s = (track.last_ts_ms - since_ms) / 1000
    return counted / span_s if span_s > passed_s else new / passed_s
