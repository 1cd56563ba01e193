"""Removes day files and snapshots that are proved to be elsewhere, and gives the reason why each other one stays.

Enters: DATA_ROOT, SNAPSHOT_DIR, the archive and its copies. Leaves: one `Judged` a file, oldest day first. The newest
days stay, counted by files and not by a clock. A snapshot goes when the sealed file of its day has every tick of it; a
day file when enough copies of it are proved (proving.py).

A file is renamed aside before it is removed, and removed only if it is still the one that was read. Killed at any
moment, a day is there, or aside as `YYYYMMDD.db.pruning`, or was proved; the next run finishes or undoes what is aside.
Who has the file open goes on reading it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.store.containing import lacking_ticks
from hk_tick_collector.store.disk import sync_directory
from hk_tick_collector.store.query import list_days, path_of
from hk_tick_collector.store.rights import refused
from hk_tick_collector.store.snapshot import SUFFIX, snapshot_path, sum_path

from .proving import Copies, Identity, SealedDay, Unproved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .places import Place
    from .sshsig import PublicKey
    from .ticks import Progress

ASIDE: Final = ".pruning"
DAY: Final = "day"
SNAPSHOT: Final = "snapshot"
_LOCK: Final = ".prune.lock"
_ASIDE_DAY: Final = re.compile(r"([0-9]{8})\.db" + re.escape(ASIDE))
_OF_SNAPSHOT: Final = re.compile(r"([0-9]{8})" + re.escape(SUFFIX) + r"(?:" + re.escape(ASIDE) + r")?")


class Asked(NamedTuple):
    """What to prune, and what counts as a proof."""

    data_root: Path
    snapshot_dir: Path
    places: Sequence[Place]  # the archive and its copies
    signers: Sequence[PublicKey]  # whose certificates count
    copies: int  # how many of the places must have a day
    keep_days: int  # the newest so many days with a file stay
    frees: bool  # False: a dry run


class Judged(NamedTuple):
    """A file, and what became of it."""

    day: str
    kind: str  # day, snapshot
    path: Path
    size_bytes: int
    freed: bool  # in a dry run: it would be
    why: str  # where it is proved to be, or why it stays
    is_fault: bool = False  # something is not as it should be
    is_newest: bool = False  # it stays because it is one of the newest days
    places: tuple[str, ...] = ()  # where a day is proved to be
    faults: tuple[str, ...] = ()  # of a freed day: what is wrong with other places that should have it


def prune(asked: Asked, progress: Progress) -> Iterator[Judged]:
    """Judges each day and each snapshot, and frees it at once if `asked.frees`. Raises StoreError if another run does,
    or if a directory cannot be read.
    """
    copies = Copies(asked.places, asked.signers)
    with _held(asked):
        days = sorted({*list_days(asked.data_root), *_aside(asked.data_root, _ASIDE_DAY)})
        newest = set(days[-asked.keep_days :]) if asked.keep_days else set()
        everyone = sorted({*days, *_aside(asked.snapshot_dir, _OF_SNAPSHOT)})
        for day in everyone:
            if day in newest:
                yield from _kept(asked, day)
            else:
                yield from _day(asked, copies, day, progress)


def _day(asked: Asked, copies: Copies, day: str, progress: Progress) -> Iterator[Judged]:
    """Judges the snapshot before the day file, because the day file proves the snapshot."""
    path = path_of(asked.data_root, day)
    there = [each for each in (path, path.with_name(path.name + ASIDE)) if os.path.lexists(each)]
    found = {each: _sealed(each, day, progress) for each in there}
    good = [each for each in found.values() if isinstance(each, SealedDay)]
    yield from _snapshot(asked, copies, day, next(iter([*good, *found.values()]), None))
    for each, sealed in found.items():
        yield _judged(asked, copies, day, each, sealed)


def _sealed(path: Path, day: str, progress: Progress) -> SealedDay | Unproved:
    try:
        return SealedDay(path, day, progress)
    except Unproved as error:
        return error


def _judged(asked: Asked, copies: Copies, day: str, path: Path, sealed: SealedDay | Unproved) -> Judged:
    size = _size(path)
    try:
        if not isinstance(sealed, SealedDay):
            raise sealed
        proof = copies.prove(sealed, asked.copies)
        if asked.frees:
            _free(path, sealed.identity)
    except Unproved as error:
        if asked.frees and path.name.endswith(ASIDE):
            path = _back(path)
        return Judged(day, DAY, path, size, freed=False, why=str(error), is_fault=error.is_fault)
    why = "; but ".join([f"proved in {', '.join(proof.places)}", *proof.faults])
    return Judged(
        day,
        DAY,
        path,
        size,
        freed=True,
        why=why,
        is_fault=bool(proof.faults),
        places=tuple(proof.places),
        faults=tuple(proof.faults),
    )


def _snapshot(asked: Asked, copies: Copies, day: str, sealed: SealedDay | Unproved | None) -> Iterator[Judged]:
    """Judges a snapshot by the sealed day file, which counts as one copy of it."""
    path = snapshot_path(asked.snapshot_dir, day)
    aside = path.with_name(path.name + ASIDE)
    for each in (path, aside):
        if not os.path.lexists(each):
            continue
        size = _size(each)
        try:
            identity = Identity.of(each.lstat())
            _demand_contained(asked, copies, each, sealed)
            if asked.frees:
                _free(each, identity, also=sum_path(path))
        except (Unproved, OSError) as error:
            where = _back(each) if asked.frees and each == aside else each
            is_fault = not isinstance(error, Unproved) or error.is_fault
            yield Judged(day, SNAPSHOT, where, size, freed=False, why=str(error), is_fault=is_fault)
        else:
            yield Judged(day, SNAPSHOT, each, size, freed=True, why="the sealed day file has every tick of it")


def _demand_contained(asked: Asked, copies: Copies, snapshot: Path, sealed: SealedDay | Unproved | None) -> None:
    if sealed is None:
        raise Unproved(
            f"there is no day file to compare it with: hk-tick-collector restore {snapshot.name[:8]}, then prune again"
        )
    if isinstance(sealed, Unproved):
        raise Unproved(f"the day file does not prove it: {sealed}", is_fault=sealed.is_fault)
    if asked.copies > 1:
        copies.prove(sealed, asked.copies - 1)
    if not stat.S_ISREG(snapshot.lstat().st_mode):
        raise Unproved("it is not a regular file", is_fault=True)
    if any(os.path.lexists(f"{snapshot}{suffix}") for suffix in ("-wal", "-journal")):
        raise Unproved("it is in use, or its copy was not finished")
    try:
        lacking = lacking_ticks(sealed.path, snapshot)
    except CollectorError as error:
        raise Unproved(str(error), is_fault=True) from error
    if lacking:
        raise Unproved(f"it has {lacking:,} ticks that the sealed day file does not have", is_fault=True)


def _kept(asked: Asked, day: str) -> Iterator[Judged]:
    """The files of one of the newest days; what a killed run with other options put aside gets its name back."""
    for kind, path in ((SNAPSHOT, snapshot_path(asked.snapshot_dir, day)), (DAY, path_of(asked.data_root, day))):
        aside = path.with_name(path.name + ASIDE)
        if asked.frees and os.path.lexists(aside):
            _back(aside)
        if os.path.lexists(path):
            why = f"it is one of the newest {asked.keep_days} days"
            yield Judged(day, kind, path, _size(path), freed=False, why=why, is_newest=True)


def _free(path: Path, identity: Identity, *, also: Path | None = None) -> None:
    """Renames the file aside, and removes it if it is the one that was read; `also` goes with it.

    Raises Unproved if it is another one.
    """
    aside = path if path.name.endswith(ASIDE) else path.with_name(path.name + ASIDE)
    with _refusals(path):
        if aside != path:
            if os.path.lexists(aside):
                raise Unproved(f"{aside.name} is there: run prune again")
            path.rename(aside)
            sync_directory(aside.parent)
        if Identity.of(aside.lstat()) != identity:
            _back(aside)
            raise Unproved("it was changed while it was read", is_fault=True)
        if also is not None:
            also.unlink(missing_ok=True)
        aside.unlink()
        sync_directory(aside.parent)


def _back(aside: Path) -> Path:
    """Gives a file that is aside its name again, unless another file has it; the path that it has now."""
    path = aside.with_name(aside.name.removesuffix(ASIDE))
    with _refusals(aside):
        try:
            os.link(aside, path, follow_symlinks=False)  # never replaces a file
        except FileExistsError:
            return aside
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or os.path.lexists(path):
                raise
            aside.rename(path)
            return path
        aside.unlink()
        sync_directory(path.parent)
    return path


@contextmanager
def _held(asked: Asked) -> Iterator[None]:
    """One run that frees at a time. A dry run needs no right to write."""
    if not asked.frees:
        yield
        return
    path = asked.data_root / _LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise refused("the lock file of prune", path, error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another run is pruning {asked.data_root}", hint="wait until it has ended") from None
        if os.geteuid() == 0:  # the account that owns the data must be able to run it next time
            owner = asked.data_root.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
        yield
    finally:
        os.close(fd)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turns a refusal of the system into the reason why a file stays."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise Unproved("it was removed meanwhile") from error
        raise Unproved(f"cannot remove {path}: {error.strerror}", is_fault=True) from error


def _aside(directory: Path, names: re.Pattern[str]) -> set[str]:
    """The days of files in a directory whose names match; none if there is no such directory."""
    try:
        found = [names.fullmatch(name) for name in os.listdir(directory)]  # noqa: PTH208 - names alone
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StoreError(f"cannot list {directory} ({error.strerror})", hint="check its rights") from error
    return {each[1] for each in found if each}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
