"""What an answer of OpenD's to GetTicker proves of one symbol and day. No I/O; `judging` draws the consequences.

The rule of the sequence is inferred. Alone it proves nothing: OpenD's own answers are the second witness. An answer
counts only when it is honest: it reaches the newest tick that was known when it was asked for, and it has every tick
that we hold between its oldest and its newest. After a reconnect OpenD may answer for some seconds with a few ticks,
with old ones or with none; such an answer still brings its ticks, and closes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market

from .symbol_day import COUNTER_MASK, Oldest, plausible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .gap import OpenGap
    from .symbol_day import Day, SymbolDay, Unwitnessed

_LATE_MS: Final = 3_000  # how far OpenD's answers may be behind its pushes
_EDGE_MS: Final = 1_000  # ticks of one second may be in any order
_STABLE_TIMES: Final = 3
_STABLE_S: Final = 20.0
_GROWING_S: Final = 2.0
# Jumps that OpenD contradicts in one answer, and one in how many neighbours: then the counter does not step by one.
_STEPS_LEAST: Final = 5
_RISING: Final = 3  # so many ticks before a fall of the counter and after it show that it began anew
_STEPS_SHARE: Final = 10
WINDOW_LEAST: Final = 100  # an answer of fewer ticks is not all that OpenD can keep of a symbol


class Answer(NamedTuple):
    """OpenD's latest ticks of a symbol, those included that could not be stored."""

    ticks: Sequence[tuple[int, int]]  # sequence, UTC epoch ms; 0 where a tick that cannot be stored has no time
    asked_rows: int
    full: bool  # as many as OpenD ever gives: what is older can be had no more
    newest_ms: int  # the time of the newest tick that was known when it was asked for
    now_s: float  # monotonic

    @property
    def complete(self) -> bool:
        """Whether OpenD says that it has no more; right after a reconnect that may not be so."""
        return len(self.ticks) < self.asked_rows

    @property
    def is_fresh(self) -> bool:
        """Whether it reaches what was known when it was asked for."""
        return max((ts_ms for _, ts_ms in self.ticks), default=0) >= self.newest_ms - _LATE_MS


class Part(NamedTuple):
    """The ticks of an answer that are of one day."""

    seqs: frozenset[int]
    oldest_ms: int  # 0 without any
    newest_ms: int
    from_before: bool  # it has ticks of earlier days too: nothing of this day can be older than these
    from_after: bool  # and of later days

    @property
    def lowest_seq(self) -> int | None:
        """The lowest sequence, None without any."""
        return min(self.seqs, default=None)


def part_of(answer: Answer, day: int) -> Part:
    """What an answer has of a day."""
    here: dict[int, int] = {}
    before = after = False
    last = len(answer.ticks) - 1
    for index, (seq, ts_ms) in enumerate(answer.ticks):
        if not ts_ms:
            continue
        number = market.day_number(ts_ms)
        if number == day:
            here[seq] = ts_ms
        # A wrong date says nothing: where the sequence does not confirm it, only the ends of an answer count.
        elif plausible(seq, ts_ms) or index == (0 if number < day else last):
            before, after = before or number < day, after or number > day
    times = here.values()
    return Part(frozenset(here), min(times, default=0), max(times, default=0), before, after)


class Reach(NamedTuple):
    """The counters that an honest answer speaks of: those between `low` and `high`; `pairs` neighbours are in it.

    Half of them are below `middle`.
    """

    low: int
    high: int
    pairs: int
    middle: int

    def contradicts(self, gap: OpenGap) -> bool:
        """Whether it shows the neighbours of a gap side by side."""
        return self.low < gap.first and gap.last < self.high

    def is_last_word(self, gap: OpenGap, answer: Answer) -> bool:
        """Whether the next answer may no longer reach a gap that this one contradicts.

        So it is with a busy symbol, whose ticks leave OpenD's window within seconds..
        """
        if self.pairs < WINDOW_LEAST:
            return False
        return answer.full or (answer.complete and gap.last < self.middle)


def reach(day: Day, track: SymbolDay, answer: Answer, part: Part) -> Reach | None:
    """What an answer says of a symbol that follows the rule, None where it has less than we know.

    A tick counts for the day of the second in its sequence: its own time may be of another day.
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
    # A tick that could not be stored, or has another date, may be missing from what OpenD keeps.
    optional = sum(low <= counter <= high for counter in track.marks - run)
    held = high - low + 1 - track.unstored_between(low, high)
    if len(run) < held - optional:
        return None
    from_before = part.from_before or any(seq < track.run_seq for seq in part.seqs)
    return Reach(0 if from_before else low, high, len(run) - 1, sorted(run)[len(run) // 2])


def witnesses(track: SymbolDay, day: Day, answer: Answer, before: Unwitnessed) -> bool:
    """Whether an answer reaches back to a tick that was known before ticks may have passed us by."""
    first = day.start_s << 32
    return any(
        first <= seq <= before.last_seq and 0 < seq & COUNTER_MASK < before.next and seq not in track.strange
        for seq, _ in answer.ticks
    )


def began_anew(day: Day, track: SymbolDay, answer: Answer) -> bool:
    """Whether the counter falls within an answer."""
    first, end = max(day.start_s << 32, track.run_seq), day.last_seq
    return last_fall(sorted(seq for seq, _ in answer.ticks if first <= seq <= end)) > 0


def last_fall(seqs: Sequence[int]) -> int:
    """Where the counter falls last: the index of the first of these sequences, which ascend, after it; 0 where it never
    does. Several rise, the next is lower, and they rise again from there: a single late report is not that.
    """
    counters = [seq & COUNTER_MASK for seq in seqs]
    for at in range(len(counters) - _RISING, _RISING - 1, -1):
        if counters[at] < counters[at - 1]:
            before, after = counters[at - _RISING : at], counters[at : at + _RISING]
            if before == sorted(before) and after == sorted(after) and after[-1] < before[0]:
                return at
    return 0


def steps(reached: Reach, gaps: Iterable[OpenGap]) -> bool:
    """Whether so many jumps are contradicted at once that the counter cannot be one that steps by one.

    One answer is not enough: where nothing was known before it, what it leaves out does not show. The next one must
    have all that it had.
    """
    wrong = sum(gap.contradicted_s is not None and reached.contradicts(gap) for gap in gaps)
    return wrong >= _STEPS_LEAST and wrong * _STEPS_SHARE >= reached.pairs


def has_all_recent(track: SymbolDay, part: Part, answer: Answer) -> bool:
    """Whether an answer has what we know of a symbol without the rule, within the time it speaks of.

    It may be shorter than what we know: OpenD may keep fewer ticks than it says. One of a few ticks proves nothing.
    """
    if track.recent is None:
        return True
    known = track.recent.known()
    if len(answer.ticks) < min(answer.asked_rows, len(known), WINDOW_LEAST):
        return False
    return track.recent.between(part.oldest_ms + _EDGE_MS, part.newest_ms - _LATE_MS) <= part.seqs


def is_whole_day(track: SymbolDay, part: Part, answer: Answer) -> bool:
    """Whether nothing of the day is older than the answer.

    So it is when OpenD gives ticks of the day before. When it only says that it has no more, it must say so again with
    the same oldest tick: while the answer grows, as it does not when only the newest are given, or for a while. It must
    also have all ticks that we know: OpenD may keep fewer than it says.
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
    """Whether an answer reaches back to a tick from before a doubt: then all after it is stored."""
    known_seq = track.known_seq if doubt.from_seq is None else max(track.known_seq, doubt.from_seq - 1)
    return bool(part.seqs & track.known) or any(day.start_s << 32 <= seq <= known_seq for seq in part.seqs)


def tells_of(track: SymbolDay, counter: int) -> bool:
    """Whether an open gap of known size has this counter."""
    return track.lost.holds(counter) or any(gap.first <= counter <= gap.last for gap in track.gaps)
