"""One symbol on one day: how far its counter has come, the gaps behind it, and whether its sequence follows the rule.

The values that the tracker works on; `collect.loading` reads them from a day file.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.model import SEQ_NEAR_S

from .lost_gaps import LostGaps

if TYPE_CHECKING:
    from .gap import OpenGap

COUNTER_MASK: Final = 0xFFFF_FFFF
SEQ_MAX: Final = 2**63 - 1
COUNTER_MAX: Final = 10_000_000  # more ticks than any symbol has a day: beyond it the low half is no counter
_JUMP_MAX: Final = 1_000_000
# Ticks that a symbol may have skipped in the time since its newest tick. A larger jump must be confirmed by the tick
# after it: one wrong number must not open a gap that nothing ever fills.
_JUMP_ALWAYS: Final = 1_000
_JUMP_PER_S: Final = 2_000
_STEP_S: Final = 600  # a late report's own time says nothing: its second may be that much after the newest one
COMPARED_S: Final = 30  # a symbol without the rule is compared with OpenD's ticks at least so often while it trades,
COMPARED_ROWS: Final = 400  # and before it has so many new ticks: OpenD's window holds two and a half times that
MARGIN_MS: Final = 10_000  # ticks are not in the order of their times: a doubt reaches so far beyond what is known
RUNS_MOST: Final = 3  # times that a counter may begin anew within a day
STRANGE_MOST: Final = 3  # ticks in a row that do not follow the rule, before it no longer holds
STRANGE_KEPT: Final = 64

CAUSE_BEFORE_START: Final = "before_start"
CAUSE_PUSH_LOST: Final = "push_lost"
CAUSE_DISCONNECTED: Final = "disconnected"
CAUSE_DROPPED: Final = "dropped"
CAUSE_REJECTED: Final = "rejected"
CAUSE_RESTART: Final = "restart"
CAUSE_DAMAGED: Final = "damaged"
CAUSE_ELSEWHERE: Final = "other_day"  # its tick is stored in the file of another day, by its own time
CAUSE_SKIPPED: Final = "counter_skipped"  # no tick was missing: the counter left numbers out
CAUSE_SEQUENCE: Final = "sequence_restarted"
CAUSE_FUTURE: Final = "future_date"  # why a tick was rejected: its date is later than OpenD's own allows
CONTRADICTED: Final = "contradicted"  # of what was found: a gap that OpenD's answers contradict
# Ticks that passed us by on our side of OpenD, which had them all. For any other cause OpenD itself may not have them.
OURS: Final = frozenset(
    {
        CAUSE_BEFORE_START,
        CAUSE_PUSH_LOST,
        CAUSE_DISCONNECTED,
        CAUSE_DROPPED,
        CAUSE_RESTART,
        CAUSE_DAMAGED,
        CAUSE_SEQUENCE,
    }
)

RULE_COUNTER: Final = "counter"  # second << 32 | counter, by one for each tick: the sequence tells what is missing
RULE_NONE: Final = "none"  # the sequence identifies a tick and tells nothing else


class Recent:
    """The newest ticks of a symbol without the rule, in order of arrival: OpenD's answers are compared with them."""

    _KEPT: Final = 1_100  # a little more than OpenD's window

    def __init__(self) -> None:
        self.seqs = array("q")
        self.times = array("q")  # UTC epoch ms
        self.count = 0  # ever

    def add(self, seq: int, ts_ms: int) -> None:
        """The next tick."""
        self.seqs.append(seq)
        self.times.append(ts_ms)
        self.count += 1
        if len(self.seqs) > 2 * self._KEPT:
            # What is pulled again and again crowds out nothing.
            newest = list(dict(zip(self.seqs, self.times, strict=True)).items())[-self._KEPT :]
            self.seqs, self.times = (array("q", column) for column in zip(*newest, strict=True))

    def known(self) -> frozenset[int]:
        """The sequences."""
        return frozenset(self.seqs)

    def until(self, moment_ms: int) -> set[int]:
        """The sequences of the ticks whose own time is not later than a moment."""
        return {seq for seq, ts_ms in zip(self.seqs, self.times, strict=True) if ts_ms <= moment_ms}

    def unproved_ms(self, newest_ms: int) -> int:
        """From when on ticks may be missing of which no answer has told: answers come so often, or after so many rows.

        The oldest known tick is never part of that.
        """
        return max(newest_ms - COMPARED_S * 1000, min(self.times[-COMPARED_ROWS:], default=newest_ms))

    def between(self, from_ms: int, to_ms: int) -> set[int]:
        """The sequences of the ticks whose own time lies strictly between two moments."""
        return {seq for seq, ts_ms in zip(self.seqs, self.times, strict=True) if from_ms < ts_ms < to_ms}


class Oldest(NamedTuple):
    """What answers that are all OpenD has begin with."""

    ts_ms: int  # of their oldest tick
    since_s: float
    times: int
    ticks: int  # in the first of them


class Unwitnessed(NamedTuple):
    """What was known of a symbol that follows the rule when ticks may have begun to pass us by."""

    next: int
    last_seq: int
    last_ts_ms: int
    cause: str
    answers: int = 0  # that did not reach it
    answered_s: float = 0.0  # when the last of them came (monotonic)


@dataclass(slots=True)
class SymbolDay:
    """One symbol on one day: the counter that comes next, and the gaps behind it."""

    symbol: str
    next: int = 0  # 0 before the first tick that follows the rule, -1 once the rule does not hold
    first_seq: int = 0  # the lowest that followed the rule, 0 before there was one
    last_seq: int = 0  # the highest, not the one before `next`: a late report may carry an older second
    last_ts_ms: int = 0
    gaps: list[OpenGap] = field(default_factory=list)  # by counter, never adjacent: those that may still be filled
    lost: LostGaps = field(default_factory=LostGaps)  # and those that OpenD can no longer give
    past: list[OpenGap] = field(default_factory=list)  # of the counter's earlier runs
    doubt: OpenGap | None = None  # a stretch of time in which ticks may be missing
    known: set[int] = field(default_factory=set)  # without the rule: ticks from before the doubt, one of which ends it
    known_seq: int = 0  # with the rule: the last one before it
    proved: frozenset[int] = frozenset()  # without the rule: the newest answer that left nothing open
    proved_ms: int = 0  # and the time of its newest tick
    interrupted: str = ""  # why ticks may be missing since `interrupted_at` came next: the cause of a jump from there
    interrupted_at: int = 0
    from_ms: int = 0  # its day, see Day.keep
    to_ms: int = 0
    run_seq: int = 0  # the first sequence of this run of the counter, where it began anew within the day
    runs: int = 0  # how often it began anew
    candidate: int = 0  # a sequence that begins another run, if the next tick follows it
    strange: list[int] = field(default_factory=list)  # sequences that do not follow the rule
    in_a_row: int = 0  # of these, since the last that does: `next` was `strange_at` then
    strange_at: int = 0
    skipped: LostGaps = field(default_factory=LostGaps)  # counters without a tick, by OpenD's answers
    marks: set[int] = field(default_factory=set)  # counters of ticks that came and are not in this day's file
    contradicted: int = 0  # how many of them were found
    unwitnessed: Unwitnessed | None = (
        None  # since ticks may have passed us by no answer has reached what was known then
    )
    recent: Recent | None = None  # without the rule
    oldest: Oldest | None = None  # the same first tick in answers that OpenD calls complete

    @property
    def patterned(self) -> bool:
        """Whether the sequence tells what is missing."""
        return self.next > 0

    def unstored(self) -> int:
        """How many counters of this run are not stored: in open gaps, lost, or without a tick."""
        return sum(gap.missing or 0 for gap in self.gaps) + self.lost.missing() + self.skipped.missing()

    def unstored_between(self, low: int, high: int) -> int:
        """The same of the counters from `low` to `high`."""
        open_ = sum(max(0, min(high, gap.last) - max(low, gap.first) + 1) for gap in self.gaps)
        return open_ + self.lost.missing_between(low, high) + self.skipped.missing_between(low, high)

    @property
    def progress(self) -> int:
        """A number that grows with each tick."""
        return self.recent.count if self.recent else self.next

    def recall(self, seq: int) -> None:
        """A tick turns out to have been known before ticks could pass us by: an answer that reaches it is a witness."""
        before = self.unwitnessed
        if before is not None and seq > before.last_seq:
            self.unwitnessed = before._replace(next=max(before.next, (seq & COUNTER_MASK) + 1), last_seq=seq)
        if self.doubt is None:
            return
        self.doubt.final, self.doubt.tries = False, 0  # an answer that did not reach what was known may reach this
        if self.doubt.from_seq is not None:
            self.known_seq = max(self.known_seq, seq)
        else:
            self.known.add(seq)

    def go_to(self, counter: int, seq: int, ts_ms: int) -> None:
        """Notes that the tick of this counter and sequence was seen, which may be newer than all before."""
        if counter <= COUNTER_MAX and counter >= self.next:
            self.next = counter + 1
        if seq > self.last_seq:
            self.last_seq, self.last_ts_ms = seq, max(ts_ms, self.last_ts_ms)

    def note_first(self, seq: int) -> None:
        """Notes a stored tick that follows the rule, which may be the first of the day that is known."""
        if not self.first_seq or seq < self.first_seq:
            self.first_seq = seq

    def remember(self, seq: int, ts_ms: int) -> None:
        """Notes a tick of a symbol without the rule."""
        if self.recent is None:
            self.recent = Recent()
        self.recent.add(seq, ts_ms)

    def note_strange(self, seq: int) -> bool:
        """Notes a tick that does not follow the rule; whether it is one too many."""
        if seq in self.strange:
            return False
        self.strange.append(seq)
        del self.strange[:-STRANGE_KEPT]
        self.in_a_row = self.in_a_row + 1 if self.next == self.strange_at else 1
        self.strange_at = self.next
        return self.in_a_row >= STRANGE_MOST


@dataclass(slots=True)
class Day:
    """All symbols of one Hong Kong day."""

    number: int
    tracks: dict[str, SymbolDay] = field(default_factory=dict)
    next_gap_id: int = 1
    marked: int = 0  # ticks that were noted as come and not stored, since it was read
    dirty: dict[int, tuple[str, OpenGap, bool]] = field(default_factory=dict)  # gap id → symbol, gap, still open
    rules: dict[str, str] = field(default_factory=dict)  # symbol → its rule, where that is not yet in the file
    sealed: bool = False  # finished: nothing can be stored there, so nothing is looked for
    unread: bool = False  # its file could not be read: what is known here must not be written before it was
    loading: bool = False  # its file is being read: what comes meanwhile waits in `pending`
    pending: list[tuple[str, int, int, bool]] = field(default_factory=list)  # symbol, seq, ts_ms, stored

    @property
    def start_s(self) -> int:
        """When it begins, UTC epoch s."""
        return market.day_start_ms(self.number) // 1000

    @property
    def last_seq(self) -> int:
        """The highest sequence that a tick of this day can have by the rule."""
        return min((market.day_start_ms(self.number + 1) // 1000 << 32) - 1, SEQ_MAX)

    def keep(self, track: SymbolDay) -> None:
        """Makes a track one of this day's."""
        self.tracks[track.symbol] = track
        track.from_ms, track.to_ms = market.day_start_ms(self.number), market.day_start_ms(self.number + 1)
        track.interrupted_at = track.next

    def new_gap_id(self) -> int:
        """The number of a new row of `gaps`."""
        self.next_gap_id += 1
        return self.next_gap_id - 1


def plausible(seq: int, ts_ms: int) -> bool:
    """Whether a sequence can be `epoch second << 32 | counter` of a tick of that moment."""
    return abs((seq >> 32) - ts_ms // 1000) <= SEQ_NEAR_S and 1 <= seq & COUNTER_MASK <= COUNTER_MAX


def continues(track: SymbolDay, seq: int, *, near: bool) -> bool:
    """Whether a sequence goes on where a track that follows the rule has come to, a believable number of ticks later.

    `near` says that the tick's own time is that of the sequence; a late report's is not.
    """
    jump, passed_s = (seq & COUNTER_MASK) - track.next, (seq >> 32) - (track.last_seq >> 32)
    if jump < 0 or jump > _JUMP_MAX or seq & COUNTER_MASK > COUNTER_MAX:
        return False
    if near:
        return not track.last_seq or jump <= max(_JUMP_ALWAYS, passed_s * _JUMP_PER_S)
    return jump <= _JUMP_ALWAYS and -SEQ_NEAR_S <= passed_s <= _STEP_S


def begins_anew(track: SymbolDay, seq: int) -> bool:
    """Whether a sequence is later than every one before, although its counter is not: the counter began anew."""
    return seq > track.last_seq and seq & COUNTER_MASK < track.next


def follows(seq: int, before: int) -> bool:
    """Whether a sequence can be the next, or nearly the next, after another of the same run."""
    jump, passed_s = (seq & COUNTER_MASK) - (before & COUNTER_MASK), (seq >> 32) - (before >> 32)
    return 0 < jump <= max(_JUMP_ALWAYS, passed_s * _JUMP_PER_S) and passed_s >= -SEQ_NEAR_S
