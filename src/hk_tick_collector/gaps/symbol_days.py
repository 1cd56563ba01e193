"""What is known of every symbol on every day, shared by the modules of this package. Opens and ends doubts. No I/O.

A doubt is a gap of unknown size: a time range in which ticks may be missing. An answer of OpenD's ends it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from .gap import OpenGap
from .losses_by_second import Losses
from .symbol_day import COUNTER_MASK, MARGIN_MS, RULE_NONE, Day, SymbolDay, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .answer import Part

# Limits for the gaps in memory: of one symbol, of all gaps that may be filled, and of all gaps. A gap that may be
# filled takes half a KB, a lost one 100 bytes.
GAPS_MOST: Final = 5_000
ASKED_MOST: Final = 50_000
ALL_MOST: Final = 600_000
_SHARE: Final = 300  # the two limits for all symbols do not apply to a symbol with fewer gaps
_COUNT_EVERY: Final = 50  # all gaps are counted again after this many new gaps of a symbol


class SymbolDays:
    """All loaded days with their symbols. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.days: dict[int, Day] = {}
        self.forgotten: dict[int, set[str]] = {}  # days removed from memory → the symbols still unconfirmed then
        self.latest: dict[str, SymbolDay] = {}  # each symbol on the day of its newest tick
        self.losses = Losses()
        self.events: deque[tuple[str, str, int]] = deque(maxlen=10_000)  # symbol, finding, sequence: for the log
        self.is_interrupted = False  # ticks may be missed now, by us or by OpenD: answers end no doubt and close no gap

    def day_of(self, track: SymbolDay) -> Day:
        """The day of a track."""
        return self.days[market.day_number(track.from_ms)]

    def forget_before(self, number: int, now_s: float, committed_s: float) -> None:
        """Removes finished days from memory. If a tick of such a day still arrives, its file is read again.

        So a day stays until the file has all that was seen of it: whatever was seen before `committed_s` is committed.
        Both times are monotonic seconds. Call it again and again.
        """
        finished = [day for day in self.days.values() if day.number < number and not day.loading]
        if not finished:
            return
        from_ms = market.day_start_ms(number)
        # No tick of a finished day may take the short way of `see`, which does not use the day.
        self.latest = {symbol: track for symbol, track in self.latest.items() if track.from_ms >= from_ms}
        for day in finished:
            if day.idle_s is None or day.dirty or day.rules:
                day.idle_s = now_s
            elif day.idle_s < committed_s:
                del self.days[day.number]
                self.forgotten[day.number] = {track.symbol for track in day.tracks.values() if track.unconfirmed}

    def mark(self, day: Day, symbol: str, seq: int, cause: str) -> None:
        """Records that this tick was received but is not stored in the day's file: its counter is not missing."""
        counter, ts_ms = seq & COUNTER_MASK, (seq >> 32) * 1000
        mark = OpenGap(day.new_gap_id(), counter, counter, seq, seq, ts_ms, ts_ms, cause, self.now_ms(), written=True)
        day.dirty[mark.id] = (symbol, mark, False)
        day.tracks[symbol].marks.add(counter)

    def end_rule(self, day: Day, track: SymbolDay, why: str) -> tuple[list[OpenGap], Unconfirmed | None]:
        """Ends the rule of a symbol: that is written and logged, and its gaps are closed as invalid.

        Returns these gaps, with the doubt if there is one, and what was known at the start of the last interruption.
        """
        gaps = [*track.past, *track.gaps, *track.lost.clear()]
        for gap in gaps:
            day.dirty[gap.id] = (track.symbol, gap, False)
        track.gaps, track.past, track.next = [], [], -1
        day.rules[track.symbol] = RULE_NONE
        self.events.append((track.symbol, why, track.last_seq))
        unconfirmed, track.unconfirmed = track.unconfirmed, None
        return [*gaps, *self.take_doubt(day, track)], unconfirmed

    def doubt(
        self,
        day: Day,
        track: SymbolDay,
        from_seq: int | None,
        from_ts_ms: int,
        cause: str,
        known: set[int] | None = None,
    ) -> OpenGap:
        """Opens a doubt or extends the open one: an unknown number of ticks may be missing from this point on.

        With the rule the doubt has sequences as bounds, starting at the second of the last known tick, because the
        counter may restart within it. Without the rule it has only times. It ends at the end of the day until an answer
        shows an earlier end.
        """
        day_start_ms, doubt = day.start_s * 1000, track.doubt
        if known is None and track.proved:  # ticks may be missing since the last complete answer
            known, from_ts_ms = set(track.proved), min(from_ts_ms, track.proved_ms)
        elif known is None:
            known = track.recent.until(from_ts_ms) if track.recent else set()
        if from_seq is None:
            track.known_seq = 0 if doubt is None or doubt.final else track.known_seq
            from_ts_ms = from_ts_ms - MARGIN_MS if from_ts_ms else day_start_ms
        from_ts_ms = max(from_ts_ms, day_start_ms)
        if from_seq is not None:
            track.known_seq = from_seq - 1 if doubt is None or doubt.final else min(track.known_seq, from_seq - 1)
            from_seq &= ~COUNTER_MASK
        if doubt is None or doubt.final:
            to_seq = None if from_seq is None else max(from_seq, day.last_seq)
            doubt = track.doubt = OpenGap(
                day.new_gap_id(), 0, 0, from_seq, to_seq, from_ts_ms, track.to_ms - 1, cause, self.now_ms()
            )
            track.known, track.oldest = known, None
        elif from_seq is None or doubt.from_seq is None:
            # A doubt with only times starts MARGIN_MS before the last known tick. One of the two had sequences as
            # bounds, so its time does not include this margin yet.
            if from_seq is not None:
                from_ts_ms = max(from_ts_ms - MARGIN_MS, day_start_ms)
            elif doubt.from_seq is not None:
                doubt.from_ts_ms = max(doubt.from_ts_ms - MARGIN_MS, day_start_ms)
            if from_ts_ms < doubt.from_ts_ms:
                track.known &= known
            doubt.from_seq = doubt.to_seq = None
            doubt.from_ts_ms, doubt.to_ts_ms = min(doubt.from_ts_ms, from_ts_ms), track.to_ms - 1
        elif from_seq < doubt.from_seq:
            doubt.from_seq, doubt.from_ts_ms = from_seq, min(from_ts_ms, doubt.from_ts_ms)
        day.dirty[doubt.id] = (track.symbol, doubt, True)
        return doubt

    def take_doubt(self, day: Day, track: SymbolDay) -> list[OpenGap]:
        """Ends a doubt that becomes part of another one, and returns it."""
        doubt, track.doubt = track.doubt, None
        if doubt is None:
            return []
        day.dirty[doubt.id] = (track.symbol, doubt, False)
        return [doubt]

    def end_doubt(self, day: Day, track: SymbolDay, part: Part) -> None:
        """Ends a doubt: an answer had all ticks that could have been missing."""
        if track.doubt is not None:
            day.dirty[track.doubt.id] = (track.symbol, track.doubt, False)
        track.doubt, track.known = None, set()
        track.proved, track.proved_ms = part.seqs, part.newest_ms

    # --- queries ---

    def open_gaps(self) -> Iterable[tuple[SymbolDay, OpenGap]]:
        """Every gap and doubt of every loaded day that may still be filled or was lost recently."""
        for day in self.days.values():
            for track in day.tracks.values():
                for gap in track.gaps:
                    yield track, gap
                for gap in track.past:
                    yield track, gap
                if track.doubt:
                    yield track, track.doubt

    def any_open(self) -> bool:
        """Whether `open_gaps` has any."""
        return next(iter(self.open_gaps()), None) is not None

    def has_too_many(self, track: SymbolDay) -> bool:
        """Whether there are too many gaps for the memory. The caller then replaces those of this symbol by one doubt.

        The gaps of all symbols are counted only from time to time, and only for a symbol with many gaps.
        """
        if len(track.gaps) > GAPS_MOST:
            return True
        if len(track.gaps) + len(track.lost) < _SHARE or len(track.gaps) % _COUNT_EVERY:
            return False
        tracks = [each for day in self.days.values() for each in day.tracks.values()]
        asked_for = sum(len(each.gaps) for each in tracks)
        if asked_for > ASKED_MOST and len(track.gaps) >= _SHARE:
            return True
        return asked_for + sum(len(each.lost) for each in tracks) > ALL_MOST

    def lost_gaps(self) -> Iterable[tuple[SymbolDay, OpenGap]]:
        """Every lost gap of known size."""
        for day in self.days.values():
            for track in day.tracks.values():
                yield from ((track, gap) for gap in track.lost)

    def recount_losses(self) -> None:
        """Counts the losses again after lost ticks were added from another source: only gaps still open are lost."""
        there = [gap for _, gap in self.open_gaps() if gap.lost_ms]
        self.losses.recount([*there, *(gap for _, gap in self.lost_gaps())])

    def track(self, symbol: str) -> SymbolDay | None:
        """What is known of a symbol on the day of its newest tick."""
        return self.latest.get(symbol)

    def tracks(self) -> Iterable[SymbolDay]:
        """Every symbol on the day of its newest tick."""
        return self.latest.values()

    def unconfirmed(self) -> Iterable[SymbolDay]:
        """Symbols for which no answer has yet reached a tick that was known when an interruption began."""
        return [track for track in self.latest.values() if track.unconfirmed is not None]

    def symbols_without_rule(self) -> list[str]:
        """The symbols whose sequence does not show what is missing."""
        return [track.symbol for track in self.latest.values() if track.next < 0]

    def missing(self, symbol: str) -> int:
        """How many ticks of a symbol are missing that OpenD may still have; a doubt counts as one."""
        return sum(gap.missing or 1 for gap in self.fillable_gaps(symbol))

    def tries(self, symbol: str) -> int:
        """The highest number of answers that should have filled a gap of the symbol, and did not."""
        return max((gap.tries for gap in self.fillable_gaps(symbol)), default=0)

    def fillable_gaps(self, symbol: str) -> Iterable[OpenGap]:
        """The gaps and doubts of a symbol that may be filled."""
        for day in self.days.values():
            track = day.tracks.get(symbol)
            if track is not None:
                yield from (gap for gap in (*track.gaps, *track.past) if not gap.final)
                if track.doubt and not track.doubt.final:
                    yield track.doubt
