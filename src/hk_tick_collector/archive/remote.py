"""An archive in an object store, for those who read days in place. Needs the extra `lake`.

Enters: the address, and the AWS_ variables. Leaves: names, ranges of a Parquet file, and books as files of this host,
because SQLite reads only those. `Remote` is a value that can be sent to another process, which makes its own
connection. A process that was forked after its parent had connected cannot connect: start it with `spawn`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from hk_tick_collector.errors import ArchiveError, StoreError

from . import layout
from .certificate import parse
from .s3 import PART_BYTES, SCHEME, TIMEOUT_S, Ranges, S3Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO

    from .certificate import Certificate

# Ids of processes that have connected. A forked child inherits its parent's, and must not connect: it would hang.
_used_by: Final[set[int]] = set()
_AT_ONCE: Final = 8  # certificates that are requested at the same time


def is_remote(where: object) -> bool:
    """Whether this is the address of an object store, `s3://…`."""
    return str(where).startswith(SCHEME)


class Remote:
    """An archive at `s3://BUCKET/PREFIX`. Nothing is contacted before it is used.

    Raises UsageError for a bad address, CollectorError without the extra `lake`. Methods that read raise ArchiveError.
    """

    def __init__(self, where: str, variables: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
        self._variables = dict(variables)
        self._timeout_s = timeout_s  # of one request
        self._connected: S3Place | None = None
        self._certificates: dict[tuple[str, str], Certificate] = {}
        self._directory = ""  # for books; that of the process that made it
        self._end: Callable[[], object] | None = None  # removes it
        self.where = S3Place(where, self._variables).where

    def __str__(self) -> str:
        return self.where

    def __repr__(self) -> str:
        return f"Remote({self.where!r})"  # never the keys

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connected": None, "_end": None, "_certificates": {}}

    def make_directory(self) -> None:
        """Makes the directory for books; it is removed when this process ends or this object is gone.

        Call it before child processes read: a child that is killed cannot remove a directory of its own.
        """
        if not self._directory:
            self._directory = tempfile.mkdtemp(prefix="hk-tick-collector-")
            self._end = weakref.finalize(self, _remove, self._directory, os.getpid())

    def close(self) -> None:
        """Removes that directory; the next book makes another one."""
        if self._end is not None:
            self._end()
            self._end, self._directory = None, ""

    @property
    def place(self) -> S3Place:
        """The place, connected in this process. ArchiveError if it was forked from one that has used a place."""
        if _used_by and os.getpid() not in _used_by:
            raise ArchiveError(
                f"{self.where} cannot be read in a process that was forked from one that has read from an object store",
                hint='multiprocessing.get_context("spawn")',
            )
        _used_by.add(os.getpid())
        if self._connected is None:
            self._connected = S3Place(self.where, self._variables, timeout_s=self._timeout_s)
        return self._connected

    def names(self, prefix: str) -> dict[str, str]:
        """The names that begin with `prefix`, and the version of each, empty if the server tells none."""
        return self.place.versions(prefix)

    def certificates(self, versions: Mapping[str, str], days: Iterable[str]) -> dict[str, Certificate]:
        """The certificates of those days that have one; `versions` are `names(layout.CERTIFICATES)`.

        Each is read once as long as its version stays the same. The signature is not checked. ArchiveError if one is
        damaged.
        """
        wanted = {day: name for day in days if (name := layout.certificate_name(day)) in versions}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda name: self._certificate(name, versions[name]), wanted.values()))
        return dict(zip(wanted, found, strict=True))

    def _certificate(self, name: str, version: str) -> Certificate:
        known = self._certificates.get((name, version)) if version else None
        if known is None:
            known = parse(self.place.read(name), f"{self.where}/{name}")
            if known.day != layout.day_of(name):
                raise ArchiveError(f"{self.where}/{name} is the certificate of {known.day}")
            self._certificates[name, version] = known
        return known

    def local_book(self, name: str, sha256: str) -> Path:
        """A book as a file of this host. It is downloaded once if its SHA-256 is known, and compared with that."""
        self.make_directory()
        path = Path(self._directory) / f"{sha256 or 'unknown'}-{name.replace('/', '-')}"
        if sha256 and path.exists():
            return path
        content = self.place.read(name)
        if sha256 and (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise ArchiveError(
                f"{self.where}/{name} is not what its certificate lists: its SHA-256 is {found}",
                hint="hk-tick-collector certificate --check; try another copy",
            )
        number, draft = tempfile.mkstemp(dir=self._directory)  # another thread may be writing the same book
        with os.fdopen(number, "wb") as file:
            file.write(content)
        return Path(draft).replace(path)


def _remove(directory: str, pid: int) -> None:
    """Removes a directory in the process that made it; a child has the same object."""
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)


class RemoteFile(NamedTuple):
    """A file of such an archive."""

    archive: Remote
    name: str
    sha256: str = ""  # as the certificate lists it; empty without a certificate

    def __str__(self) -> str:
        return f"{self.archive.where}/{self.name}"

    def open(self) -> BinaryIO:
        """The content as a file that requests exactly the ranges that are read."""
        place = self.archive.place
        size = place.size(self.name)
        if size is None:
            raise ArchiveError(f"there is no {self}", hint="hk-tick-collector certificate --check")
        return cast("BinaryIO", _Exact(place, self.name, size))

    def local(self) -> Path:
        """A copy on this host, for SQLite: of books only, which are small."""
        return self.archive.local_book(self.name, self.sha256)


def files_of(
    archive: Remote, day: str, certificate: Certificate | None, ticks: Callable[[], Iterable[str]]
) -> tuple[RemoteFile, RemoteFile]:
    """The ticks and the book of a day: those that its certificate lists, else the only Parquet file.

    `ticks` gives the names of the day's Parquet files, and is called only without a certificate. The book may be
    missing. Raises StoreError unless there is exactly one Parquet file.
    """
    if certificate:
        listed = certificate.files
        ticks_name, book_name = certificate.ticks_name, certificate.book_name
        return (
            RemoteFile(archive, ticks_name, listed[ticks_name]),
            RemoteFile(archive, book_name, listed.get(book_name, "")),
        )
    names = list(ticks())
    if len(names) != 1:
        raise StoreError(
            f"{archive}/{layout.ticks_directory(day)} has {len(names)} files and no certificate says which is the day",
            hint=f"hk-tick-collector archive --day {day}",
        )
    return RemoteFile(archive, names[0]), RemoteFile(archive, layout.book_name(day))


class _Exact(Ranges):
    """Unlike a buffered file it reads only what is requested."""

    def read(self, size: int | None = -1, /) -> bytes:
        """All of the next `size` bytes; fewer only at the end."""
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        pieces = []
        while self._at < end:
            pieces.append(self._place.range(self._name, self._at, min(self._at + PART_BYTES, end)))
            self._at += len(pieces[-1])
        return b"".join(pieces)
