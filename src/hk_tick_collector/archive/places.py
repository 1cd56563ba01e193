"""The storage of an archive: the protocol `Place`, and `Directory`, which implements it; so does s3.py. Names are those
of layout.py, with `/` between parts.

The rest of the package relies only on what `Place` guarantees. No name is ever overwritten.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from hk_tick_collector.errors import ArchiveError, OtherContentError
from hk_tick_collector.store.disk import open_regular, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

_MODE: Final = 0o640
_READ_BYTES: Final = 2**20
_LOCK: Final = ".lock"
_WORKSPACE: Final = ".partial"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Stored(NamedTuple):
    """The content of a name, found by reading all of it."""

    size_bytes: int
    sha256: str  # hex digits


class Place(Protocol):
    """An archive's storage. Every method may raise ArchiveError, which names the place and says what to do."""

    where: str  # as the operator named it, for messages

    def hold(self) -> AbstractContextManager[Path]:
        """Locks the place for one run that writes, and gives a directory of this host for unfinished files.

        The directory is empty, and is removed at the end. It is on the disk of the place if possible, so that `put_new`
        need not copy. Files of a killed run in it are removed. ArchiveError if another run holds the place. Reading
        needs no lock.
        """
        ...

    def put_new(self, name: str, source: Path) -> bool:
        """Stores the content of a file under a new name. True if it was stored, False if the same was there already.

        Atomic: no reader ever sees a part of it. Durable: once it returns, the content and the name survive a power
        cut. Nothing is overwritten: OtherContentError if the name has other content, also when two runs race. The
        source may be gone afterwards.
        """
        ...

    def exists(self, name: str) -> bool:
        """Whether the name exists; the content is not read."""
        ...

    def identity(self, name: str) -> object:
        """What tells one stored file from another: two places with the same identity have one copy."""
        ...

    def open(self, name: str) -> BinaryIO:
        """The content as a binary file that can be read and seeked; close it. ArchiveError if there is none."""
        ...

    def read(self, name: str) -> bytes:
        """All of a small file. ArchiveError if there is none."""
        ...

    def stored(self, name: str) -> Stored | None:
        """The present size and SHA-256 of a file, by reading all of it; None if there is none.

        A local file is read from the disk and not from memory, as far as the kernel allows that.
        """
        ...

    def list(self, prefix: str = "") -> list[str]:
        """All names that begin with `prefix`, in the order of their bytes. Hidden and unfinished files are left out."""
        ...

    def move(self, name: str, to: str) -> None:
        """Renames a file that was replaced. Durable, and `to` is never overwritten.

        After a crash one of the two names or both have the content, never none. If `to` already has the same content,
        `name` is only removed; with other content it is OtherContentError.
        """
        ...


def lock_alone(fd: int, where: str) -> None:
    """Takes the kernel's lock of an open file for this run. ArchiveError if another run on this host has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError(f"another run is writing in the archive {where}", hint="wait until it has ended") from None


class Directory:
    """A place in the file system of this host. The directory itself must exist: an unmounted disk is not filled."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = str(root)

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """As `Place.hold`; the lock is one of the kernel, which ends with the process."""
        with self._named("write in"):
            fd = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        try:
            lock_alone(fd, self.where)
            workspace = self.root / _WORKSPACE
            with self._named("write in"):
                shutil.rmtree(workspace, ignore_errors=True)
                workspace.mkdir(mode=0o750)
                self._own(workspace, self.root / _LOCK)
            try:
                yield workspace
            finally:
                shutil.rmtree(workspace, ignore_errors=True)
        finally:
            os.close(fd)

    def put_new(self, name: str, source: Path) -> bool:
        """As `Place.put_new`: a hard link under the new name, because a link never replaces a file."""
        final = self.root / name
        with self._named("write in"):
            self._make_parents(final)
            draft = self._beside(source, final)
            _sync(draft)
            try:
                _link(draft, final)
            except FileExistsError:
                if stored_in(final) != stored_in(source):
                    raise OtherContentError(f"{final} already has other content", hint="nothing was changed") from None
                return False
            finally:
                if draft != source:
                    draft.unlink(missing_ok=True)
            final.chmod(_MODE)
            self._own(final)
            sync_directory(final.parent)
            if draft == source:
                source.unlink(missing_ok=True)
        return True

    def exists(self, name: str) -> bool:
        """As `Place.exists`. ArchiveError if there is no directory at all: its disk is not mounted."""
        with self._named("read"):
            if (self.root / name).exists():
                return True
            self._demand_root()
            return False

    def identity(self, name: str) -> object:
        """As `Place.identity`: a hard link, a symbolic link and a bind mount are the file that they lead to."""
        with self._named("read"):
            found = (self.root / name).stat()
        return found.st_dev, found.st_ino

    def open(self, name: str) -> BinaryIO:
        """As `Place.open`."""
        with self._named("read"):
            return os.fdopen(open_regular(self.root / name), "rb")

    def read(self, name: str) -> bytes:
        """As `Place.read`."""
        with self.open(name) as file, self._named("read"):
            return file.read()

    def stored(self, name: str) -> Stored | None:
        """As `Place.stored`."""
        with self._named("read"):
            try:
                return stored_in(self.root / name)
            except FileNotFoundError:
                return None

    def list(self, prefix: str = "") -> list[str]:
        """As `Place.list`."""
        found = []
        with self._named("read"):
            self._demand_root()
            # The part of the prefix that is a directory; names are compared with the rest of it.
            for directory, directories, files in os.walk(self.root / prefix.rpartition("/")[0], onerror=_unless_gone):
                directories[:] = [each for each in directories if not each.startswith(".")]
                names = [os.path.relpath(Path(directory) / each, self.root) for each in files if each[0] != "."]
                found += [each for each in names if each.startswith(prefix)]
        return sorted(found, key=os.fsencode)

    def move(self, name: str, to: str) -> None:
        """As `Place.move`."""
        source, final = self.root / name, self.root / to
        with self._named("write in"):
            self._make_parents(final)
            try:
                _link(source, final)
            except FileExistsError:
                if stored_in(final) != stored_in(source):
                    raise OtherContentError(f"{final} already has other content", hint="nothing was changed") from None
            sync_directory(final.parent)
            source.unlink(missing_ok=True)
            sync_directory(source.parent)

    def _demand_root(self) -> None:
        """Raises NotADirectoryError if the archive itself does not exist: then a missing name shows nothing."""
        if not self.root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.where)

    def _beside(self, source: Path, final: Path) -> Path:
        """The source, or a hidden copy beside the new name if the source is on another file system."""
        if source.stat().st_dev == final.parent.stat().st_dev:
            return source
        draft = self.root / _WORKSPACE / f"{os.getpid()}-{final.name}"
        draft.parent.mkdir(mode=0o750, exist_ok=True)
        shutil.copyfile(source, draft)
        return draft

    def _make_parents(self, final: Path) -> None:
        """Makes the directories of a name, each durable, but never the root."""
        missing = []
        parent = final.parent
        while parent != self.root and not parent.is_dir():
            missing.append(parent)
            parent = parent.parent
        for each in reversed(missing):
            each.mkdir(mode=0o750, exist_ok=True)
            self._own(each)
            sync_directory(each.parent)

    def _own(self, *paths: Path) -> None:
        """If root runs this, gives new files to the account that owns the archive, so that its timer can write."""
        if os.geteuid() == 0:
            owner = self.root.stat()
            for path in paths:
                os.chown(path, owner.st_uid, owner.st_gid)

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Turns errors of the system into ArchiveErrors that name the archive and say what to do."""
        try:
            yield
        except OSError as error:
            raise self._error(what, error) from error

    def _error(self, what: str, error: OSError) -> ArchiveError:
        if not self.root.is_dir():
            hint = "create it or mount its disk, or name another directory"
            return ArchiveError(f"there is no directory {self.where}", hint=hint)
        path = error.filename or self.where
        if isinstance(error, FileNotFoundError):
            return ArchiveError(f"there is no {path}", hint=f"sh {self.where}/verify.sh lists what is missing")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ArchiveError(
                f"the disk of {self.where} is full", hint="free space there: df -h; nothing was changed"
            )
        if error.errno == errno.EROFS:
            hint = f"in a unit: sudo systemctl edit hk-tick-collector-archive, [Service] ReadWritePaths={self.where}"
            return ArchiveError(f"{self.where} may not be written", hint=hint)
        hint = "check its owner and mode" if isinstance(error, PermissionError) else "check the disk: sudo dmesg | tail"
        return ArchiveError(f"cannot {what} {path} ({error.strerror})", hint=hint)


def _link(source: Path, final: Path) -> None:
    """Gives a file a second name, durable only once the directory is. FileExistsError if the name exists."""
    try:
        os.link(source, final, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if final.exists():  # a file system without hard links: `hold` excludes other runs
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from error
        source.rename(final)


def _unless_gone(error: OSError) -> None:
    """Raises the error of a directory that cannot be listed: without it the directory would count as empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def stored_in(path: Path) -> Stored:
    """Size and SHA-256 of a file, read from its disk. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    fd = open_regular(path)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while part := os.read(fd, _READ_BYTES):
            digest.update(part)
            size += len(part)
    finally:
        os.close(fd)
    return Stored(size, digest.hexdigest())
