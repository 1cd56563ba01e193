"""One symbol on one day: how far its counter has come, the holes behind it, and whether it follows the pattern.

The values that `holes` works on, `resume` loads from a day's file and `rebuild` makes anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hk_tick_collector import market

COUNTER_MASK: Final = 0xFFFF_FFFF
SEQ_MAX: Final = 2**63 - 1
_NEAR_S: Final = 10  # how far the second in a sequence may stand from the tick's own time
COUNTER_MAX: Final = 10_000_000  # more ticks than any symbol has a day: beyond it the low half is no counter
_JUMP_MAX: Final = 1_000_000
_TRIES: Final = 3  # answers without a tick that should be in them, before OpenD is believed not to have it

CAUSE_BEFORE_START: Final = "before_start"
CAUSE_PUSH_LOST: Final = "push_lost"
CAUSE_DROPPED: Final = "dropped"
CAUSE_REJECTED: Final = "rejected"
CAUSE_RESTART: Final = "restart"


@dataclass(slots=True)
class Hole:
    """Missing ticks of one symbol with counters `first` to `last`; their sequences lie within from_seq and to_seq."""

    id: int
    first: int
    last: int
    from_seq: int
    to_seq: int
    from_ts_ms: int
    to_ts_ms: int
    cause: str
    opened_ms: int
    tries: int = 0  # answers that should have held one of these ticks
    final: bool = False  # OpenD can no longer give these ticks
    lost_ms: int = 0  # when that was first seen; 0 when it never was
    written: bool = False  # the day file knows this hole

    @property
    def missing(self) -> int | None:
        """How many ticks are missing; None for a doubt, where only time tells that some may be."""
        return self.last - self.first + 1 if self.first else None


@dataclass(slots=True)
class Track:
    """One symbol on one day: the counter that comes next, and the holes behind it."""

    symbol: str
    next: int = 0  # 0 before the first tick, -1 once the sequence has broken the pattern
    last_seq: int = 0  # the highest, not the one before `next`: a late report may carry an older second
    last_ts_ms: int = 0
    holes: list[Hole] = field(default_factory=list)  # by counter, never adjacent
    doubt: Hole | None = None  # without the pattern: a stretch of time in which ticks may be missing
    interrupted: str = ""  # why ticks may be missing since `interrupted_at` came next: the cause of a jump from there
    interrupted_at: int = 0
    from_ms: int = 0  # its day, see Day.keep
    to_ms: int = 0

    @property
    def patterned(self) -> bool:
        """Whether the sequence tells what is missing."""
        return self.next > 0


@dataclass(slots=True)
class Day:
    """All symbols of one Hong Kong day."""

    number: int
    tracks: dict[str, Track] = field(default_factory=dict)
    next_gap_id: int = 1
    dirty: dict[int, tuple[str, Hole, bool]] = field(default_factory=dict)  # hole id → symbol, hole, still open
    sealed: bool = False  # finished: nothing can be stored there, so nothing is looked for

    @property
    def start_s(self) -> int:
        """When it begins, UTC epoch s."""
        return market.day_start_ms(self.number) // 1000

    def keep(self, track: Track) -> None:
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
    return abs((seq >> 32) - ts_ms // 1000) <= _NEAR_S and 1 <= seq & COUNTER_MASK <= COUNTER_MAX


def fits(track: Track, seq: int, ts_ms: int) -> bool:
    """Whether a tick can be one of a symbol that follows the pattern."""
    if not plausible(seq, ts_ms):
        return False
    jump = (seq & COUNTER_MASK) - track.next
    if track.next == 0 or jump >= 0:
        return track.next == 0 or jump <= _JUMP_MAX
    return (seq >> 32) - (track.last_seq >> 32) <= _NEAR_S  # counters never begin anew within a day


def is_lost(hole: Hole, lowest_seq: int | None, exhausted: bool) -> bool:
    """Notes an answer of OpenD's; whether it leaves no hope for a hole or a doubt."""
    if exhausted and lowest_seq is not None and (hole.to_seq < lowest_seq or not hole.first):
        hole.final = True
    elif exhausted or (lowest_seq is not None and lowest_seq <= hole.from_seq):
        hole.tries += 1
        hole.final = hole.tries >= _TRIES
    return hole.final
