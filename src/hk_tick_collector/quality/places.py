"""Which days there are, and where: day files in DATA_ROOT, and in the archive a book with a Parquet file of ticks.

A day that is in both places is read from its day file: it is the original.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from hk_tick_collector.archive import layout
from hk_tick_collector.archive.remote import Remote, RemoteFile, files_of
from hk_tick_collector.errors import StoreError, UsageError
from hk_tick_collector.store.query import list_days, path_of

_CERTIFICATE_BYTES: Final = 100_000
_TICKS: Final = re.compile(rb"^[0-9a-f]{64}  ticks/date=[0-9-]{10}/(ticks-[0-9a-f]{16}\.parquet)$", re.MULTILINE)


class DayLocation(NamedTuple):
    """Where a day is."""

    day: str  # 20261120
    path: Path  # the day file, or the archived book; in an object store its name there
    ticks: Path | None  # the directory of the archived ticks; None for a day file, which has them itself
    remote: Remote | None = None  # the object store that has it

    @property
    def is_archived(self) -> bool:
        """Whether only the archive has this day."""
        return self.ticks is not None or self.remote is not None

    @property
    def where(self) -> str:
        """Its file, for messages."""
        return f"{self.remote}/{self.path}" if self.remote else str(self.path)


def list_places(data_root: Path, archive: Path | Remote | None) -> list[DayLocation]:
    """All days, oldest first. Raises StoreError if a directory cannot be listed, UsageError if there is no archive,
    ArchiveError if an object store refuses.
    """
    if isinstance(archive, Remote):
        books = [day for name in archive.names(layout.BOOKS) if (day := layout.day_of(name))]
        there = {day: DayLocation(day, Path(layout.book_name(day)), None, archive) for day in books}
        there |= {day: DayLocation(day, path_of(data_root, day), None) for day in list_days(data_root)}
        return [there[day] for day in sorted(there)]
    if archive and not archive.is_dir():
        raise UsageError(f"there is no directory {archive}", hint="name the archive's directory, or mount its disk")
    found = {day: DayLocation(day, path_of(data_root, day), None) for day in list_days(data_root)}
    for day in _books(archive) if archive else ():
        found.setdefault(day, archived(archive, day)) if archive else None
    return [found[day] for day in sorted(found)]


def archived(archive: Path, day: str) -> DayLocation:
    """Where the archive has a day (`20261120`), or would have it."""
    return DayLocation(day, archive / layout.book_name(day), archive / layout.ticks_directory(day))


def in_store(archive: Remote, day: str) -> tuple[RemoteFile, RemoteFile]:
    """The ticks and the book of a day in an object store. Raises ArchiveError, StoreError without a Parquet file."""
    certificates = archive.certificates(archive.names(layout.certificate_name(day)), [day])

    def ticks() -> list[str]:
        return [name for name in archive.names(layout.ticks_directory(day)) if layout.day_of(name) == day]

    return files_of(archive, day, certificates.get(day), ticks)


def ticks_file(directory: Path) -> Path:
    """The Parquet file of an archived day: the one that its certificate names, else the newest.

    A run of `archive --replace` that was killed may leave a second one. Raises StoreError if there is none.
    """
    certificate = directory.parent.parent / "certificates" / f"{directory.name.removeprefix('date=')}.txt"
    try:
        with suppress(FileNotFoundError), certificate.open("rb") as file:
            if named := _TICKS.search(file.read(_CERTIFICATE_BYTES)):
                return directory / named[1].decode()
        files = sorted(directory.glob("ticks-*.parquet"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    except OSError as error:
        raise StoreError(f"cannot list {directory} ({error.strerror})", hint="check ARCHIVE_DIR") from error
    if not files:
        raise StoreError(f"there is no Parquet file in {directory}", hint="hk-tick-collector certificate --check")
    return files[-1]


def _books(archive: Path) -> list[str]:
    """The days with a book in the archive; none if it has no books yet."""
    try:
        names = [path.name for path in (archive / layout.BOOKS).iterdir() if path.suffix == ".db"]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list {archive} ({error.strerror})", hint="check ARCHIVE_DIR") from error
    return [day for name in names if (day := layout.day_of(layout.BOOKS + name))]
