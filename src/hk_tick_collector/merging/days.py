"""The day files of one directory: parts → transactions, with the gaps that remain and with the position in the stream.

Enters: parts, in the order of the stream. Leaves: prepared transactions, and their results once they are committed.
Nothing here waits or retries: a transaction that failed may be committed again, as often as necessary.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.collect.loading.load import is_over, load
from hk_tick_collector.errors import (
    DamagedFileError,
    ForeignFileError,
    NoDayError,
    SchemaChangedError,
    SealedDayError,
)
from hk_tick_collector.gaps.symbol_day import (
    CAUSE_BEFORE_START,
    CAUSE_SEQUENCE,
    CAUSE_SKIPPED,
    COUNTER_MASK,
    Day,
)
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.model import CAUSE_ELSEWHERE, CAUSE_REJECTED, GAP_HEALED
from hk_tick_collector.store.dayfile import Batch, DayFile, Written, seal
from hk_tick_collector.store.faults import DISK_ERRORS, diagnose
from hk_tick_collector.store.merged_rows import MergedReader, MergedRows, Said, Witness
from hk_tick_collector.store.opening import set_aside
from hk_tick_collector.store.query import DayReader, list_days, path_of

from .parts import CAUSE_NO_SOURCE, META_POSITION, META_SETTLED, META_SOURCE, SOURCE_OPEN, StartOverError, sources_in
from .positions import SettledDays, read_positions
from .totals import compare_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.jetstream.message import SumsMessage
    from hk_tick_collector.model import Gap, TickRow
    from hk_tick_collector.store.dayfile import StoreOptions
    from hk_tick_collector.store.merged_rows import Chosen

    from .parts import Part, Position
    from .positions import Positions

NONE_CHOSEN: Final[Mapping[int, Sequence[Chosen]]] = MappingProxyType({})
_IDLE_S: Final = 60.0
_KNOWN_DAYS: Final = 5  # a collector that sent ticks of one of so many days before a day is expected on it too
FILE_FAULTS: Final = (DamagedFileError, ForeignFileError, SchemaChangedError, NoDayError)
_MOST_FILES: Final = 4  # open at a time, three descriptors each
# These causes are true of the union too. The others say what happened to one collector.
_KEPT_CAUSES: Final = frozenset({CAUSE_BEFORE_START, CAUSE_REJECTED, CAUSE_ELSEWHERE, CAUSE_SKIPPED, CAUSE_SEQUENCE})


@dataclass(frozen=True, slots=True)
class Prepared:
    """One transaction for one day: what it stores, and whose ticks they are."""

    day: int
    batch: Batch
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of a transaction. `late` are ticks of a sealed day that its file does not have: they are rejected."""

    written: Written
    late: tuple[TickRow, ...] = ()


class MergedDays:
    """The day files of `root`, open for writing; created when ticks of a day arrive.

    `now_ms` is the wall clock in UTC epoch ms; `version` is written into each file. Only one thread may use it.
    """

    def __init__(self, root: Path, options: StoreOptions, version: str, now_ms: Callable[[], int]) -> None:
        self.root = root
        self._options = options
        self._version = version
        self._now_ms = now_ms
        self._run_id = f"merge-{now_ms()}"
        self._files: dict[int, DayFile] = {}  # in order of last use
        self._used_s: dict[int, float] = {}  # when each was last used, monotonic
        self._sources: dict[int, dict[str, str]] = {}  # day → collectors known to its file, with what META_SOURCE has
        self._compared: set[int] = set()  # days that were compared in order to be sealed, and are the same since
        self._settled = SettledDays()
        self._positions: dict[int, str] = {}  # of open files: the position in each, as text
        self._tracker = GapTracker(self._load, now_ms)

    # --- transactions ---

    def open(self, parts: Sequence[Part]) -> None:
        """Opens the files of the days of `parts`, reads their gaps. Raises StartOverError and the errors of DayFile.

        After it `prepare` needs no file.
        """
        for day in {part.day for part in parts}:
            with suppress(SealedDayError):
                self._file(day)  # checks it before it is read
            self._tracker.open(day)

    def prepare(
        self, parts: Sequence[Part], position: Position, chosen: Mapping[int, Sequence[Chosen]] = NONE_CHOSEN
    ) -> list[Prepared]:
        """The transactions that store `parts`, one for each day. All of the stream up to `position` is then stored.

        `chosen` has, by day, symbols whose collector was chosen by these parts. Raises StartOverError
        and the errors of DayFile, before the tracker has seen the parts: then call it again.
        """
        self.open(parts)
        for part in parts:
            self._tracker.see(_unseen(self._tracker, part.rows))
        gaps: dict[int, list[Gap]] = {}
        for change in self._tracker.take_changes():
            cause = change.gap.cause if change.gap.cause in _KEPT_CAUSES else CAUSE_NO_SOURCE
            gaps.setdefault(change.day, []).append(change.gap._replace(cause=cause))
        rules = self._tracker.take_rules()
        prepared, settled = [], self._settled.as_text(position)
        for day in sorted({*gaps, *(part.day for part in parts), *(rule.day for rule in rules)}):
            of_day = [part for part in parts if part.day == day]
            sources = tuple(dict.fromkeys(part.source for part in of_day))
            batch = Batch(
                rows=[row for part in of_day for row in part.rows],
                gaps=gaps.get(day, []),
                rules=[rule for rule in rules if rule.day == day],
                meta={META_POSITION: position.as_text(), META_SETTLED: settled},
                merged=MergedRows(_Origins(of_day), tuple(_witnesses(gaps.get(day, ()), of_day)), chosen.get(day, ())),
            )
            prepared.append(Prepared(day, batch, sources))
        return prepared

    def commit(self, prepared: Prepared) -> Stored:
        """Commits one transaction; again, if it failed before. Raises StartOverError and the errors of DayFile."""
        batch = prepared.batch
        try:
            file = self._file(prepared.day)
        except SealedDayError:
            with MergedReader(self.path(prepared.day)) as reader:
                late, differing = reader.compare(batch.rows)
            duplicate = len(batch.rows) - len(late) - len(differing)
            return Stored(Written(0, duplicate, tuple(differing)), tuple(late))
        self._compared.discard(prepared.day)
        known = self._sources[prepared.day]
        new = {source: SOURCE_OPEN for source in prepared.sources if source not in known}
        batch.meta.update({META_SOURCE + source: state for source, state in new.items()})
        written = self._write(prepared.day, file, batch)
        self._positions[prepared.day] = batch.meta.get(META_POSITION, "")
        known.update(new)
        return Stored(written)

    def note_sums(self, day: int, sums: SumsMessage, *, is_over: bool) -> None:
        """Records what a collector says that it has, and compares the day with OpenD's totals. `is_over`: its own file
        of the day is sealed, and all its ticks are here.

        Raises StartOverError and the errors of DayFile.
        """
        try:
            file = self._file(day)
        except SealedDayError:
            return
        self._compared.discard(day)
        batch = Batch(merged=MergedRows(said=Said(sums.source, sums.sums, sums.totals)))
        if is_over:
            batch.meta[META_SOURCE + sums.source] = str(sums.at_ms)
        self._write(day, file, batch)
        self._sources[day].update({sums.source: str(sums.at_ms)} if is_over else {})
        self._compare_totals(day)

    def _compare_totals(self, day: int, expected: Collection[str] = ()) -> None:
        if rows := compare_totals(self.path(day), expected):
            self._write(day, self._file(day), Batch(reconciled=rows))

    def _write(self, day: int, file: DayFile, batch: Batch) -> Written:
        try:
            return file.write(batch, self._now_ms())
        except DISK_ERRORS as error:
            if diagnose(error)[1]:
                self._abandon(day)
            raise

    # --- files ---

    def path(self, day: int) -> Path:
        """Where the file of a day is, or would be."""
        return path_of(self.root, market.day_name(day))

    def positions(self) -> Positions:
        """The position in the file of each day, None where a file has none or cannot be read now."""
        found = read_positions(self.root)
        self._settled.begin(found)
        return found

    def note_whole(self, position: Position) -> None:
        """All of the stream up to a position is committed, of every day."""
        self._settled.whole = position

    def sources(self, day: int) -> dict[str, str]:
        """The collectors that sent ticks of a day: `open`, or when its own file was sealed. Raises as DayReader."""
        if day not in self._sources:
            with DayReader(self.path(day)) as reader:
                self._sources[day] = sources_in(reader.meta())
        return self._sources[day]

    def renew(self, day: int) -> None:
        """Creates the file of a day that was set aside or removed, without a position.

        As long as the file has none, each start reads the stream from its start. On a full disk no file is created, and
        only this process knows that it must read from there.
        """
        path = self.path(day)
        with suppress(*DISK_ERRORS, SealedDayError):
            DayFile(path, path.stem, self._run_id, self._now_ms(), self._version, self._options).close()

    def newest(self) -> DayFile | None:
        """The open file of the latest day."""
        return self._files[max(self._files)] if self._files else None

    def close_idle(self, today: int, position: Position | None) -> None:
        """Closes the files of days before `today` that are not used any more, as plain files that hold the position;
        forgets what is known of them. A tick of such a day opens its file again, which reads all of it.
        """
        now_s = time.monotonic()
        idle = [day for day in self._files if day < today and now_s - self._used_s[day] > _IDLE_S]
        for day in idle:
            self.close(day, position)
        self._tracker.forget_days_before(min([today, *self._files]), now_s, now_s)

    def close(self, day: int, position: Position | None) -> None:
        """Closes the file of a day if it is open. Raises the errors of DayFile."""
        file = self._files.pop(day, None)
        if file is None:
            return
        self._sources.pop(day, None)
        is_plain = False
        try:
            if position is not None:
                file.write(Batch(meta={META_POSITION: position.as_text()}), self._now_ms())
                self._positions[day] = position.as_text()
            is_plain = file.close()
        except BaseException:
            file.abandon()
            raise
        text = self._positions.pop(day, "")
        if is_plain and text:
            self._settled.days[day] = text

    def close_all(self, position: Position | None) -> None:
        """Closes every file; an error of one does not keep the others open."""
        for day in list(self._files):
            with suppress(*DISK_ERRORS):
                self.close(day, position)

    def seal(self, day: int, position: Position | None) -> bool:
        """Checks and seals the file of a finished day. Returns False while a reader has it open.

        Raises the errors of `store.dayfile.seal`, and StartOverError.
        """
        if day not in self._compared:  # ticks may have come after the last sums
            self._compare_totals(day, symbols_of_silent(self, day))
            self._compared.add(day)
        self.close(day, position)
        return seal(self.path(day), self._now_ms(), self._options)

    def _file(self, day: int) -> DayFile:
        file = self._files.get(day)
        if file is not None and not file.in_place():
            self._abandon(day)
            self._replace(file.path, "it was removed or replaced")  # what is in its place, or the WAL alone
            raise StartOverError(f"{file.path.name} was removed or replaced while it was written", file.day_name)
        if file is None:
            path = self.path(day)
            try:
                file = DayFile(path, path.stem, self._run_id, self._now_ms(), self._version, self._options)
            except DamagedFileError as error:
                aside = self._replace(path, error)
                raise StartOverError(f"{path.name} is damaged: it was renamed to {aside.name}", path.stem) from error
            with DayReader(path) as reader:
                self._sources[day] = sources_in(reader.meta())
            while len(self._files) >= _MOST_FILES:
                self.close(next(iter(self._files)), None)
        self._files.pop(day, None)
        self._settled.days.pop(day, None)
        self._files[day], self._used_s[day] = file, time.monotonic()
        return file

    def _replace(self, path: Path, why: object) -> Path:
        """Renames a file, creates it anew without a position, and returns its new path."""
        aside = set_aside(path, self._now_ms())
        log.error("day_set_aside", day=path.stem, path=aside, detail=why)
        self.renew(market.parse_day(path.stem))
        return aside

    def _abandon(self, day: int) -> None:
        file = self._files.pop(day, None)
        self._positions.pop(day, None)
        if file is not None:
            file.abandon()

    def _load(self, number: int) -> Day:
        """The gaps and counters of a day from its file. Raises the errors of DayReader."""
        if any(market.parse_day(name) < number for name in list_days(self.root)):
            self._tracker.end_interruption()  # not the first day: its first ticks should have been collected
        try:
            with DayReader(self.path(number)) as reader, reader.snapshot():
                return Day(number, sealed=True) if is_over(number, reader) else load(number, reader)
        except NoDayError:
            return Day(number)


def known_sources(days: MergedDays, day: int) -> dict[str, str]:
    """As `days.sources`; none if the file itself is at fault: it may stay so, and no other day waits for that.

    Raises as DayReader if it cannot be read now.
    """
    try:
        return days.sources(day)
    except FILE_FAULTS:
        return {}


def expected_sources(days: MergedDays, day: int) -> dict[str, str]:
    """As `known_sources`; also collectors that sent ticks of the days before and none of this one, as `open`.

    They may have been cut off, and send that day when they can. Raises as `known_sources`.
    """
    before = [market.parse_day(name) for name in list_days(days.root)]
    known = {source for other in before if day - _KNOWN_DAYS <= other < day for source in known_sources(days, other)}
    return dict.fromkeys(sorted(known), SOURCE_OPEN) | known_sources(days, day)


def symbols_of_silent(days: MergedDays, day: int) -> set[str]:
    """The symbols of collectors that were expected on a day and have not reported it sealed.

    They are those of the last day of which they said what they have. Raises as `expected_sources`.
    """
    silent = {source for source, state in expected_sources(days, day).items() if state == SOURCE_OPEN}
    found: set[str] = set()
    for name in reversed(list_days(days.root)) if silent else ():
        if day - _KNOWN_DAYS <= market.parse_day(name) <= day:
            with suppress(*FILE_FAULTS), MergedReader(path_of(days.root, name)) as reader:
                said = [each for each in reader.said() if each.source in silent]
                silent -= {each.source for each in said}
                found.update(*(each.sums for each in said), (row.symbol for each in said for row in each.totals))
    return found


def begun_day(path: Path, day: int) -> int:
    """The number of the day on which the file of a day was created. Raises as DayReader."""
    with DayReader(path) as reader:
        created_ms = reader.meta().get("created_ms", "")
    return market.day_number(int(created_ms)) if created_ms.isascii() and created_ms.isdigit() else day


def _unseen(tracker: GapTracker, rows: list[TickRow]) -> list[TickRow]:
    """The rows that can change what is known of gaps. A second collector's copy of a tick, nearly every second row,
    cannot: its symbol follows the rule, has no gap, and has had a higher counter.
    """
    latest = tracker.known.latest
    found = []
    for row in rows:
        track, seq = latest.get(row[0]), row[1]
        if (
            track is None
            or track.gaps
            or seq & COUNTER_MASK >= track.next
            or not track.run_seq <= seq <= track.last_seq
            or not track.from_ms <= row[2] < track.to_ms
            or track.lost
            or track.past
        ):
            found.append(row)
    return found


class _Origins:
    """Names the source of a row. The rows are told apart by identity: another source may have sent an equal one."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._by_id: dict[int, str] = {}

    def __call__(self, row: TickRow) -> str:
        if not self._by_id:
            self._by_id = {id(each): part.source for part in self._parts for each in part.rows}
        return self._by_id[id(row)]


def _witnesses(gaps: Iterable[Gap], parts: Sequence[Part]) -> Iterable[Witness]:
    """The source of the tick that closed each gap of known size."""
    closed: dict[str, list[Gap]] = {}
    for gap in gaps:
        if gap.status == GAP_HEALED and gap.from_seq is not None and gap.cause not in (CAUSE_REJECTED, CAUSE_ELSEWHERE):
            closed.setdefault(gap.symbol, []).append(gap)
    if not closed:
        return
    for part in parts:
        for row in part.rows:
            for gap in closed.get(row[0], ()):
                if _counter(gap.from_seq) <= row[1] & COUNTER_MASK <= _counter(gap.to_seq):
                    yield Witness(gap.id, part.source)


def _counter(seq: int | None) -> int:
    return (seq or 0) & COUNTER_MASK
