"""A disk that keeps for certain only what was synced: the directory as a power cut at this moment may leave it.

Of what was not synced, any part may be on the disk, in any order: each 512-byte sector of each write by itself, each
truncation, and for each name what it last meant to a synced directory or anything it has meant since. These are the
promises that SQLite builds on, and no more:

- `xSync` of a file keeps what was written to that file before;
- the directory is synced with the first sync of a journal or WAL that was opened to be created, and after a deletion
  that asks for it; never with the sync of the database;
- a torn sector write leaves its neighbours in the sector alone (SQLITE_IOCAP_POWERSAFE_OVERWRITE, the default on Unix).

A sync that fails is worse than none: the kernel marks the pages clean, so a later sync keeps nothing of them either.
Unsynced bytes stay readable until the power goes, as from the page cache. Put this VFS on top of a FaultyDisk to have
both.
"""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import apsw

from .quiet_file import QuietFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECTOR: Final = 512
_JOURNALS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
_SHADOWED: Final = _JOURNALS | apsw.SQLITE_OPEN_MAIN_DB


@dataclass(slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, image: bytearray) -> None:
        """Changes an image of the file as this write does."""
        if len(image) < self.offset:
            image.extend(bytes(self.offset - len(image)))
        image[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[_Write]:
        """The same write in the parts that reach a disk as a whole."""
        first, end = self.offset - self.offset % _SECTOR, self.offset + len(self.data)
        cuts = [max(cut, self.offset) for cut in range(first, end, _SECTOR)] + [end]
        return [_Write(start, self.data[start - self.offset : stop - self.offset]) for start, stop in pairwise(cuts)]


@dataclass(slots=True)
class _Truncation:
    size: int

    def apply(self, image: bytearray) -> None:
        """Changes an image of the file as this truncation does."""
        del image[self.size :]
        image.extend(bytes(self.size - len(image)))

    def sectors(self) -> list[_Truncation]:
        """A truncation happens or does not."""
        return [self]


@dataclass(eq=False, slots=True)
class _Content:
    """The content of a file: what is certain, and what is possible."""

    kept: bytearray = field(default_factory=bytearray)
    unsynced: list[_Write | _Truncation] = field(default_factory=list)

    def keep(self) -> None:
        """The file was synced."""
        for change in self.unsynced:
            change.apply(self.kept)
        self.unsynced.clear()

    def lose(self, rng: random.Random) -> bytearray:
        """The file after a power cut."""
        parts = [part for change in self.unsynced for part in change.sectors()]
        image, share = bytearray(self.kept), rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for part in rng.sample(parts, len(parts)):
            if rng.random() < share:
                part.apply(image)
        return image


class PowerLossDisk(apsw.VFS):
    """The VFS `name` on top of `base`, for the databases of one directory; what is there before counts as synced.

    `after_change` is called behind every operation that changes the disk, with its name and the file's; `crash` may be
    called there. `seed` decides what a failing sync keeps.
    """

    def __init__(self, name: str, base: str = "unix", *, seed: int = 0, default: bool = False) -> None:
        super().__init__(name, base, makedefault=default)
        self.name = name
        self.after_change: Callable[[str, str], None] | None = None
        self._base = base
        self._random = random.Random(seed)
        self._names: dict[str, list[_Content | None]] = {}  # all that a name has meant since its directory was synced
        self._lock = threading.RLock()

    def crash(self, into: Path, seed: int) -> None:
        """Makes in `into` the directory as it may be after a power cut now; the disk itself continues."""
        rng = random.Random(seed)
        into.mkdir()
        with self._lock:
            for path, meanings in sorted(self._names.items()):
                content = rng.choice(meanings)
                if content is not None:
                    (into / os.path.basename(path)).write_bytes(content.lose(rng))  # noqa: PTH119 - SQLite's names
                if path.endswith(".db") and rng.random() < 0.5:  # nobody syncs the shared memory
                    (into / f"{os.path.basename(path)}-shm").write_bytes(rng.randbytes(32_768))  # noqa: PTH119

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Opens a file of SQLite; temporary ones do not survive a power cut anyway."""
        if not flags[0] & _SHADOWED or name is None:
            return apsw.VFSFile(self._base, name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        with self._lock:  # and before it is opened: closing any other descriptor would drop SQLite's locks on it
            before = _read(path) if path not in self._names else b""
        opened = _File(self, path, flags, self._base, name)
        with self._lock:
            meanings = self._names.get(path)
            if meanings is None:
                # An empty file was only just created, by DayFile: its name is as uncertain as any new one's.
                self._names[path] = [_Content(bytearray(before))] if before else [None, _Content()]
            elif meanings[-1] is None:
                meanings.append(_Content())
        return opened

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        """Deletes a file; the deletion may be undone by a power cut."""
        super().xDelete(name, syncdir)
        with self._lock:
            self._names.setdefault(name, []).append(None)
            if syncdir:
                self.sync_directory()
        self.tell("delete", name)

    def change(self, path: str, change: _Write | _Truncation) -> None:
        """A file was changed."""
        with self._lock:
            self._content(path).unsynced.append(change)
        self.tell("write", path)

    def sync(self, path: str, *, directory: bool) -> None:
        """A file was synced, and perhaps its directory."""
        with self._lock:
            self._content(path).keep()
            if directory:
                self.sync_directory()
        self.tell("sync", path)

    def fail_sync(self, path: str) -> None:
        """A sync failed: what reached the disk is there, and the rest never will be."""
        with self._lock:
            content = self._content(path)
            content.kept = content.lose(self._random)
            content.unsynced.clear()

    def sync_directory(self) -> None:
        """Every name now certainly means its present file."""
        with self._lock:
            self._names = {path: meanings[-1:] for path, meanings in self._names.items()}

    def tell(self, operation: str, path: str) -> None:
        """Tells the test what happened."""
        if self.after_change is not None:
            self.after_change(operation, path)

    def _content(self, path: str) -> _Content:
        content = self._names[path][-1]
        assert content is not None, f"{path} is used after its deletion"
        return content


class _File(QuietFile):
    """One open file, whose changes the disk notes."""

    def __init__(
        self, disk: PowerLossDisk, path: str, flags: list[int], base: str, name: str | apsw.URIFilename
    ) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._path = path
        self._sync_directory = bool(flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._disk.change(self._path, _Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._disk.change(self._path, _Truncation(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        try:
            super().xSync(flags)
        except apsw.Error:
            self._disk.fail_sync(self._path)
            raise
        self._disk.sync(self._path, directory=self._sync_directory)
        self._sync_directory = False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - SQLite's names
            return file.read()
    except FileNotFoundError:
        return b""
