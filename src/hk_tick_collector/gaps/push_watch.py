"""Which symbols OpenD still pushes, and which it has stopped pushing although it has newer ticks. No I/O.

Enters: which symbols were pushed, what OpenD answered when it was asked. Leaves: whom to compare with OpenD now, and
whom to subscribe again. All times are monotonic seconds.

A symbol that is usually pushed every `interval_s` and was not pushed for several intervals is compared with OpenD. An
answer without new ticks means that it is quiet. An answer with new ticks, and no push within the next 3 s, means that
OpenD has stopped pushing: a push that was under way when OpenD answered arrives sooner. So neither the clock of the
host nor the order of sequences decides. While a symbol is in doubt its ticks are backfilled by more questions, often
enough for OpenD's window of 1,000 ticks. It is subscribed again at once, and then more and more slowly until pushes
come back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.model import WINDOW_ROWS, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hk_tick_collector.model import Rejected, TickRow

QUIET_S: Final = 30.0  # a symbol without a push for so long is compared, however rarely it trades
UNHEARD_S: Final = 3.0  # OpenD has had ticks for so long and has not pushed: the pushes have stopped
BATCH_SYMBOLS: Final = 100  # in one Sub request
SUB_BURST: Final = 8  # Sub requests at once, and one more every 3 s: OpenD allows about 10 in 30 s
SUB_EVERY_S: Final = 3.0

_SLOT_S: Final = 0.25  # pushes are looked at in slots: a shorter interval cannot be seen
_STALLED_S: Final = 2.0  # our own event loop stood still: what waits in the socket is read before anybody is judged
_HOLD_S: Final = 1.0
_INTERVALS: Final = 6  # without a push: at one tick a second by chance 1 time in 400
_INTERVALS_KNOWN: Final = 3  # so many were measured: before that nobody knows how busy a symbol is
_PATIENCE_MIN_S: Final = 1.0  # at 500 ticks/s half of the window
_PATIENCE_NEW_S: Final = 5.0
_PATIENCE_MAX_S: Final = 15.0  # of a symbol with at least one tick every 5 s
_BUSY_INTERVAL_S: Final = 5.0
_QUESTION_EVERY_S: Final = 0.25  # of symbols that are only silent
_AGAIN_S: Final = 5.0  # after a question without an answer
_FIRST_PULL_S: Final = 1.0
_PULL_MIN_S: Final = 0.25
_PULL_MAX_S: Final = 5.0
_RATE_KEPT: Final = 0.7  # of the rate that was known: one answer with few ticks does not delay the next question
_PULL_ROWS: Final = 400  # new ticks an answer should hold: there is room for twice as many
_JUDGE_EVERY_S: Final = 0.5
_MANY: Final = 3  # symbols found one by one: then all that are silent are taken to have stopped
_SUB_AGAIN_S: Final = 10.0  # doubled each time
_SUB_AGAIN_MAX_S: Final = 300.0
_HEALTHY_S: Final = 60.0  # pushes that lasted so long: the next time begins anew
_FIRST_PUSH_S: Final = 2.0  # a push this soon after subscribing may be the cached tick that OpenD sends with it


class Known(NamedTuple):
    """What was known of a symbol before OpenD answered: `last_seq` counts only where sequences have an order."""

    ordered: bool = False
    last_seq: int = 0


class Question(NamedTuple):
    """A symbol to ask OpenD for; `rows` is None for the few that show whether there is anything new."""

    symbol: str
    rows: int | None


class Comparison(NamedTuple):
    """What an answer means: ticks never seen before, and whether it reaches back to a tick that was known.

    `passed` counts the ticks since the answer before it, those included that were seen by other ways.
    """

    new: int
    reaches: bool
    passed: int


@dataclass(slots=True)
class _Watched:
    """One symbol."""

    last_s: float  # when it was last pushed, or when the watch of it began
    interval_s: float = QUIET_S  # mean time between pushes
    intervals: int = 0  # measured
    asked_s: float = float("-inf")  # the last question that was answered
    ask_s: float = 0.0  # when to ask next: about silence, or for the ticks of a symbol in doubt
    pushed: deque[int] = field(default_factory=lambda: deque(maxlen=32))  # newest sequences, where they have no order
    answered_seq: int | None = None  # the newest tick of OpenD's last answer
    anchor: frozenset[int] | None = None  # what was known when the doubt began: later pushes prove nothing
    rate: float = 0.0  # ticks/s, as answers show it
    reached: bool = True  # the last answer held a tick that was known before
    unheard_s: float | None = None  # since when OpenD has ticks that it did not push
    stopped: bool = False
    heard_again_s: float | None = None  # the first push since it was subscribed again
    news_s: float = float("-inf")  # the last answer with new ticks
    sub_s: float = float("-inf")  # when it was last subscribed again, how often, and when at the earliest next
    subs: int = 0
    sub_again_s: float = float("-inf")

    @property
    def in_doubt(self) -> bool:
        return self.stopped or self.unheard_s is not None

    @property
    def busy(self) -> bool:
        return self.intervals >= _INTERVALS_KNOWN and self.interval_s <= _BUSY_INTERVAL_S

    @property
    def patience_s(self) -> float:
        """For how long it may be silent before it is compared with OpenD."""
        if not self.intervals:
            return QUIET_S
        most = _PATIENCE_MAX_S if self.interval_s <= _BUSY_INTERVAL_S else QUIET_S
        least = _PATIENCE_MIN_S if self.intervals >= _INTERVALS_KNOWN else _PATIENCE_NEW_S
        return min(max(least, _INTERVALS * (self.interval_s - _SLOT_S / 2)), most)  # a slot is read at its end

    def be_patient(self, now_s: float) -> None:
        """Nothing is wrong with it: it may be silent for a while from now on, how long is worked out once it is."""
        self.ask_s = now_s + _PATIENCE_MIN_S

    def is_overdue(self, now_s: float) -> bool:
        """Whether it has been silent for too long; not for a symbol in doubt."""
        if now_s < self.ask_s:
            return False
        self.ask_s = max(self.ask_s, self.last_s + self.patience_s)
        return now_s >= self.ask_s


class PushWatch:
    """Who was pushed when, who must be compared with OpenD, and what the comparison means."""

    def __init__(self) -> None:
        self.unordered: frozenset[str] = frozenset()  # symbols whose sequences have no order
        self._fresh: set[str] = set()  # pushed since the last slot
        self._watched: dict[str, _Watched] = {}
        self._doubted: set[str] = set()  # those that are in doubt
        self._slot_s = 0.0
        self._hold_until_s = 0.0
        self._question_s = 0.0
        self._judge_s = 0.0
        self._subs_left = float(SUB_BURST)
        self._subs_at_s = 0.0
        self._batch_symbols = BATCH_SYMBOLS
        self._precaution: list[str] = []  # subscribed again because many have stopped, without a finding of their own

    def note(self, rows: list[TickRow], rejected: list[Rejected]) -> None:
        """These ticks were pushed. Called once an event, a tick costs one entry of a set."""
        self._fresh.update(map(symbol_of, rows))
        if rejected:
            self._fresh.update(tick.symbol for tick in rejected)
        if self.unordered:
            for row in rows:
                if row[0] in self.unordered and (watched := self._watched.get(row[0])):
                    watched.pushed.append(row[1])

    def begin(self, symbols: Iterable[str], now_s: float) -> None:
        """These were subscribed just now: silence counts from here, and earlier findings are over."""
        for symbol in symbols:
            old = self._watched.get(symbol)
            new = self._watched[symbol] = _Watched(now_s)
            if old is not None:
                new.interval_s, new.intervals, new.rate = old.interval_s, old.intervals, old.rate
                new.pushed, new.answered_seq = old.pushed, old.answered_seq
            new.be_patient(now_s)
            self._fresh.discard(symbol)
            self._doubted.discard(symbol)
        self._precaution.clear()

    def forget(self, symbols: Iterable[str]) -> None:
        """OpenD refuses these: one of them would have a whole batch refused."""
        for symbol in symbols:
            if self._watched.pop(symbol, None) is not None:
                self._doubted.discard(symbol)
                self._precaution = [each for each in self._precaution if each != symbol]

    def measure(self, now_s: float) -> None:
        """Takes note of the pushes since the last call; call it several times a second."""
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
                _hear(watched, now_s)
                if symbol in self._doubted and not watched.in_doubt:
                    self._doubted.discard(symbol)

    def due(self, now_s: float, most: int, may_ask: Callable[[str], bool], *, trading: bool) -> list[Question]:
        """Whom to ask now, at most `most`: symbols in doubt before their ticks leave OpenD's window, then one that is
        silent, the most suspicious first. Silent ones only while the market trades.
        """
        if most <= 0 or now_s < self._hold_until_s:
            return []
        doubted = [
            (self._watched[symbol].ask_s, symbol)
            for symbol in self._doubted
            if now_s >= self._watched[symbol].ask_s and may_ask(symbol)
        ]
        questions = [Question(symbol, self._rows(symbol)) for _, symbol in sorted(doubted)[:most]]
        if trading and len(questions) < most and now_s >= self._question_s:
            self._question_s = now_s + _QUESTION_EVERY_S
            silent = [
                ((now_s - max(watched.last_s, watched.asked_s)) / watched.patience_s, symbol)
                for symbol, watched in self._watched.items()
                if symbol not in self._doubted and watched.is_overdue(now_s) and may_ask(symbol)
            ]
            if silent:
                questions.append(Question(max(silent)[1], None))
        for symbol, _ in questions:
            self._watched[symbol].ask_s = now_s + _AGAIN_S
        return questions

    def answered(self, symbol: str, seqs: Sequence[int], known: Known, now_s: float) -> Comparison:
        """OpenD's answer to a question, its ticks in OpenD's order; 0 is a tick without a sequence."""
        watched = self._watched.setdefault(symbol, _Watched(now_s))
        seqs = [seq for seq in seqs if seq]
        comparison = _compare(watched, seqs, known)
        since_s = watched.asked_s if watched.anchor else max(watched.last_s, watched.asked_s)
        watched.asked_s, watched.reached = now_s, comparison.passed < max(len(seqs), 1)
        rate = comparison.passed / max(now_s - since_s, _SLOT_S)
        watched.rate = max(rate, watched.rate * _RATE_KEPT)
        if comparison.new:
            watched.news_s = now_s
            if watched.unheard_s is None and watched.heard_again_s is None and symbol not in self._fresh:
                watched.unheard_s = now_s
        if watched.in_doubt:
            watched.ask_s = now_s + _pull_delay_s(watched)
            watched.anchor = frozenset(seqs[-1:]) or watched.anchor
            self._doubted.add(symbol)
            if _end_doubt(watched, now_s):
                self._doubted.discard(symbol)
        else:
            silent_s = now_s - watched.last_s
            watched.ask_s = now_s + min(max(2 * silent_s, _AGAIN_S), QUIET_S)
            watched.interval_s += max(silent_s - watched.interval_s, 0.0) / 3
        self.pulled(symbol, seqs)
        return comparison

    def pulled(self, symbol: str, seqs: Sequence[int]) -> None:
        """OpenD's answer to anybody's question: its newest tick is known now, though it was not pushed."""
        watched = self._watched.get(symbol)
        newest = next((seq for seq in reversed(seqs) if seq), None)
        if watched is not None and newest is not None:
            watched.answered_seq = newest

    def stopped(self, now_s: float) -> list[str]:
        """Symbols that OpenD has stopped pushing, each once an event; the one with the most ticks first."""
        if now_s < max(self._judge_s, self._hold_until_s):
            return []
        self._judge_s = now_s + _JUDGE_EVERY_S
        found = [
            symbol
            for symbol in self._doubted
            if not (watched := self._watched[symbol]).stopped and _is_unheard(watched, now_s)
        ]
        for symbol in found:
            self._stop(symbol, now_s)
        if found:
            found += self._stopped_with_them(now_s)
        return sorted(found, key=lambda symbol: -self._watched[symbol].rate)

    def still_stopped(self) -> list[str]:
        """Symbols that were subscribed again, and of which no push has come since."""
        return [symbol for symbol in self._doubted if self._watched[symbol].stopped]

    def to_subscribe(self, now_s: float) -> list[str]:
        """The next batch of symbols to subscribe again; empty when none is due, or OpenD's limit forbids it."""
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
            watched.sub_s, watched.unheard_s, watched.heard_again_s = now_s, None, None
            watched.subs += 1
            watched.sub_again_s = now_s + min(_SUB_AGAIN_S * 2 ** min(watched.subs - 1, 10), _SUB_AGAIN_MAX_S)
        return batch

    def subscribed(self) -> None:
        """OpenD accepted a batch."""
        self._batch_symbols = min(self._batch_symbols * 2, BATCH_SYMBOLS)

    def refused(self, batch: Sequence[str], now_s: float) -> None:
        """OpenD refused a batch: one symbol in it may be the reason, so the next batch has half as many."""
        self._batch_symbols = max(1, len(batch) // 2)
        for symbol in batch:
            watched = self._watched.get(symbol)
            if watched is None:
                continue
            if watched.stopped:
                watched.unheard_s = now_s - UNHEARD_S  # it still counts as not subscribed
                if len(batch) > 1:
                    watched.subs, watched.sub_again_s = watched.subs - 1, now_s
            elif len(batch) > 1:
                self._precaution.append(symbol)

    def _stop(self, symbol: str, now_s: float) -> None:
        watched = self._watched[symbol]
        if now_s - watched.sub_s > _HEALTHY_S:
            watched.subs, watched.sub_again_s = 0, now_s
        watched.stopped, watched.heard_again_s = True, None
        watched.anchor = watched.anchor or _known_seqs(watched)
        if watched.unheard_s is None:
            watched.unheard_s, watched.ask_s = now_s - UNHEARD_S, now_s
        self._doubted.add(symbol)

    def _stopped_with_them(self, now_s: float) -> list[str]:
        """Several have stopped: whoever is silent for too long has stopped with them, and is not asked about first.

        Where most of the busy ones are silent, all that were not pushed since are subscribed again as a precaution.
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
        """As many rows as will be new, twice over; the whole window where sequences do not tell what is missing."""
        watched = self._watched[symbol]
        if symbol in self.unordered or not (watched.rate and watched.reached):
            return WINDOW_ROWS
        return min(WINDOW_ROWS, 50 + int(2 * watched.rate * _pull_delay_s(watched)))


def _hear(watched: _Watched, now_s: float) -> None:
    """It was pushed within the slot that ends now."""
    waited_s = now_s - watched.last_s
    if not watched.stopped:
        watched.intervals += 1
        watched.interval_s += (waited_s - watched.interval_s) * max(0.1, 1 / watched.intervals)
    watched.last_s = now_s
    if watched.stopped and now_s - watched.sub_s < _FIRST_PUSH_S:
        return
    watched.unheard_s = None
    if watched.stopped:
        if watched.heard_again_s is None:
            watched.heard_again_s, watched.ask_s = now_s, now_s
    else:
        watched.anchor = None
        watched.be_patient(now_s)


def _known_seqs(watched: _Watched) -> frozenset[int]:
    known = set(watched.pushed)
    if watched.answered_seq is not None:
        known.add(watched.answered_seq)
    return frozenset(known)


def _end_doubt(watched: _Watched, now_s: float) -> bool:
    """Whether an answer ends it: one after the first push, or half a minute without anything new."""
    quiet = watched.unheard_s is None and now_s - max(watched.news_s, watched.sub_s) >= QUIET_S
    if watched.heard_again_s is not None or quiet:
        watched.stopped, watched.heard_again_s = False, None
    if watched.in_doubt:
        return False
    watched.anchor = None
    watched.be_patient(now_s)
    return True


def _compare(watched: _Watched, seqs: Sequence[int], known: Known) -> Comparison:
    """What stands behind the last known tick in OpenD's answer is new; with an order, what is also above all known."""
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


def _pull_delay_s(watched: _Watched) -> float:
    """How long until the next question of a symbol in doubt: OpenD's window must hold all that comes meanwhile."""
    if not watched.rate:
        return _PULL_MAX_S
    most_s = _PULL_MAX_S if watched.reached else _FIRST_PULL_S
    return min(max(_PULL_ROWS / watched.rate, _PULL_MIN_S), most_s)


def _wants_sub(watched: _Watched, now_s: float) -> bool:
    return watched.stopped and _is_unheard(watched, now_s) and now_s >= watched.sub_again_s


def _is_unheard(watched: _Watched, now_s: float) -> bool:
    """Whether OpenD has had ticks for so long that a push under way would have arrived."""
    return watched.unheard_s is not None and now_s - watched.unheard_s >= UNHEARD_S
