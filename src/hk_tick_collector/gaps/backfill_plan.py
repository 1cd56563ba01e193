"""Decides which symbols to ask OpenD for next, so that gaps are filled before they are lost. No I/O: `collect` sends
the requests.

GetTicker returns the latest 1,000 ticks of a symbol and nothing older. A gap can be filled while its ticks are among
them. There are three reasons for a request, in this order of priority:

1. A symbol has a gap. The symbol whose oldest missing tick leaves the window first is asked for first. A gap that is
   still open after an answer is asked for again, at increasing intervals, until an answer shows that it is lost.
2. A connection began, or OpenD's own outage ended. Each symbol is checked once, because a gap of a symbol shows
   only when its next tick arrives.
3. A symbol trades. Its ticks are compared with OpenD's from time to time. If its sequence shows what is missing, this
   is rare. Otherwise it is done so often that each answer overlaps the previous one.

At most one request for a symbol is under way at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.model import WINDOW_ROWS

from .answer import WINDOW_LEAST, Answer
from .symbol_day import COMPARED_ROWS, COMPARED_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .gap import OpenGap
    from .symbol_day import SymbolDay
    from .tracker import GapTracker

_CHECK_ROWS: Final = 10  # enough to see whether a quiet symbol has ticks that we missed
_SPARE_ROWS: Final = 20  # ticks that may arrive between the request and the answer
_CHECKS: Final = 3  # failed checks of a symbol before it is no longer checked unless it has a gap
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
# OpenD's window is 1,000 ticks. If its answers show a smaller window for a symbol, an answer of that length is full.
_WINDOW_TIMES: Final = 2
_WINDOW_S: Final = 15.0
_RATE_EVERY_S: Final = 10.0
_COMPARE_EVERY_S: Final = 1.0  # how often the symbols due for a comparison are searched
_COMPARE_RULE_S: Final = 300.0  # between comparisons of a symbol that follows the rule
_COMPARE_LEAST_S: Final = 1.0  # the minimum for a symbol without the rule; the maximum is COMPARED_S


class TickRequest(NamedTuple):
    """A request for the latest `rows` ticks of a symbol."""

    symbol: str
    rows: int


class _Window(NamedTuple):
    """Successive answers of the same length, shorter than requested: OpenD may have a smaller window for a symbol."""

    rows: int  # ticks in each answer
    oldest_seq: int  # of the last answer
    since_s: float  # time of the first answer
    moved: int = 0  # how often the oldest tick of an answer was missing in the next one


@dataclass(slots=True)
class _Requests:
    """The state of a symbol's requests."""

    asked: bool = False  # a request is under way
    not_before_s: float = 0.0  # earliest time of the next request
    failures: int = 0  # consecutive requests without an answer
    whole: bool = False  # ask for the whole window: the last answer did not reach back to every gap
    newest_ms: int = 0  # time of the newest known tick at the last request, UTC epoch ms
    compared_s: float = 0.0  # time of OpenD's last answer
    progress: int = 0  # the symbol's `progress` at that time
    window: _Window | None = None


class BackfillPlan:
    """Plans requests. Times are monotonic seconds."""

    def __init__(self, tracker: GapTracker) -> None:
        self._tracker = tracker
        self._symbols: dict[str, _Requests] = {}
        self._to_check: dict[str, int] = {}  # symbol → rows, in order of requests
        self._rates: dict[str, float] = {}  # ticks/s
        self._rate_base: dict[str, tuple[int, int]] = {}  # progress and newest time at the last measurement
        self._rate_at_s = 0.0
        self._to_compare: dict[str, int] = {}  # symbol → rows, in order of requests
        self._compare_at_s = 0.0

    def request_checks(self, symbols: Iterable[str]) -> None:
        """Plans one request for each of these symbols: OpenD's newest ticks show whether any were missed."""
        for symbol in symbols:
            self._to_check[symbol] = self._check_rows(symbol)
            state = self._requests_of(symbol)
            state.not_before_s, state.failures = 0.0, 0
            self._tracker.reopen_gaps(symbol, WINDOW_ROWS)

    def check_now(self, symbol: str) -> TickRequest:
        """A request to check one symbol now. Do not call it while another one is under way: see `is_asked`."""
        return self._ask(TickRequest(symbol, self._check_rows(symbol)))

    def is_asked(self, symbol: str) -> bool:
        """Whether a request for a symbol is under way."""
        return self._requests_of(symbol).asked

    def reset(self) -> None:
        """A connection ended: its requests will not be answered."""
        self._symbols.clear()
        self._to_check.clear()
        self._to_compare.clear()

    @property
    def checking(self) -> bool:
        """Whether symbols still wait for their check."""
        return bool(self._to_check)

    def due(self, now_s: float, most: int) -> list[TickRequest]:
        """The next requests, at most `most`, the most urgent first."""
        if most <= 0:
            return []
        asks = [self._ask(ask) for _, ask in sorted(self._urgent(now_s))[:most]]
        for ask in asks:
            self._to_check.pop(ask.symbol, None)
        self._plan_to_compare(now_s)
        for waiting in (self._to_check, self._to_compare):
            for symbol in list(waiting):
                if len(asks) >= most:
                    break
                state = self._requests_of(symbol)
                if not state.asked and now_s >= state.not_before_s:
                    asks.append(self._ask(TickRequest(symbol, waiting.pop(symbol))))
        return asks

    def answered(self, ask: TickRequest, ticks: Sequence[tuple[int, int]], now_s: float) -> list[OpenGap]:
        """OpenD answered a request, and the tracker has seen its ticks (sequence, epoch ms). Returns the lost gaps."""
        state = self._requests_of(ask.symbol)
        state.window = _moved_on(state.window, ask, ticks, now_s)
        full = len(ticks) >= WINDOW_ROWS or _is_window(state.window, now_s)
        lost = self._tracker.answered(ask.symbol, Answer(ticks, ask.rows, full, state.newest_ms, now_s))
        track = self._tracker.known.track(ask.symbol)
        state.asked, state.failures = False, 0
        state.compared_s, state.progress = now_s, track.progress if track else 0
        exhausted = len(ticks) < ask.rows or ask.rows >= WINDOW_ROWS
        state.whole = ask.rows > _CHECK_ROWS and not exhausted and self._tracker.known.missing(ask.symbol) > 0
        state.not_before_s = now_s
        return lost

    def failed(self, ask: TickRequest, now_s: float) -> None:
        """A request had no answer. It is repeated at increasing intervals."""
        state = self._requests_of(ask.symbol)
        state.asked = False
        state.failures += 1
        state.not_before_s = now_s + _delay_s(state.failures)
        if state.failures < _CHECKS:
            self._to_check.setdefault(ask.symbol, ask.rows)

    def refused(self, ask: TickRequest) -> list[OpenGap]:
        """OpenD refuses to answer for this symbol, because it is not subscribed. Returns the gaps that are lost."""
        self._requests_of(ask.symbol).asked = False
        return self._tracker.give_up(ask.symbol)

    def measure(self, now_s: float) -> None:
        """Measures the tick rate of every symbol. Call it about once a second.

        When many ticks arrive at once, from a predecessor's file, the spool or a backfill, their rate is computed from
        their own times.
        """
        passed_s = now_s - self._rate_at_s
        if passed_s < _RATE_EVERY_S or self._tracker.known.is_interrupted:  # no ticks arrive now, so there is no rate
            return
        for track in self._tracker.known.tracks():
            base, base_ms = self._rate_base.get(track.symbol, (0, 0))
            if track.progress >= base > 0 and self._rate_at_s:
                rate = _rate(track, track.progress - base, base_ms, passed_s)
                self._rates[track.symbol] = max(rate, self._rates.get(track.symbol, 0.0) * 0.9)
            self._rate_base[track.symbol] = track.progress, track.last_ts_ms
        self._rate_at_s = now_s

    def busiest(self) -> tuple[str, float] | None:
        """The symbol with the highest rate, and that rate in ticks/s; None before a rate is known."""
        return max(self._rates.items(), key=lambda item: item[1], default=None)

    def _ask(self, ask: TickRequest) -> TickRequest:
        state, track = self._requests_of(ask.symbol), self._tracker.known.track(ask.symbol)
        state.asked, state.newest_ms = True, track.last_ts_ms if track else 0
        return ask

    def _plan_to_compare(self, now_s: float) -> None:
        """Finds the symbols that have new ticks and are due for a comparison with OpenD's ticks."""
        if now_s < self._compare_at_s or self._tracker.known.is_interrupted:
            return
        self._compare_at_s = now_s + _COMPARE_EVERY_S
        for track in self._tracker.known.tracks():
            symbol, state = track.symbol, self._requests_of(track.symbol)
            if symbol in self._to_compare or state.asked or track.progress == state.progress:
                continue
            if not state.compared_s:
                state.compared_s = now_s  # the interval starts now
            if now_s - state.compared_s >= self._compare_after_s(track, track.progress - state.progress):
                self._to_compare[symbol] = self._check_rows(symbol)

    def _compare_after_s(self, track: SymbolDay, new_rows: int) -> float:
        if track.patterned:
            return _COMPARE_RULE_S
        window = self._requests_of(track.symbol).window  # OpenD's window may be smaller for this symbol
        rows = COMPARED_ROWS if window is None else min(COMPARED_ROWS, window.rows * COMPARED_ROWS // WINDOW_ROWS)
        return _COMPARE_LEAST_S if new_rows >= rows else COMPARED_S

    def _urgent(self, now_s: float) -> Iterable[tuple[tuple[float, float], TickRequest]]:
        """Requests for symbols with gaps that may be filled, each with its urgency: the number of seconds until the
        oldest missing tick leaves the window.
        """
        first: dict[str, tuple[int, int]] = {}
        for track, gap in self._tracker.known.open_gaps():
            if gap.final or track.symbol in first or now_s < gap.tried_s + _delay_s(gap.tries):
                continue
            if gap.first or not self._tracker.known.is_interrupted:
                # `first` of a doubt is 0: then the whole window is requested.
                first[track.symbol] = (_in_run(track, gap.first, gap.from_seq or 0), track.next)
        for track in () if self._tracker.known.is_interrupted else self._tracker.known.unconfirmed():
            before = track.unconfirmed
            if before is None or not before.answers or now_s < before.answered_s + _delay_s(before.answers - 1):
                continue
            if track.symbol not in first:
                known = _in_run(track, before.next - 1, before.last_seq) if before.answers == 1 else 0
                first[track.symbol] = (known, track.next)
        for symbol, (oldest, upcoming) in first.items():
            state = self._requests_of(symbol)
            if state.asked or now_s < state.not_before_s:
                continue
            rate = self._rates.get(symbol, 0.0)
            slack = max(0, oldest - (upcoming - WINDOW_ROWS))
            rows = WINDOW_ROWS
            if oldest and not state.whole:
                rows = min(rows, upcoming - oldest + _SPARE_ROWS + int(rate * 2))
            yield (slack / (rate + 0.001), -rate), TickRequest(symbol, rows)

    def _check_rows(self, symbol: str) -> int:
        track, state = self._tracker.known.track(symbol), self._symbols.get(symbol)
        if track is None and state is not None and state.compared_s:
            return _CHECK_ROWS  # OpenD has answered before, without any tick of the current day
        return _CHECK_ROWS if track and track.patterned else WINDOW_ROWS

    def _requests_of(self, symbol: str) -> _Requests:
        state = self._symbols.get(symbol)
        if state is None:
            state = self._symbols[symbol] = _Requests()
        return state


def _in_run(track: SymbolDay, counter: int, seq: int) -> int:
    """A counter of the present run; 0 for one of an earlier run, which does not show how many ticks came since."""
    return counter if seq >= track.run_seq else 0


def _moved_on(
    window: _Window | None, ask: TickRequest, ticks: Sequence[tuple[int, int]], now_s: float
) -> _Window | None:
    """Updates what is known of OpenD's window for a symbol. An answer with all requested rows changes nothing."""
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
    """Whether this is OpenD's window for the symbol: seen often enough, and for longer than a cache takes to fill."""
    return window is not None and window.moved >= _WINDOW_TIMES and now_s - window.since_s >= _WINDOW_S


def _delay_s(times: int) -> float:
    """How long to wait after this many consecutive failures."""
    return _RETRY_S[min(times, len(_RETRY_S)) - 1] if times else 0.0


def _rate(track: SymbolDay, new: int, since_ms: int, passed_s: float) -> float:
    """The rate of `new` ticks: over the time that passed, or over their own time span if that is longer."""
    counted = new
    if track.recent is not None and new:
        times = track.recent.times[-new:]
        counted, since_ms = len(times), min(times)
    span_s = (track.last_ts_ms - since_ms) / 1000
    return counted / span_s if span_s > passed_s else new / passed_s
