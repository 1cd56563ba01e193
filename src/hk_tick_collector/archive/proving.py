"""Proves that copies of a day file exist elsewhere. Every proof reads all files again; earlier results are not used.

Enters: a day file and the places that may have copies. Leaves: which of them have it, and why the others do not count.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hk_tick_collector.errors import ArchiveError, CollectorError
from hk_tick_collector.store.book import write_book
from hk_tick_collector.store.query import DayReader

from . import layout, sshsig
from .certificate import parse
from .content import columns_of, content_of, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .certificate import Certificate
    from .places import Place
    from .sshsig import PublicKey
    from .ticks import Progress

_T = TypeVar("_T")

_READ_BYTES: Final = 2**20
_BESIDE: Final = ("-wal", "-journal")


class Unproved(Exception):  # noqa: N818 - not an error of this program: a day that has to stay
    """Why a file is kept. `is_fault`: something is wrong, not only not done yet."""

    def __init__(self, why: str, *, is_fault: bool = False) -> None:
        super().__init__(why)
        self.is_fault = is_fault


class Identity(NamedTuple):
    """Identifies the file that was read: it could be changed or replaced under the same name meanwhile."""

    device: int
    inode: int
    size_bytes: int
    changed_ns: int
    mode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """Of a stat."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


class SealedDay:
    """A sealed day file. Raises Unproved if it is not one, or not of that day.

    Its content is read when a copy is there to be compared with; Unproved if the file was changed since it was checked.
    """

    def __init__(self, path: Path, day: str, progress: Progress) -> None:
        self.path = path
        self.day = day
        self._progress = progress
        self._sha256 = ""
        self._lacking: dict[tuple[str, ...], list[str]] = {}
        self._content: dict[tuple[str, ...], tuple[str, str]] = {}  # columns → digests of ticks and of other tables
        fd = _open(path)
        try:
            self.identity = Identity.of(os.fstat(fd))
        finally:
            os.close(fd)
        _demand_sealed(path, day, self.identity)

    def is_in(self, certificate: Certificate, place: Place) -> bool:
        """Whether a certificate is of this file, or of the same content: a restored file has other bytes."""
        if not self._sha256:
            self._sha256 = self._hash()
        names = columns_of(place, certificate.ticks_name)
        if names not in self._lacking:
            self._lacking[names] = self._read(lambda: lacking(names, self.path))
        if absent := self._lacking[names]:
            raise Unproved(f"what is archived there does not have the column {absent[0]}", is_fault=True)
        if certificate.day_file == self._sha256:
            return True
        if names not in self._content:
            self._content[names] = self._digests(names)
        return self._content[names] == (certificate.content, certificate.files[certificate.book_name])

    def _hash(self) -> str:
        fd = _open(self.path)
        try:
            if Identity.of(os.fstat(fd)) != self.identity:
                raise Unproved("it was changed while it was read", is_fault=True)
            return _sha256(fd, self.identity.size_bytes, self._progress)
        finally:
            os.close(fd)

    def _digests(self, names: tuple[str, ...]) -> tuple[str, str]:
        """Of the ticks, and of the other tables."""
        with tempfile.TemporaryDirectory(prefix="hk-tick-collector-") as space:
            book = Path(space) / "book.db"
            rows = self._read(self._rows)
            content = self._read(lambda: content_of(self.path, names, rows, self._progress))
            self._read(lambda: write_book(self.path, book))
            with book.open("rb") as file:
                return content, hashlib.file_digest(file, "sha256").hexdigest()

    def _rows(self) -> int:
        with DayReader(self.path) as reader:
            return reader.totals().rows

    @staticmethod
    def _read(read: Callable[[], _T]) -> _T:
        """What a function reads from the day file; Unproved if it cannot be read."""
        try:
            return read()
        except CollectorError as error:
            raise Unproved(str(error), is_fault=True) from error


class ProvedCopies(NamedTuple):
    """Where a day is proved to be, and what is wrong with other places that should have it."""

    places: list[str]
    faults: list[str]


class Copies:
    """The places that may have copies. A place that does not answer is not used for the next days."""

    def __init__(self, places: Sequence[Place], signers: Sequence[PublicKey]) -> None:
        self._places = places
        self._signers = signers
        self._silent: dict[str, str] = {}  # place → why

    def prove(self, day: SealedDay, needed: int) -> ProvedCopies:
        """Asks every place. Raises Unproved with the reasons if fewer than `needed` of them have the day.

        In each, the certificate is read and its signature checked, it must be of this day file, and both files are read
        and hashed. Two places whose files are the same files, by links, are one copy.
        """
        proved: list[str] = []
        known: dict[object, str] = {}  # a file → the place that has it
        reasons: list[str] = []
        faults: list[str] = []
        for place in self._places:
            try:
                files = self._copy(day, place)
                if other := next((known[each] for each in files if each in known), None):
                    raise Unproved(f"its files are those of {other}: that is one copy", is_fault=True)  # noqa: TRY301
                known |= dict.fromkeys(files, place.where)
                proved.append(place.where)
            except Unproved as error:
                (faults if error.is_fault else reasons).append(f"{place.where}: {error}")
            except ArchiveError as error:
                faults.append(str(error))
        if len(proved) < needed:
            counted = f"{len(proved)} of {needed} copies proved; " if needed > 1 else ""
            why = "; ".join([*faults, *reasons]) or "no archive is named"
            raise Unproved(counted + why, is_fault=bool(faults))
        return ProvedCopies(proved, faults)

    def _copy(self, day: SealedDay, place: Place) -> list[object]:
        """The identities of the files that prove the day. Raises Unproved, ArchiveError."""
        name = layout.certificate_name(day.day)
        if place.where in self._silent:
            raise ArchiveError(self._silent[place.where])
        try:
            there = place.exists(name)
        except ArchiveError as error:
            self._silent[place.where] = str(error)
            raise
        if not there:
            raise Unproved("it is not archived there")
        certificate = parse(place.read(name), name)
        if certificate.day != day.day:
            raise Unproved(f"{name} is the certificate of {certificate.day}", is_fault=True)
        try:
            sshsig.check(certificate.text, place.read(name + layout.SIGNATURE), self._signers)
        except ArchiveError as error:
            raise Unproved(f"{name}: {error}", is_fault=True) from error
        for file, expected in certificate.files.items():
            found = place.stored(file)
            if found is None:
                raise Unproved(f"{file} is missing", is_fault=True)
            if found.sha256 != expected:
                raise Unproved(f"{file} is not what was signed", is_fault=True)
        if not day.is_in(certificate, place):
            raise Unproved("what is archived there is not what the day file has", is_fault=True)
        return [place.identity(file) for file in certificate.files]


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unproved(f"it cannot be opened ({error.strerror})", is_fault=True) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unproved("it is not a regular file", is_fault=True)
    return fd


def _demand_sealed(path: Path, day: str, found: Identity) -> None:
    if found.mode & 0o222:
        raise Unproved("it is not sealed: it has write permission")
    if beside := [suffix for suffix in _BESIDE if os.path.lexists(f"{path}{suffix}")]:
        raise Unproved(f"it is not one plain file: there is a {path.name}{beside[0]}", is_fault=True)
    try:
        with DayReader(path) as reader:
            meta = reader.meta()
    except CollectorError as error:
        raise Unproved(str(error), is_fault=True) from error
    if "sealed_ms" not in meta:
        raise Unproved("it is not sealed: its table meta has no sealed_ms", is_fault=True)
    if meta.get("trading_day", day) != day:
        raise Unproved(f"it is the file of {meta['trading_day']}", is_fault=True)


def _sha256(fd: int, size_bytes: int, progress: Progress) -> str:
    """The SHA-256 of a file, read from the disk and not from memory as far as the kernel allows that."""
    digest, done = hashlib.sha256(), 0
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(fd, 0, os.SEEK_SET)
    while part := os.read(fd, _READ_BYTES):
        digest.update(part)
        done += len(part)
        progress("hash", min(done, size_bytes), size_bytes)
    return digest.hexdigest()
