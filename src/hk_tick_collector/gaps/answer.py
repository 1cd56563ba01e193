"""What an answer of OpenD's to GetTicker shows about one symbol and day. No I/O. `judging` acts on it.

The rule of the sequence is inferred, so a gap must be confirmed by OpenD's answers. An answer is only used for this if
it is honest, which means:

- it reaches the newest tick that was known when it was requested, and
- it has every tick that we know between its oldest and its newest tick.

After a reconnect OpenD may answer for some seconds with few, old or no ticks. Such an answer is not honest: its ticks
are stored, but it closes no gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market

from .symbol_day import COUNTER_MASK, Oldest, plausible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .gap import OpenGap
    from .symbol_day import Day, SymbolDay, Unconfirmed

_LATE_MS: Final = 3_000  # how far OpenD's answers may be behind its pushes
_EDGE_MS: Final = 1_000  # ticks of one second may be in any order
_STABLE_TIMES: Final = 3
_STABLE_S: Final = 20.0
_GROWING_S: Final = 2.0
# The rule ends if one answer contradicts at least _STEPS_LEAST gaps, and one gap per _STEPS_SHARE pairs of ticks.
_STEPS_LEAST: Final = 5
_RISING: Final = 3  # ticks with rising counters needed before and after a fall to show a restart of the counter
_STEPS_SHARE: Final = 10
WINDOW_LEAST: Final = 100  # OpenD's window for a symbol is never smaller than this


class Answer(NamedTuple):
    """OpenD's latest ticks of a symbol, including those that cannot be stored."""

    ticks: Sequence[tuple[int, int]]  # sequence, UTC epoch ms; 0 for a tick that cannot be stored and has no time
    asked_rows: int
    full: bool  # it has as many ticks as OpenD's window: older ticks cannot be requested
    newest_ms: int  # the time of the newest tick that was known when it was requested
    now_s: float  # monotonic

    @property
    def complete(self) -> bool:
        """Whether it has fewer ticks than requested, so OpenD has no more. After a reconnect that may be wrong."""
        return len(self.ticks) < self.asked_rows

    @property
    def is_fresh(self) -> bool:
        """Whether it reaches the newest tick that was known when it was requested."""
        return max((ts_ms for _, ts_ms in self.ticks), default=0) >= self.newest_ms - _LATE_MS


class Part(NamedTuple):
    """The ticks of an answer that are of one day."""

    seqs: frozenset[int]
    oldest_ms: int  # 0 without any
    newest_ms: int
    from_before: bool  # the answer also has ticks of earlier days, so it has this day from its start
    from_after: bool  # the answer also has ticks of later days

    @property
    def lowest_seq(self) -> int | None:
        """The lowest sequence, None without any."""
        return min(self.seqs, default=None)


def part_of(answer: Answer, day: int) -> Part:
    """The ticks of an answer that are of a day."""
    here: dict[int, int] = {}
    before = after = False
    last = len(answer.ticks) - 1
    for index, (seq, ts_ms) in enumerate(answer.ticks):
        if not ts_ms:
            continue
        number = market.day_number(ts_ms)
        if number == day:
            here[seq] = ts_ms
        # A tick may have a wrong date. If the sequence does not confirm it, only the first or last tick counts.
        elif plausible(seq, ts_ms) or index == (0 if number < day else last):
            before, after = before or number < day, after or number > day
    times = here.values()
    return Part(frozenset(here), min(times, default=0), max(times, default=0), before, after)


class Reach(NamedTuple):
    """The range of counters that an honest answer covers, from `low` to `high`."""

    low: int
    high: int
    pairs: int  # pairs of adjacent ticks in the answer
    middle: int  # the median counter

    def contradicts(self, gap: OpenGap) -> bool:
        """Whether the answer has the tick before and the tick after a gap, and so none between."""
        return self.low < gap.first and gap.last < self.high

    def is_last_word(self, gap: OpenGap, answer: Answer) -> bool:
        """Whether the next answer may no longer reach a gap that this one contradicts.

        This is the case for a busy symbol, whose ticks leave OpenD's window within seconds.
        """
        if self.pairs < WINDOW_LEAST:
            return False
        return answer.full or (answer.complete and gap.last < self.middle)


def reach(day: Day, track: SymbolDay, answer: Answer, part: Part) -> Reach | None:
    """The range that an answer covers, for a symbol that follows the rule; None if it lacks a tick that we know.

    A tick counts for the day of the second in its sequence, which can differ from the day of its time.
    """
    first, end, strange = day.start_s << 32, day.last_seq, set(track.strange)
    run = {
        seq & COUNTER_MASK
        for seq, _ in answer.ticks
        if track.run_seq <= seq and first <= seq <= end and 0 < seq & COUNTER_MASK < track.next and seq not in strange
    }
    if not run:
        return None
    low, high = min(run), max(run)
    # OpenD's answer may lack a tick that could not be stored or has another date.
    optional = sum(low <= counter <= high for counter in track.marks - run)
    held = high - low + 1 - track.unstored_between(low, high)
    if len(run) < held - optional:
        return None
    from_before = part.from_before or any(seq < track.run_seq for seq in part.seqs)
    return Reach(0 if from_before else low, high, len(run) - 1, sorted(run)[len(run) // 2])


def reaches_back(track: SymbolDay, day: Day, answer: Answer, before: Unconfirmed) -> bool:
    """Whether an answer reaches back to a tick that was known when the interruption began."""
    first = day.start_s << 32
    return any(
        first <= seq <= before.last_seq and 0 < seq & COUNTER_MASK < before.next and seq not in track.strange
        for seq, _ in answer.ticks
    )


def shows_restart(day: Day, track: SymbolDay, answer: Answer) -> bool:
    """Whether an answer shows a restart of the counter."""
    first, end = max(day.start_s << 32, track.run_seq), day.last_seq
    return last_fall(sorted(seq for seq, _ in answer.ticks if first <= seq <= end)) > 0


def last_fall(seqs: Sequence[int]) -> int:
    """The index of the first sequence after the last restart of the counter, 0 if there is none.

    `seqs` are in ascending order. A restart needs several rising counters before and after the fall, so that a single
    late report does not count.
    """
    counters = [seq & COUNTER_MASK for seq in seqs]
    for at in range(len(counters) - _RISING, _RISING - 1, -1):
        if counters[at] < counters[at - 1]:
            before, after = counters[at - _RISING : at], counters[at : at + _RISING]
            if before == sorted(before) and after == sorted(after) and after[-1] < before[0]:
                return at
    return 0


def steps(reached: Reach, gaps: Iterable[OpenGap]) -> bool:
    """Whether an answer contradicts so many gaps that the counter does not increase by one per tick.

    Only gaps that an earlier answer has contradicted are counted: a single answer may be incomplete.
    """
    wrong = sum(gap.contradicted_s is not None and reached.contradicts(gap) for gap in gaps)
    return wrong >= _STEPS_LEAST and wrong * _STEPS_SHARE >= reached.pairs


def has_all_recent(track: SymbolDay, part: Part, answer: Answer) -> bool:
    """Whether an answer has all ticks that we know within its time range, for a symbol without the rule.

    It may have fewer ticks than we know, because OpenD's window may be smaller than 1,000. But an answer with only a
    few ticks is not used.
    """
    if track.recent is None:
        return True
    known = track.recent.known()
    if len(answer.ticks) < min(answer.asked_rows, len(known), WINDOW_LEAST):
        return False
    return track.recent.between(part.oldest_ms + _EDGE_MS, part.newest_ms - _LATE_MS) <= part.seqs


def is_whole_day(track: SymbolDay, part: Part, answer: Answer) -> bool:
    """Whether an answer has the day from its first tick.

    That is certain if it also has ticks of an earlier day. If it only has fewer ticks than requested, several answers
    must have the same oldest tick: either the number of ticks grows, which shows that OpenD drops no old ones, or they
    extend over some time. It must also have the first tick that we know, because OpenD's window may be smaller than
    1,000.
    """
    if part.from_before:
        return True
    known = len(track.recent.known()) if track.recent else 0
    has_all = len(answer.ticks) >= min(answer.asked_rows, known) and (
        not track.first_seq or track.first_seq in part.seqs
    )
    if not answer.complete or part.from_after or not has_all:
        track.oldest = None
        return False
    ticks, before = len(answer.ticks), track.oldest
    if before is None or before.ts_ms != part.oldest_ms:
        track.oldest = Oldest(part.oldest_ms, answer.now_s, 1, ticks)
        return False
    track.oldest = before._replace(times=before.times + 1)
    lasted_s = answer.now_s - before.since_s
    if ticks > before.ticks and lasted_s >= _GROWING_S:
        return True
    return track.oldest.times >= _STABLE_TIMES and lasted_s >= _STABLE_S


def knows(day: Day, track: SymbolDay, doubt: OpenGap, part: Part) -> bool:
    """Whether an answer reaches back to a tick from before a doubt. Then no tick is missing after that tick."""
    known_seq = track.known_seq if doubt.from_seq is None else max(track.known_seq, doubt.from_seq - 1)
    return bool(part.seqs & track.known) or any(day.start_s << 32 <= seq <= known_seq for seq in part.seqs)


def in_a_gap(track: SymbolDay, counter: int) -> bool:
    """Whether an open or lost gap of known size contains this counter."""
    return track.lost.holds(counter) or any(gap.first <= counter <= gap.last for gap in track.gaps)
