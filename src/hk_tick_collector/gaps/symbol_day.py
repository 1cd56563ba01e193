"""The state of one symbol on one day: its highest counter, its gaps, and whether its sequence follows the rule.

The tracker changes these objects. `collect.loading` creates them from a day file.
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
COUNTER_MAX: Final = 10_000_000  # more ticks than any symbol has in a day: larger values are not counters
_JUMP_MAX: Final = 1_000_000
# A jump may be _JUMP_ALWAYS ticks, or _JUMP_PER_S ticks for each second since the newest tick. A larger jump must be
# confirmed by the next tick, so that one wrong sequence does not open a gap that can never be filled.
_JUMP_ALWAYS: Final = 1_000
_JUMP_PER_S: Final = 2_000
_STEP_S: Final = 600  # for a late report: the most seconds that its sequence may be after the newest one
COMPARED_S: Final = 30  # a trading symbol without the rule is compared with OpenD's ticks at least this often,
COMPARED_ROWS: Final = 400  # and after this many new ticks: less than half of OpenD's window
MARGIN_MS: Final = 10_000  # a doubt starts this much before the last known tick: ticks are not in order of their times
RUNS_MOST: Final = 3  # how often the counter may restart within a day before the rule ends
STRANGE_MOST: Final = 3  # consecutive ticks that do not follow the rule before it ends
STRANGE_KEPT: Final = 64

CAUSE_BEFORE_START: Final = "before_start"
CAUSE_PUSH_LOST: Final = "push_lost"
CAUSE_DISCONNECTED: Final = "disconnected"
CAUSE_DROPPED: Final = "dropped"
CAUSE_RESTART: Final = "restart"
CAUSE_DAMAGED: Final = "damaged"
CAUSE_SKIPPED: Final = "counter_skipped"  # no tick is missing: the counter skipped these numbers
CAUSE_SEQUENCE: Final = "sequence_restarted"
CAUSE_FUTURE: Final = "future_date"  # of a rejected tick: its date is later than the day after OpenD's date
CONTRADICTED: Final = "contradicted"  # a finding for the log: OpenD's answers contradict a gap
# Causes on our side: OpenD received these ticks. For other causes OpenD itself may not have received them.
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

RULE_COUNTER: Final = "counter"  # second << 32 | counter, plus one for each tick: the sequence shows what is missing
RULE_NONE: Final = "none"  # the sequence only identifies a tick


class Recent:
    """The newest ticks of a symbol without the rule, in order of arrival, to compare OpenD's answers with them."""

    _KEPT: Final = 1_100  # a little more than OpenD's window

    def __init__(self) -> None:
        self.seqs = array("q")
        self.times = array("q")  # UTC epoch ms
        self.count = 0  # all ticks added so far

    def add(self, seq: int, ts_ms: int) -> None:
        """Adds a tick."""
        self.seqs.append(seq)
        self.times.append(ts_ms)
        self.count += 1
        if len(self.seqs) > 2 * self._KEPT:
            # Each sequence is kept once: ticks that are backfilled repeatedly must not displace others.
            newest = list(dict(zip(self.seqs, self.times, strict=True)).items())[-self._KEPT :]
            self.seqs, self.times = (array("q", column) for column in zip(*newest, strict=True))

    def known(self) -> frozenset[int]:
        """The sequences."""
        return frozenset(self.seqs)

    def until(self, moment_ms: int) -> set[int]:
        """The sequences of the ticks whose own time is not later than a moment."""
        return {seq for seq, ts_ms in zip(self.seqs, self.times, strict=True) if ts_ms <= moment_ms}

    def unproved_ms(self, newest_ms: int) -> int:
        """The time from which ticks may be missing since OpenD's last answer (UTC epoch ms).

        It is computed from the longest interval between answers, in time and in ticks.
        """
        return max(newest_ms - COMPARED_S * 1000, min(self.times[-COMPARED_ROWS:], default=newest_ms))

    def between(self, from_ms: int, to_ms: int) -> set[int]:
        """The sequences of the ticks whose own time lies strictly between two moments."""
        return {seq for seq, ts_ms in zip(self.seqs, self.times, strict=True) if from_ms < ts_ms < to_ms}


class Oldest(NamedTuple):
    """The oldest tick that several complete answers have in common."""

    ts_ms: int  # its time
    since_s: float  # when the first of these answers arrived, monotonic
    times: int  # how many there were
    ticks: int  # number of ticks in the first of them


class Unconfirmed(NamedTuple):
    """The state of a symbol with the rule at the start of an interruption, kept until an answer reaches back to it."""

    next: int
    last_seq: int
    last_ts_ms: int
    cause: str
    answers: int = 0  # how many answers did not reach back to it
    answered_s: float = 0.0  # when the last of them arrived (monotonic)


@dataclass(slots=True)
class SymbolDay:
    """The state of one symbol on one day.

    "With the rule" and "without the rule" say for which symbols a field is used.
    """

    symbol: str
    next: int = 0  # the next counter; 0 before the first tick that follows the rule, -1 after the rule has ended
    first_seq: int = 0  # the lowest sequence that followed the rule, 0 before the first one
    last_seq: int = 0  # the highest sequence; its counter is not always `next` - 1, because of late reports
    last_ts_ms: int = 0
    gaps: list[OpenGap] = field(default_factory=list)  # gaps that may still be filled, by counter, never adjacent
    lost: LostGaps = field(default_factory=LostGaps)  # lost gaps
    past: list[OpenGap] = field(default_factory=list)  # gaps of earlier runs of the counter
    doubt: OpenGap | None = None  # a time range in which ticks may be missing
    # without the rule: sequences from before the doubt; an answer that has one of them ends the doubt
    known: set[int] = field(default_factory=set)
    known_seq: int = 0  # with the rule: the last sequence before the doubt
    proved: frozenset[int] = frozenset()  # without the rule: the sequences of the newest answer that left no doubt
    proved_ms: int = 0  # and the time of its newest tick
    interrupted: str = ""  # the cause of the last interruption, used for a gap that starts at `interrupted_at`
    interrupted_at: int = 0  # `next` when the interruption began
    from_ms: int = 0  # the bounds of its day, set by Day.keep
    to_ms: int = 0
    run_seq: int = 0  # the first sequence since the counter last restarted within the day, 0 if it never did
    runs: int = 0  # how often the counter restarted
    candidate: int = 0  # a sequence that begins a new run if the next tick follows it
    strange: list[int] = field(default_factory=list)  # sequences that do not follow the rule
    in_a_row: int = 0  # how many of them are consecutive
    strange_at: int = 0  # `next` when the last one was noted
    skipped: LostGaps = field(default_factory=LostGaps)  # counters without a tick, according to OpenD's answers
    marks: set[int] = field(default_factory=set)  # counters of received ticks that are not in this day's file
    contradicted: int = 0  # how many gaps OpenD's answers have contradicted
    unconfirmed: Unconfirmed | None = None  # with the rule: since an interruption no answer has reached back to it
    recent: Recent | None = None  # without the rule: the newest ticks
    oldest: Oldest | None = None  # the oldest tick of the last complete answers

    @property
    def patterned(self) -> bool:
        """Whether the symbol follows the rule, so that its sequence shows what is missing."""
        return self.next > 0

    def unstored(self) -> int:
        """How many counters of this run are not stored: in open gaps, in lost gaps, or skipped."""
        return sum(gap.missing or 0 for gap in self.gaps) + self.lost.missing() + self.skipped.missing()

    def unstored_between(self, low: int, high: int) -> int:
        """How many of the counters from `low` to `high` are not stored."""
        open_ = sum(max(0, min(high, gap.last) - max(low, gap.first) + 1) for gap in self.gaps)
        return open_ + self.lost.missing_between(low, high) + self.skipped.missing_between(low, high)

    @property
    def progress(self) -> int:
        """A number that increases with each tick."""
        return self.recent.count if self.recent else self.next

    def recall(self, seq: int) -> None:
        """Counts a tick as known before the interruption: an answer that reaches back to this tick is then enough."""
        before = self.unconfirmed
        if before is not None and seq > before.last_seq:
            self.unconfirmed = before._replace(next=max(before.next, (seq & COUNTER_MASK) + 1), last_seq=seq)
        if self.doubt is None:
            return
        self.doubt.final, self.doubt.tries = False, 0  # an answer may reach back to this tick
        if self.doubt.from_seq is not None:
            self.known_seq = max(self.known_seq, seq)
        else:
            self.known.add(seq)

    def go_to(self, counter: int, seq: int, ts_ms: int) -> None:
        """Records a seen tick with this counter and sequence, which may be newer than all before."""
        if counter <= COUNTER_MAX and counter >= self.next:
            self.next = counter + 1
        if seq > self.last_seq:
            self.last_seq, self.last_ts_ms = seq, max(ts_ms, self.last_ts_ms)

    def note_first(self, seq: int) -> None:
        """Records a stored tick that follows the rule, which may be the earliest known tick of the day."""
        if not self.first_seq or seq < self.first_seq:
            self.first_seq = seq

    def remember(self, seq: int, ts_ms: int) -> None:
        """Records a tick of a symbol without the rule."""
        if self.recent is None:
            self.recent = Recent()
        self.recent.add(seq, ts_ms)

    def note_strange(self, seq: int) -> bool:
        """Records a tick that does not follow the rule. Returns whether the rule must end because of it."""
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
    marked: int = 0  # ticks recorded as received but not stored, since the file was read
    dirty: dict[int, tuple[str, OpenGap, bool]] = field(default_factory=dict)  # gap id → symbol, gap, still open
    rules: dict[str, str] = field(default_factory=dict)  # symbol → its rule, if that is not yet in the file
    sealed: bool = False  # no tick can be stored, so gaps are not searched for
    unread: bool = False  # its file could not be read: changes of gaps must not be written before it was read
    idle_s: float | None = None  # of a finished day: since when nothing of it was seen, in monotonic seconds
    loading: bool = False  # its file is being read: ticks that arrive meanwhile wait in `pending`
    # symbol, seq, ts_ms, stored, rejected
    pending: list[tuple[str, int, int, bool, bool]] = field(default_factory=list)
    recalled: list[tuple[str, int]] = field(default_factory=list)  # symbol, seq of those that came from a spool

    @property
    def start_s(self) -> int:
        """The start of the day, UTC epoch s."""
        return market.day_start_ms(self.number) // 1000

    @property
    def last_seq(self) -> int:
        """The highest sequence that a tick of this day can have according to the rule."""
        return min((market.day_start_ms(self.number + 1) // 1000 << 32) - 1, SEQ_MAX)

    def keep(self, track: SymbolDay) -> None:
        """Adds a track to this day."""
        self.tracks[track.symbol] = track
        track.from_ms, track.to_ms = market.day_start_ms(self.number), market.day_start_ms(self.number + 1)
        track.interrupted_at = track.next

    def new_gap_id(self) -> int:
        """The id of a new row of `gaps`."""
        self.next_gap_id += 1
        return self.next_gap_id - 1


def plausible(seq: int, ts_ms: int) -> bool:
    """Whether a sequence can be `epoch second << 32 | counter` of a tick with this time."""
    return abs((seq >> 32) - ts_ms // 1000) <= SEQ_NEAR_S and 1 <= seq & COUNTER_MASK <= COUNTER_MAX


def continues(track: SymbolDay, seq: int, *, near: bool) -> bool:
    """Whether a sequence continues a track that follows the rule, directly or after a jump of plausible size.

    `near` says that the tick's time matches the sequence. For a late report it does not.
    """
    jump, passed_s = (seq & COUNTER_MASK) - track.next, (seq >> 32) - (track.last_seq >> 32)
    if jump < 0 or jump > _JUMP_MAX or seq & COUNTER_MASK > COUNTER_MAX:
        return False
    if near:
        return not track.last_seq or jump <= max(_JUMP_ALWAYS, passed_s * _JUMP_PER_S)
    return jump <= _JUMP_ALWAYS and -SEQ_NEAR_S <= passed_s <= _STEP_S


def is_restart(track: SymbolDay, seq: int) -> bool:
    """Whether a sequence is higher than all before although its counter is not: the counter restarted."""
    return seq > track.last_seq and seq & COUNTER_MASK < track.next


def follows(seq: int, before: int) -> bool:
    """Whether a sequence can follow another one of the same run, directly or after a small jump."""
    jump, passed_s = (seq & COUNTER_MASK) - (before & COUNTER_MASK), (seq >> 32) - (before >> 32)
    return 0 < jump <= max(_JUMP_ALWAYS, passed_s * _JUMP_PER_S) and passed_s >= -SEQ_NEAR_S
