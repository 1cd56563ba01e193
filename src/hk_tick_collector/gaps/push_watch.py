"""Finds symbols that OpenD has stopped pushing although it has newer ticks of them. No I/O.

Enters: which symbols were pushed, and OpenD's answers. Leaves: which symbols to compare with OpenD now, and which to
subscribe again. All times are monotonic seconds.

A symbol is usually pushed every `interval_s`. When it was not pushed for several intervals, OpenD is asked for its
ticks. If the answer has no new ticks, the symbol is quiet. If it has new ticks and no push arrives within the next 3 s,
OpenD has stopped pushing the symbol: a push that was under way when OpenD answered would arrive sooner. The decision
depends neither on the clock of the host nor on the order of sequences.

A symbol is in doubt from an answer with new ticks until it is pushed again. While it is in doubt, its ticks are
backfilled by further requests, often enough for OpenD's window of 1,000 ticks. A symbol whose pushes have stopped is
subscribed again at once, and then at increasing intervals until pushes come back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.model import WINDOW_ROWS, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hk_tick_collector.model import Rejected, TickRow

QUIET_S: Final = 30.0  # a symbol that was not pushed for this time is compared, however rarely it trades
UNPUSHED_S: Final = 3.0  # OpenD has had new ticks for this time without pushing them: the pushes have stopped
BATCH_SYMBOLS: Final = 100  # in one Sub request
SUB_BURST: Final = 8  # Sub requests at once, and one more every 3 s: OpenD allows about 10 in 30 s
SUB_EVERY_S: Final = 3.0

_SLOT_S: Final = 0.25  # pushes are counted in slots of this length: shorter intervals cannot be measured
_STALLED_S: Final = 2.0  # our event loop was blocked this long: pushes wait in the socket, so nothing is decided
_HOLD_S: Final = 1.0  # after such a block nothing is decided for this time
_INTERVALS: Final = 6  # intervals without a push; at one tick a second that happens by chance 1 time in 400
_INTERVALS_KNOWN: Final = 3  # intervals measured before the mean is used
_SILENCE_MIN_S: Final = 1.0  # the shortest limit: half of the window at 500 ticks/s
_SILENCE_NEW_S: Final = 5.0  # the shortest limit before the mean is used
_SILENCE_MAX_S: Final = 15.0  # the longest limit for a symbol with at least one tick every 5 s
_BUSY_INTERVAL_S: Final = 5.0
_SILENT_EVERY_S: Final = 0.25  # between requests for symbols that are only silent
_AGAIN_S: Final = 5.0  # after a request without an answer
_FIRST_REQUEST_S: Final = 1.0
_REQUEST_MIN_S: Final = 0.25
_REQUEST_MAX_S: Final = 5.0
_RATE_KEPT: Final = 0.7  # share of the previous rate: one answer with few ticks does not delay the next request
_REQUEST_ROWS: Final = 400  # new ticks that an answer should have; the window has space for more than twice as many
_JUDGE_EVERY_S: Final = 0.5
_MANY: Final = 3  # when this many symbols have stopped, every silent symbol is treated as stopped
_SUB_AGAIN_S: Final = 10.0  # doubled each time
_SUB_AGAIN_MAX_S: Final = 300.0
_HEALTHY_S: Final = 60.0  # after pushes for this time, the intervals between subscriptions start from the first again
_FIRST_PUSH_S: Final = 2.0  # a push this soon after subscribing may be the cached tick that OpenD then sends


class Known(NamedTuple):
    """What was known about a symbol before OpenD answered. `last_seq` is used only if its sequences are ordered."""

    ordered: bool = False
    last_seq: int = 0


class CheckRequest(NamedTuple):
    """A request for the latest `rows` ticks of a symbol; None for a few, enough to see whether there are new ones."""

    symbol: str
    rows: int | None


class Comparison(NamedTuple):
    """What an answer shows: how many of its ticks are new, and whether it reaches back to a known tick.

    `passed` is the number of ticks since the answer before it, including those that arrived otherwise.
    """

    new: int
    reaches: bool
    passed: int


@dataclass(slots=True)
class _Watched:
    """The state of one symbol."""

    last_s: float  # time of the last push, or of the subscription
    interval_s: float = QUIET_S  # mean time between pushes
    intervals: int = 0  # how many were measured
    asked_s: float = float("-inf")  # time of the last answer
    ask_s: float = 0.0  # earliest time of the next request
    pushed: deque[int] = field(default_factory=lambda: deque(maxlen=32))  # newest sequences, if they are not ordered
    answered_seq: int | None = None  # sequence of the newest tick of OpenD's last answer
    anchor: frozenset[int] | None = None  # sequences known when the doubt began; later pushes are not used
    rate: float = 0.0  # ticks/s, from the answers
    reached: bool = True  # the last answer had a tick that was known before
    unpushed_s: float | None = None  # since when OpenD has ticks that it did not push
    stopped: bool = False  # OpenD has stopped pushing it
    pushed_again_s: float | None = None  # time of the first push after it was subscribed again
    new_ticks_s: float = float("-inf")  # time of the last answer with new ticks
    sub_s: float = float("-inf")  # when it was last subscribed again
    subs: int = 0  # how often it was subscribed again
    sub_again_s: float = float("-inf")  # earliest time to subscribe it again

    @property
    def in_doubt(self) -> bool:
        return self.stopped or self.unpushed_s is not None

    @property
    def busy(self) -> bool:
        return self.intervals >= _INTERVALS_KNOWN and self.interval_s <= _BUSY_INTERVAL_S

    @property
    def silence_limit_s(self) -> float:
        """How long it may be silent before it is compared with OpenD."""
        if not self.intervals:
            return QUIET_S
        most = _SILENCE_MAX_S if self.interval_s <= _BUSY_INTERVAL_S else QUIET_S
        least = _SILENCE_MIN_S if self.intervals >= _INTERVALS_KNOWN else _SILENCE_NEW_S
        return min(
            max(least, _INTERVALS * (self.interval_s - _SLOT_S / 2)), most
        )  # a push is noted at the end of its slot

    def allow_silence(self, now_s: float) -> None:
        """Sets the next request to the shortest limit from now. `is_overdue` computes the exact limit later."""
        self.ask_s = now_s + _SILENCE_MIN_S

    def is_overdue(self, now_s: float) -> bool:
        """Whether it has been silent for too long; not for a symbol in doubt."""
        if now_s < self.ask_s:
            return False
        self.ask_s = max(self.ask_s, self.last_s + self.silence_limit_s)
        return now_s >= self.ask_s


class PushWatch:
    """When each symbol was pushed, which symbols to compare with OpenD, and which have stopped."""

    def __init__(self) -> None:
        self.unordered: frozenset[str] = frozenset()  # symbols whose sequences are not ordered
        self._fresh: set[str] = set()  # pushed since the last slot
        self._watched: dict[str, _Watched] = {}
        self._doubted: set[str] = set()  # symbols in doubt
        self._slot_s = 0.0
        self._hold_until_s = 0.0
        self._silent_at_s = 0.0
        self._closed_s = 0.0  # when the market was last seen not to trade
        self._judge_s = 0.0
        self._subs_left = float(SUB_BURST)
        self._subs_at_s = 0.0
        self._batch_symbols = BATCH_SYMBOLS
        self._precaution: list[str] = []  # to subscribe again only because many other symbols have stopped

    def note(self, rows: list[TickRow], rejected: list[Rejected]) -> None:
        """These ticks were pushed. Called once per message; must be fast."""
        self._fresh.update(map(symbol_of, rows))
        if rejected:
            self._fresh.update(tick.symbol for tick in rejected)
        if self.unordered:
            for row in rows:
                if row[0] in self.unordered and (watched := self._watched.get(row[0])):
                    watched.pushed.append(row[1])

    def begin(self, symbols: Iterable[str], now_s: float) -> None:
        """These symbols were subscribed just now: silence is measured from now, and earlier doubts are cleared."""
        for symbol in symbols:
            old = self._watched.get(symbol)
            new = self._watched[symbol] = _Watched(now_s)
            if old is not None:
                new.interval_s, new.intervals, new.rate = old.interval_s, old.intervals, old.rate
                new.pushed, new.answered_seq = old.pushed, old.answered_seq
            new.allow_silence(now_s)
            self._fresh.discard(symbol)
            self._doubted.discard(symbol)
        self._precaution.clear()

    def forget(self, symbols: Iterable[str]) -> None:
        """OpenD refuses these symbols. They are removed, because OpenD would refuse any batch that has one of them."""
        for symbol in symbols:
            if self._watched.pop(symbol, None) is not None:
                self._doubted.discard(symbol)
                self._precaution = [each for each in self._precaution if each != symbol]

    def measure(self, now_s: float) -> None:
        """Records the pushes since the last call. Call it several times a second."""
        passed_s = now_s - self._slot_s
        if passed_s < _SLOT_S:
            return
        if passed_s > _STALLED_S:
            self._hold_until_s = now_s + _HOLD_S
        self._slot_s = now_s
        fresh, self._fresh = self._fresh, set()
        for symbol in fresh:
            watched = self._watched.get(symbol)
            if watched is not None:
                _note_push(watched, now_s)
                if symbol in self._doubted and not watched.in_doubt:
                    self._doubted.discard(symbol)

    def due(self, now_s: float, most: int, may_ask: Callable[[str], bool], *, trading: bool) -> list[CheckRequest]:
        """The next requests, at most `most`. First the symbols in doubt, before their ticks leave OpenD's window. Then,
        only while the market trades, the one symbol that is silent for the longest time relative to its limit.
        """
        if not trading:
            self._closed_s = now_s
        if most <= 0 or now_s < self._hold_until_s:
            return []
        doubted = [
            (self._watched[symbol].ask_s, symbol)
            for symbol in self._doubted
            if now_s >= self._watched[symbol].ask_s and may_ask(symbol)
        ]
        requests = [CheckRequest(symbol, self._rows(symbol)) for _, symbol in sorted(doubted)[:most]]
        if trading and len(requests) < most and now_s >= self._silent_at_s:
            self._silent_at_s = now_s + _SILENT_EVERY_S
            silent = [
                ((now_s - max(watched.last_s, watched.asked_s)) / watched.silence_limit_s, symbol)
                for symbol, watched in self._watched.items()
                if symbol not in self._doubted and watched.is_overdue(now_s) and may_ask(symbol)
            ]
            if silent:
                requests.append(CheckRequest(max(silent)[1], None))
        for symbol, _ in requests:
            self._watched[symbol].ask_s = now_s + _AGAIN_S
        return requests

    def answered(self, symbol: str, seqs: Sequence[int], known: Known, now_s: float) -> Comparison:
        """Evaluates OpenD's answer to a request, its ticks in OpenD's order; 0 is a tick without a sequence."""
        watched = self._watched.setdefault(symbol, _Watched(now_s))
        seqs = [seq for seq in seqs if seq]
        comparison = _compare(watched, seqs, known)
        since_s = watched.asked_s if watched.anchor else max(watched.last_s, watched.asked_s)
        watched.asked_s, watched.reached = now_s, comparison.passed < max(len(seqs), 1)
        rate = comparison.passed / max(now_s - since_s, _SLOT_S)
        watched.rate = max(rate, watched.rate * _RATE_KEPT)
        if comparison.new:
            watched.new_ticks_s = now_s
            if watched.unpushed_s is None and watched.pushed_again_s is None and symbol not in self._fresh:
                watched.unpushed_s = now_s
        if watched.in_doubt:
            watched.ask_s = now_s + _request_delay_s(watched)
            watched.anchor = frozenset(seqs[-1:]) or watched.anchor
            self._doubted.add(symbol)
            if _end_doubt(watched, now_s):
                self._doubted.discard(symbol)
        else:
            silent_s = now_s - watched.last_s
            watched.ask_s = now_s + min(max(2 * silent_s, _AGAIN_S), QUIET_S)
            counted_s = min(now_s - max(watched.last_s, self._closed_s), QUIET_S)  # a break of the market is no silence
            watched.interval_s += max(counted_s - watched.interval_s, 0.0) / 3
        self.note_answer(symbol, seqs)
        return comparison

    def note_answer(self, symbol: str, seqs: Sequence[int]) -> None:
        """Records the newest tick of any answer of OpenD's: it is known now, although it was not pushed."""
        watched = self._watched.get(symbol)
        newest = next((seq for seq in reversed(seqs) if seq), None)
        if watched is not None and newest is not None:
            watched.answered_seq = newest

    def stopped(self, now_s: float) -> list[str]:
        """Symbols newly found to be stopped, the one with the highest rate first."""
        if now_s < max(self._judge_s, self._hold_until_s):
            return []
        self._judge_s = now_s + _JUDGE_EVERY_S
        found = [
            symbol
            for symbol in self._doubted
            if not (watched := self._watched[symbol]).stopped and _is_unpushed(watched, now_s)
        ]
        for symbol in found:
            self._stop(symbol, now_s)
        if found:
            found += self._stopped_with_them(now_s)
        return sorted(found, key=lambda symbol: -self._watched[symbol].rate)

    def still_stopped(self) -> list[str]:
        """All symbols whose pushes have stopped and not come back."""
        return [symbol for symbol in self._doubted if self._watched[symbol].stopped]

    def to_subscribe(self, now_s: float) -> list[str]:
        """The next batch of symbols to subscribe again; empty when none is due or OpenD's limit is reached."""
        self._subs_left = min(SUB_BURST, self._subs_left + (now_s - self._subs_at_s) / SUB_EVERY_S)
        self._subs_at_s = now_s
        if self._subs_left < 1:
            return []
        batch = [symbol for symbol in self._doubted if _wants_sub(self._watched[symbol], now_s)]
        batch = (batch + [symbol for symbol in self._precaution if symbol not in batch])[: self._batch_symbols]
        if not batch:
            return []
        self._subs_left -= 1
        self._precaution = [symbol for symbol in self._precaution if symbol not in batch]
        for symbol in batch:
            watched = self._watched[symbol]
            watched.sub_s, watched.unpushed_s, watched.pushed_again_s = now_s, None, None
            watched.subs += 1
            watched.sub_again_s = now_s + min(_SUB_AGAIN_S * 2 ** min(watched.subs - 1, 10), _SUB_AGAIN_MAX_S)
        return batch

    def subscribed(self) -> None:
        """OpenD accepted a batch."""
        self._batch_symbols = min(self._batch_symbols * 2, BATCH_SYMBOLS)

    def refused(self, batch: Sequence[str], now_s: float) -> None:
        """OpenD refused a batch. A single symbol may be the reason, so the next batch has half as many."""
        self._batch_symbols = max(1, len(batch) // 2)
        for symbol in batch:
            watched = self._watched.get(symbol)
            if watched is None:
                continue
            if watched.stopped:
                watched.unpushed_s = now_s - UNPUSHED_S  # still stopped
                if len(batch) > 1:
                    watched.subs, watched.sub_again_s = watched.subs - 1, now_s
            elif len(batch) > 1:
                self._precaution.append(symbol)

    def _stop(self, symbol: str, now_s: float) -> None:
        watched = self._watched[symbol]
        if now_s - watched.sub_s > _HEALTHY_S:
            watched.subs, watched.sub_again_s = 0, now_s
        watched.stopped, watched.pushed_again_s = True, None
        watched.anchor = watched.anchor or _known_seqs(watched)
        if watched.unpushed_s is None:
            watched.unpushed_s, watched.ask_s = now_s - UNPUSHED_S, now_s
        self._doubted.add(symbol)

    def _stopped_with_them(self, now_s: float) -> list[str]:
        """When several symbols have stopped, busy symbols that are silent for too long are treated as stopped too,
        without a request. Returns these.

        When more than half of the busy symbols have stopped, all symbols not pushed since then are subscribed again.
        """
        stopped = [self._watched[symbol] for symbol in self.still_stopped()]
        if len(stopped) < _MANY:
            return []
        silent = [
            symbol
            for symbol, each in self._watched.items()
            if symbol not in self._doubted and each.is_overdue(now_s) and each.busy
        ]
        for symbol in silent:
            self._stop(symbol, now_s)
        busy = [watched for watched in self._watched.values() if watched.busy]
        if 2 * sum(watched.stopped for watched in busy) > len(busy):
            began_s = max(watched.last_s for watched in stopped)
            self._precaution = [
                symbol
                for symbol, each in self._watched.items()
                if not each.stopped and each.last_s < began_s and now_s - each.sub_s > _HEALTHY_S
            ]
        return silent

    def _rows(self, symbol: str) -> int:
        """Twice as many rows as are expected to be new; the whole window where that cannot be estimated."""
        watched = self._watched[symbol]
        if symbol in self.unordered or not (watched.rate and watched.reached):
            return WINDOW_ROWS
        return min(WINDOW_ROWS, 50 + int(2 * watched.rate * _request_delay_s(watched)))


def _note_push(watched: _Watched, now_s: float) -> None:
    """Records that it was pushed in the slot that ends now."""
    waited_s = now_s - watched.last_s
    if not watched.stopped and waited_s < QUIET_S:  # a longer one is a break of the market, or was compared
        watched.intervals += 1
        watched.interval_s += (waited_s - watched.interval_s) * max(0.1, 1 / watched.intervals)
    watched.last_s = now_s
    if watched.stopped and now_s - watched.sub_s < _FIRST_PUSH_S:
        return
    watched.unpushed_s = None
    if watched.stopped:
        if watched.pushed_again_s is None:
            watched.pushed_again_s, watched.ask_s = now_s, now_s
    else:
        watched.anchor = None
        watched.allow_silence(now_s)


def _known_seqs(watched: _Watched) -> frozenset[int]:
    known = set(watched.pushed)
    if watched.answered_seq is not None:
        known.add(watched.answered_seq)
    return frozenset(known)


def _end_doubt(watched: _Watched, now_s: float) -> bool:
    """Whether an answer ends the doubt: the symbol was pushed again, or nothing was new for half a minute."""
    quiet = watched.unpushed_s is None and now_s - max(watched.new_ticks_s, watched.sub_s) >= QUIET_S
    if watched.pushed_again_s is not None or quiet:
        watched.stopped, watched.pushed_again_s = False, None
    if watched.in_doubt:
        return False
    watched.anchor = None
    watched.allow_silence(now_s)
    return True


def _compare(watched: _Watched, seqs: Sequence[int], known: Known) -> Comparison:
    """Ticks after the last known tick of an answer are new; if sequences are ordered, only those above `last_seq`."""
    anchor = watched.anchor or _known_seqs(watched)
    behind = next((place for place, seq in enumerate(reversed(seqs)) if seq in anchor), None)
    rest = seqs if behind is None else seqs[len(seqs) - behind :]
    if known.ordered:
        new = sum(seq > known.last_seq for seq in rest)
        return Comparison(new, new < len(seqs), len(rest) if watched.anchor else new)
    if behind is not None:
        return Comparison(behind, reaches=True, passed=behind)
    new = len(seqs) if anchor else 0
    return Comparison(new, not seqs, new)


def _request_delay_s(watched: _Watched) -> float:
    """How long until the next request for a symbol in doubt: the ticks until then must fit in OpenD's window."""
    if not watched.rate:
        return _REQUEST_MAX_S
    most_s = _REQUEST_MAX_S if watched.reached else _FIRST_REQUEST_S
    return min(max(_REQUEST_ROWS / watched.rate, _REQUEST_MIN_S), most_s)


def _wants_sub(watched: _Watched, now_s: float) -> bool:
    return watched.stopped and _is_unpushed(watched, now_s) and now_s >= watched.sub_again_s


def _is_unpushed(watched: _Watched, now_s: float) -> bool:
    """Whether OpenD has had new ticks for so long that a push under way would have arrived."""
    return watched.unpushed_s is not None and now_s - watched.unpushed_s >= UNPUSHED_S
