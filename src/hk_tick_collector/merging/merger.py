"""Parts → the day files of the union. If the collectors number their ticks differently, also those of each collector.

Normally every tick goes into the union. If a disagreement was found, each collector's ticks go into its own directory,
`collectors/NAME`, and the union takes each symbol from the collector that sent it first on that day: then no tick of
one collector fills a gap of another. The file `sequences-disagree.json` keeps that over restarts, until the operator
removes it. The mixed files are renamed, and the stream is read again from its start.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import log, market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.disk import sync_directory, write_synced
from hk_tick_collector.store.merged_rows import Chosen, MergedReader
from hk_tick_collector.store.opening import set_aside
from hk_tick_collector.store.query import list_days, path_of

from .agreement import Agreement
from .days import FILE_FAULTS, MergedDays
from .parts import DisagreementError, Position, sources_in
from .positions import lowest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.store.dayfile import StoreOptions

    from .agreement import Disagreement
    from .days import Prepared, Stored
    from .parts import Part

DISAGREEMENT_NAME: Final = "sequences-disagree.json"
COLLECTORS_DIRECTORY: Final = "collectors"
MIXED: Final = "mixed"  # in the name of a file that has ticks of collectors that number them differently


class Step(NamedTuple):
    """One transaction to commit: call `commit` until it succeeds, in the order of the steps."""

    days: MergedDays
    prepared: Prepared
    is_union: bool

    def commit(self) -> Stored:
        """Commits it. Raises StartOverError and the errors of DayFile; then call it again."""
        return self.days.commit(self.prepared)


class Merger:
    """Merges into the directory `root`. `now_ms` is the wall clock in UTC epoch ms. Only one thread may use it.

    Raises StoreError if the file of a disagreement cannot be read.
    """

    def __init__(self, root: Path, options: StoreOptions, version: str, now_ms: Callable[[], int]) -> None:
        self.root = root
        self.disagreement = read_disagreement(root)
        self.agreement = Agreement()
        self._make: Callable[[Path], MergedDays] = lambda directory: MergedDays(directory, options, version, now_ms)
        self._now_ms = now_ms
        self.union = self._make(root)
        self._own: dict[str, MergedDays] = {}  # of each collector
        self._chosen: dict[int, dict[str, str]] = {}  # day → symbol → collector
        if self.disagreement is not None:
            self._set_mixed_aside()

    def resume(self) -> Position | None:
        """The position from which the stream must be read: what follows it may not be stored. None: from its start.

        Raises StoreError if the directory cannot be listed.
        """
        if self.disagreement is not None:
            for directory in (self.root / COLLECTORS_DIRECTORY).glob("*/"):
                self._of(directory.name)
        return lowest([days.positions() for days in self.all_days()])

    def note_whole(self, position: Position) -> None:
        """All steps of what was prepared up to a position are committed."""
        for days in self.all_days():
            days.note_whole(position)

    def prepare(self, parts: Sequence[Part], position: Position) -> Iterator[Step]:
        """The transactions that store `parts`; all of the stream up to `position` is then stored.

        Raises StartOverError, also when the collectors are found to disagree, and the errors of DayFile.
        """
        if self.disagreement is None:
            found = self.agreement.see(parts)
            if found is not None:
                self._disagree(found)
            return iter([Step(self.union, each, is_union=True) for each in self.union.prepare(parts, position)])
        # All files are opened first: an error after some directories were prepared would lose the changes of gaps.
        for source in dict.fromkeys(part.source for part in parts):
            self._of(source).open([part for part in parts if part.source == source])
        self.union.open(parts)
        return iter([*self._prepare_own(parts, position), *self._prepare_chosen(parts, position)])

    def days_of(self, source: str) -> MergedDays:
        """Where all ticks of one collector are: its own directory after a disagreement, else the union."""
        return self._of(source) if self.disagreement is not None else self.union

    def all_days(self) -> list[MergedDays]:
        """The union, and the directories of collectors that are in use."""
        return [self.union, *self._own.values()]

    def close(self, position: Position | None) -> None:
        """Closes every file."""
        for days in self.all_days():
            days.close_all(position)

    # --- collectors that number their ticks differently ---

    def _prepare_own(self, parts: Sequence[Part], position: Position) -> Iterator[Step]:
        for source in dict.fromkeys(part.source for part in parts):
            days = self._of(source)
            of_source = [part for part in parts if part.source == source]
            yield from (Step(days, each, is_union=False) for each in days.prepare(of_source, position))

    def _prepare_chosen(self, parts: Sequence[Part], position: Position) -> Iterator[Step]:
        taken: list[Part] = []
        new: dict[int, dict[str, str]] = {}
        for part in parts:
            chosen, chosen_now = self._chosen_on(part.day), new.setdefault(part.day, {})
            rows = []
            for row in part.rows:
                source = chosen.get(row[0]) or chosen_now.setdefault(row[0], part.source)
                if source == part.source:
                    rows.append(row)
            taken.append(part._replace(rows=rows))
        chosen_by_day = {day: [Chosen(*each) for each in chosen.items()] for day, chosen in new.items()}
        prepared = self.union.prepare(taken, position, chosen_by_day)
        for day, chosen_now in new.items():
            self._chosen[day].update(chosen_now)
        return iter([Step(self.union, each, is_union=True) for each in prepared])

    def _of(self, source: str) -> MergedDays:
        days = self._own.get(source)
        if days is None:
            directory = self.root / COLLECTORS_DIRECTORY / source
            directory.mkdir(parents=True, exist_ok=True)
            days = self._own[source] = self._make(directory)
        return days

    def _chosen_on(self, day: int) -> dict[str, str]:
        if day not in self._chosen:
            path = self.union.path(day)
            if path.exists():
                with MergedReader(path) as reader:
                    self._chosen[day] = reader.chosen()
            else:
                self._chosen[day] = {}
        return self._chosen[day]

    def _disagree(self, found: Disagreement) -> None:
        log.error(
            "sequences_disagree",
            symbol=found.symbol,
            sources=",".join(found.sources),
            why=found.why,
            compared=found.compared,
            same=found.same,
        )
        self.union.close_all(None)
        write_disagreement(self.root, found, self._now_ms())
        raise DisagreementError(f"{' and '.join(found.sources)} number the ticks of {found.symbol} differently")

    def _set_mixed_aside(self) -> None:
        """Renames the files of the union that have ticks of several collectors and are not sealed."""
        for name in list_days(self.root):
            path = path_of(self.root, name)
            try:
                with MergedReader(path) as reader:
                    meta, chosen = reader.meta(), reader.chosen()
            except FILE_FAULTS:
                continue  # with the next tick of that day it is renamed, or waited for
            if "sealed_ms" in meta or len(sources_in(meta)) < 2 or chosen:
                continue
            aside = set_aside(path, self._now_ms(), MIXED)
            self.union.renew(market.parse_day(name))
            log.warning("day_set_aside", day=name, path=aside, detail="it has ticks of collectors that disagree")
        sync_directory(self.root)


def read_disagreement(root: Path) -> dict[str, object] | None:
    """What was found when the collectors disagreed; None if they never did. Raises StoreError."""
    path = root / DISAGREEMENT_NAME
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path} ({error})", hint="see docs/merge.md") from error
    return found if isinstance(found, dict) else {}


def write_disagreement(root: Path, found: Disagreement, now_ms: int) -> None:
    """Writes what was found, so that it holds over restarts. Raises OSError."""
    path = root / DISAGREEMENT_NAME
    draft = path.with_name(f".{path.name}.new")
    facts = {**found._asdict(), "sources": list(found.sources), "found_at": market.moment_text(now_ms)}
    write_synced(draft, json.dumps(facts, indent=2) + "\n")
    draft.rename(path)
    sync_directory(root)
