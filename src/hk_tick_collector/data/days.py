"""Which days there are, and where the ticks of each are: in the archive, or in a day file.

Enters: DATA_ROOT and the archive. Leaves: one source for each day. An archived day is read from its Parquet file, also
while its day file is still there; a day of an archive in an object store only if there is no day file: that is nearer.
A Parquet file without a certificate may be that of a run that was ended: it is read only if there is no day file.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.archive import layout
from hk_tick_collector.archive.remote import Remote, RemoteFile, files_of, is_remote
from hk_tick_collector.errors import CollectorError, NoDayError, StoreError, UsageError
from hk_tick_collector.frames import day_file, parquet_file
from hk_tick_collector.store.disk import open_regular
from hk_tick_collector.store.query import list_days, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Mapping, Sequence
    from os import PathLike

    import pyarrow as pa

    from .ranges import DayRange, Times

Archive: TypeAlias = "Path | Remote"

_FOLDER: Final = re.compile(r"date=([0-9]{4}-[0-9]{2}-[0-9]{2})")
_TICKS: Final = re.compile(r"ticks-[0-9a-f]{16}\.parquet")


def demand_local(where: object) -> None:
    """Raises UsageError for an archive that is no directory of this host."""
    if "://" in str(where):
        raise UsageError(
            f"stream and tail read an archive on a disk of this host only, not at {where}",
            hint=f"copy it to a directory, or make day files of some days with hk-tick-collector restore 20261120"
            f" --archive {where} --to DIR, and read DIR",
        )


def local_archive(where: object) -> Path | None:
    """The archive of the settings; None, with a warning, if it is no directory of this host."""
    if not where:
        return None
    try:
        demand_local(where)
    except UsageError as error:
        warnings.warn(f"{error}: its days are left out", UserWarning, stacklevel=3)
        return None
    return Path(str(where))


class Source(NamedTuple):
    """Where the ticks of a day are."""

    day: int  # day number
    path: Path | RemoteFile
    is_archived: bool
    book: Path | RemoteFile | None  # the file with the other tables of the day; None if it is missing

    @property
    def name(self) -> str:
        """The day as `20261120`."""
        return market.day_name(self.day)

    @property
    def is_remote(self) -> bool:
        """Whether it is in an object store."""
        return isinstance(self.path, RemoteFile)

    @property
    def books(self) -> str:
        """Where the books of its archive are."""
        if isinstance(self.path, RemoteFile):
            return f"{self.path.archive}/{layout.BOOKS}"
        return str(self.path.parent.parent.parent / "books")

    def ticks(
        self, symbols: Sequence[str], times: Times, columns: Sequence[str], *, dictionaries: bool = False
    ) -> Generator[pa.RecordBatch, None, None]:
        """The ticks of the day: see `frames.day_file.read_ticks`. With `dictionaries` texts may be dictionary arrays:
        those of an archived day are then read in half the time.
        """
        from_ms, to_ms = times.on(self.day)
        chosen: dict[str, Any] = {"symbols": symbols, "from_ms": from_ms, "to_ms": to_ms, "columns": columns}
        if isinstance(self.path, RemoteFile):
            with self.path.open() as file:
                about: dict[str, Any] = {"day": self.name, "dictionaries": dictionaries, "remote": str(self.path)}
                yield from parquet_file.read_ticks(file, **about, **chosen)
        elif self.is_archived:
            yield from parquet_file.read_ticks(self.path, day=self.name, dictionaries=dictionaries, **chosen)
        else:
            yield from day_file.read_ticks(self.path, **chosen)


def archive_at(where: str | PathLike[str], variables: Callable[[], Mapping[str, str]]) -> Archive:
    """The archive in a directory, or at an address `s3://…`, for which the AWS_ `variables` are asked.

    Raises UsageError for another kind of address, CollectorError without the extra `lake`.
    """
    if is_remote(where):
        return Remote(str(where), variables())
    if "://" in str(where):
        raise UsageError(f"an archive at {where} cannot be read", hint="name a directory, or s3://BUCKET/PREFIX")
    return Path(where)


def configured_archive(
    where: str | None, variables: Callable[[], Mapping[str, str]], warn: Callable[[str], None]
) -> Archive | None:
    """The archive of the settings; None, with a warning, if this host cannot read it: day files can be read all the
    same.
    """
    try:
        return archive_at(where, variables) if where else None
    except CollectorError as error:
        warn(f"archived days are left out: {error.one_line()}")
        return None


def find(data_root: Path | None, archive: Archive | None, days: DayRange) -> list[Source]:
    """The days of the range that have data, oldest first. StoreError if a directory cannot be listed.

    A missing DATA_ROOT is an error only if there is no archive: on another host there may be nothing else. An archive
    in an object store is not asked if each weekday of the range has a day file. Raises ArchiveError if it refuses.
    """
    found: dict[int, Source] = {}
    if data_root and not archive and not data_root.exists():
        raise StoreError(f"there is no directory {data_root}", hint="check DATA_ROOT, or the data_root that is given")
    for name in list_days(data_root) if data_root else ():
        day = market.parse_day(name)
        if data_root and day in days:
            path = path_of(data_root, name)
            found[day] = Source(day, path, is_archived=False, book=path)
    if isinstance(archive, Remote):
        if not _is_whole(days, found):
            found = {source.day: source for source in _in_store(archive, days)} | found
        return [found[day] for day in sorted(found)]
    for day in _archived(archive) if archive else ():
        if day in days and archive and (source := _in_archive(archive, day, has_day_file=day in found)):
            found[day] = source
    return [found[day] for day in sorted(found)]


def find_numbers(data_root: Path | None, archive: Archive | None, days: DayRange) -> list[int]:
    """The numbers of the same days; of an archive in an object store one list is read, and no certificate."""
    if not isinstance(archive, Remote):
        return [source.day for source in find(data_root, archive, days)]
    there = {market.parse_day(name) for name in list_days(data_root)} if data_root else set[int]()
    return sorted(day for day in there.union(_ticks_in_store(archive)) if day in days)


def _is_whole(days: DayRange, found: Container[int]) -> bool:
    """Whether each weekday of a range has a day file."""
    if days.since is None or days.until is None:
        return False
    wanted = range(days.since, days.until + 1)
    return all(day in found for day in wanted if market.is_weekday(day)) and any(day in found for day in wanted)


def _ticks_in_store(archive: Remote) -> dict[int, list[str]]:
    """Day → the names of its Parquet files."""
    found: dict[int, list[str]] = {}
    for name in archive.names(layout.TICKS):
        if day := layout.day_of(name):
            found.setdefault(market.parse_day(day), []).append(name)
    return found


def _in_store(archive: Remote, days: DayRange) -> list[Source]:
    """The days of a range in an object store: the files that their certificates list, else the only ones there are."""
    there = {day: names for day, names in _ticks_in_store(archive).items() if day in days}
    if not there:
        return []
    books = archive.names(layout.BOOKS)
    certificates = archive.certificates(archive.names(layout.CERTIFICATES), map(market.day_name, there))
    found = []
    for day, names in there.items():
        name = market.day_name(day)
        ticks, book = files_of(archive, name, certificates.get(name), names.copy)
        found.append(Source(day, ticks, is_archived=True, book=book if book.name in books else None))
    return found


def missing_weekdays(sources: Sequence[Source], days: DayRange) -> list[int]:
    """Weekdays of the range without data: holidays, and days on which no collector ran. An open end is not counted."""
    if not sources:
        return []
    there = {source.day for source in sources}
    first = sources[0].day if days.since is None else days.since
    last = sources[-1].day if days.until is None else days.until
    return [day for day in range(first, last + 1) if day not in there and market.is_weekday(day)]


def no_day(data_root: Path | None, archive: Archive | None, days: DayRange) -> NoDayError:
    """The error for a range without any data: it says which days there are."""
    whole = [market.day_name(day) for day in find_numbers(data_root, archive, days._replace(since=None, until=None))]
    places = " and ".join(str(place) for place in (data_root, archive) if place)
    if not whole:
        return NoDayError(f"there is no day in {places}", hint="give data_root and archive, or check the settings")
    weekend = ""
    if days.since is not None and days.since == days.until and not market.is_weekday(days.since):
        weekend = f", a {market.day_date(days.since):%A}"
    there = f"{whole[0]} to {whole[-1]}" if len(whole) > 1 else f"only {whole[0]}"
    return NoDayError(f"no data of {days}{weekend} in {places}", hint=f"days there: {there}")


def _archived(archive: Path) -> list[int]:
    try:
        names = [_FOLDER.fullmatch(path.name) for path in (archive / layout.TICKS).iterdir()]
    except FileNotFoundError:
        if archive.is_dir():
            return []
        raise StoreError(f"there is no archive {archive}", hint="check ARCHIVE_DIR, or mount its disk") from None
    except OSError as error:
        raise StoreError(f"cannot list {archive / layout.TICKS} ({error.strerror})", hint="check its rights") from error
    found = []
    for name in names:
        try:
            found += [market.parse_day(name[1])] if name else []
        except ValueError:
            continue  # date=2026-02-30
    return found


def _in_archive(archive: Path, day: int, *, has_day_file: bool) -> Source | None:
    """The Parquet file that the certificate names; without a certificate the only one there is."""
    name = market.day_name(day)
    folder = archive / layout.ticks_directory(name)
    book: Path | None = archive / layout.book_name(name)
    book = book if book and book.is_file() else None  # SQLite would wait for ever for a named pipe
    certified = certified_ticks(archive, day)
    if certified:
        return Source(day, folder / certified, is_archived=True, book=book)
    try:
        there = sorted(path for path in folder.iterdir() if _TICKS.fullmatch(path.name))
    except OSError as error:
        raise StoreError(f"cannot list {folder} ({error.strerror})", hint="check what it is, and its rights") from error
    if has_day_file or not there:
        return None
    if len(there) > 1:
        raise StoreError(
            f"{folder} has {len(there)} files and no certificate says which is the day",
            hint=f"hk-tick-collector archive --day {name}",
        )
    return Source(day, there[0], is_archived=True, book=book)


def certified_ticks(archive: Path, day: int) -> str:
    """The name of the Parquet file that the certificate of a day lists; empty without a certificate."""
    name = market.day_name(day)
    try:
        with os.fdopen(
            open_regular(archive / layout.certificate_name(name)), encoding="utf-8", errors="replace"
        ) as file:
            text = file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(
            f"cannot read the certificate of {layout.dashed(name)} ({error.strerror})", hint="check its rights"
        ) from error
    listed = re.search(rf"{layout.ticks_directory(name)}({_TICKS.pattern})", text)
    return listed[1] if listed else ""
