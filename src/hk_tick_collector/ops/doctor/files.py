"""Checks of what is on disk: rights, file system, space, day files, spool. They read; nothing is made or changed."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hk_tick_collector.errors import CollectorError, NoDayError, PredecessorFileError, StoreError
from hk_tick_collector.ops.findings.day_files import predecessor_days
from hk_tick_collector.store import rights, schema
from hk_tick_collector.store.blocking import day_holder
from hk_tick_collector.store.foreign import import_command, list_waiting, move_command
from hk_tick_collector.store.locks import Holder, holders
from hk_tick_collector.store.owner import LOCK_NAME, SPOOL_LOCK_NAME
from hk_tick_collector.store.query import DayReader, list_days, path_of
from hk_tick_collector.store.rights import give, user_name
from hk_tick_collector.store.spool import segments_below

from .result import Check, failure, not_checked, ok, warning

ACCOUNT: Final = "hkcollector"
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs"})
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_DAY_PART: Final = re.compile(r"[0-9]{8}\.db(-wal|-shm)?")
_DAMAGED: Final = re.compile(r"[0-9]{8}\.db\.damaged-[0-9TZ]+(-[0-9]+)?")
_UNFINISHED: Final = re.compile(r"\.[0-9]{8}\.snapshot\.db(\.partial|\.partial\.sha256)")
_MOMENT_S: Final = 0.3  # a lock of a commit or a checkpoint is gone by then
_RECENT_DAYS: Final = 5
_MIB: Final = 2**20
_AS_ROOT: Final = "run it with sudo, or as a member of the group hkcollector"


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the service: the account hkcollector where there is one, else whoever asks."""

    name: str
    uid: int
    gids: frozenset[int]
    installed: bool

    @property
    def owner(self) -> str:
        """As chown takes it."""
        return f"{ACCOUNT}:{ACCOUNT}" if self.installed else rights.account()

    def may(self, found: os.stat_result, bits: int) -> bool:
        """Whether the account has these rights (4 read, 2 write, 1 enter), by owner and mode alone."""
        if self.uid == 0:
            return True
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.gids else 0
        return (found.st_mode >> shift) & bits == bits


def service_account() -> Account:
    """The account that the service runs as on this host."""
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return Account(name, uid, frozenset({os.getegid(), *os.getgroups()}), installed=False)
    return Account(ACCOUNT, entry.pw_uid, frozenset(os.getgrouplist(ACCOUNT, entry.pw_gid)), installed=True)


def check_caller(account: Account) -> Check:
    """Whether who asks may see what there is to see."""
    if not account.installed:
        return not_checked("caller", f"there is no account {ACCOUNT} here, so rights are those of {account.name}")
    try:
        group = grp.getgrnam(ACCOUNT).gr_gid
    except KeyError:
        return failure("caller", f"there is no group {ACCOUNT}", "sudo bash deploy/install.sh")
    if os.geteuid() in (0, account.uid) or group in {os.getegid(), *os.getgroups()}:
        return ok("caller", f"may read what {ACCOUNT} wrote")
    return warning(
        "caller",
        f"is no member of the group {ACCOUNT}, and may not read day files or settings",
        f"sudo usermod -aG {ACCOUNT} $USER, then log in anew",
    )


def check_directory(name: str, path: Path, account: Account, *, made_by_service: bool) -> Check:
    """Whether the service may write in a directory, or make it where it makes it itself."""
    try:
        found = _first_that_exists(path)
        mode = found.stat()
    except OSError as error:
        return not_checked(name, f"{path} cannot be looked at ({error.strerror})", _AS_ROOT)
    make = f"sudo install -d -o {ACCOUNT} -g {ACCOUNT} -m 0750 {path}" if account.installed else f"mkdir -p {path}"
    if found != path and not made_by_service:
        return failure(name, f"{path} does not exist", make)
    if not stat.S_ISDIR(mode.st_mode):
        return failure(name, f"{found} is no directory", f"name a directory in {name}")
    if refused := _refused(name, found, mode, account):
        return refused
    if found != path:
        return ok(name, f"{path} is made by the service when it is needed")
    if account.installed and not made_by_service and stat.S_IMODE(mode.st_mode) & 0o057 != 0o050:
        text = f"{path} has mode {stat.S_IMODE(mode.st_mode):04o}: its group must read it and others must not"
        return warning(name, text, f"sudo chmod 0750 {path}")
    return ok(name, f"{account.name} may write in {path}")


def _refused(name: str, found: Path, mode: os.stat_result, account: Account) -> Check | None:
    """What keeps the account from making files in a directory that exists."""
    closed = _first_closed(found, account)
    if closed:
        return failure(name, f"{account.name} may not enter {closed}", f"sudo chmod o+x {closed}")
    if os.statvfs(found).f_flag & os.ST_RDONLY:
        return failure(name, f"{found} is on a read-only file system", f"sudo mount -o remount,rw {_mount(found)[0]}")
    if not account.may(mode, 3):
        return failure(name, f"{account.name} may not write in {found}", f"sudo chown {account.owner} {found}")
    return None


def check_locks(data_root: Path, spool_dir: Path, today: str, account: Account) -> Check:
    """Whether a lock, or a lock file that another account left, keeps the service from starting or from writing."""
    name = "lock files"
    files = (data_root / LOCK_NAME, spool_dir / SPOOL_LOCK_NAME)
    for path in files:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return not_checked(name, f"{path} cannot be looked at ({error.strerror})", _AS_ROOT)
        if not account.may(found, 6):
            whose = f"it belongs to {user_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"
            return failure(name, f"{account.name} may not write {path}: {whose}", give(path, account.owner))
    for path in files:
        others = [holder for holder in holders(path) or () if not holder.is_collector]
        if others:
            text = f"{path} is locked by {others[0].words()}: no collector can start"
            return failure(name, text, _end(others[0], path))
    path = path_of(data_root, today)
    holder = _lasting_holder(path)
    if holder and not holder.is_collector:
        return failure(name, f"{path} is locked by {holder.words()}: nothing can be stored", _end(holder, path))
    return ok(name, "nobody is seen to keep the service from writing")


def _lasting_holder(path: Path) -> Holder | None:
    """Who holds a lock on a day file now and a moment later."""
    holder = day_holder(path)
    if holder is None or holder.is_collector:
        return None
    time.sleep(_MOMENT_S)
    again = day_holder(path)
    return again if again and again.pid == holder.pid else None


def _end(holder: Holder, path: Path) -> str:
    if holder.pid > 0:
        return f"sudo kill -TERM {holder.pid}"
    return f"sudo fuser -v {shlex.quote(str(path))}*"


def check_left_behind(spool_dir: Path, snapshot_dir: Path, account: Account) -> Check:
    """Whether another account left what the service must read and remove: ticks in the spool, unfinished snapshots."""
    name = "left files"
    strange: list[str] = []
    try:
        runs = [entry for entry in _listed(spool_dir) if entry.is_dir(follow_symlinks=False)]
        strange += [run.path for run in runs if not account.may(run.stat(), 7)]
        segments = [file for run in runs for file in _listed(Path(run.path)) if file.name.endswith(".spool")]
        drafts = [file for file in _listed(snapshot_dir) if _UNFINISHED.fullmatch(file.name)]
        strange += [file.path for file in (*segments, *drafts) if not account.may(file.stat(), 6)]
    except OSError as error:
        return _unlisted(name, Path(error.filename or spool_dir), error)
    if not strange:
        return ok(name, "spool and snapshots belong to the service")
    text = f"{account.name} may not write {_first_of(strange)}"
    roots = {spool_dir if Path(path).is_relative_to(spool_dir) else Path(path) for path in strange}
    targets = " ".join(shlex.quote(str(root)) for root in sorted(roots))
    return failure(name, text, f"sudo chown -R {account.owner} {targets}")


def check_files(data_root: Path, account: Account) -> Check:
    """Whether files that another account left keep the service from writing, for example after a run as root."""
    name = "files"
    try:
        modes = {file.name: file.stat() for file in _listed(data_root) if _DAY_PART.fullmatch(file.name)}
    except OSError as error:
        return _unlisted(name, data_root, error)
    unfinished = {name: mode for name, mode in modes.items() if mode.st_mode & stat.S_IWUSR}  # others are sealed
    strange = [name for name, mode in unfinished.items() if not account.may(mode, 6)]
    if strange:
        text = f"{account.name} may not write {_first_of(strange)}"
        return failure(name, text, f"sudo chown -R {account.owner} {data_root}")
    opened = [name for name, mode in modes.items() if mode.st_mode & 0o007]
    if opened and account.installed:
        return warning(name, f"everybody may read {_first_of(opened)}", f"sudo chmod o= {data_root}/*.db*")
    return ok(name, "files of unfinished days belong to the service")


def check_env_file(path: Path | None, *, secrets: bool, installed: bool) -> Check:
    """Who may read and change the settings file."""
    name = ".env"
    if path is None:
        return ok(name, "no settings file: environment and defaults are in force")
    try:
        found = path.stat()
    except OSError as error:
        return not_checked(name, f"{path} cannot be looked at ({error.strerror})", _AS_ROOT)
    mode = stat.S_IMODE(found.st_mode)
    right = f"sudo chown root:{ACCOUNT} {path}; sudo chmod 0640 {path}" if installed else f"chmod 0640 {path}"
    if mode & 0o022:
        return warning(name, f"{path} has mode {mode:04o}: more than its owner may change it", right)
    if mode & 0o007 and (secrets or installed):
        return warning(name, f"{path} has mode {mode:04o}: everybody may read it", right)
    return ok(name, f"{path}, mode {mode:04o}")


def check_file_system(data_root: Path) -> Check:
    """Whether a write-ahead log can live there, and outlives a reboot."""
    name = "file system"
    try:
        mount, kind = _mount(_first_that_exists(data_root))
    except OSError as error:
        return not_checked(name, f"mounts cannot be read ({error.strerror})")
    if kind in _NETWORK:
        return failure(name, f"DATA_ROOT is on {kind} at {mount}: SQLite's WAL needs a local disk", "move DATA_ROOT")
    if kind in _IN_MEMORY:
        return warning(name, f"DATA_ROOT is on {kind} at {mount}: a reboot loses every day", "move DATA_ROOT to a disk")
    return ok(name, f"{kind or 'unknown'} at {mount}")


def check_space(data_root: Path, today: str, min_free_mb: int) -> Check:
    """Free space against the largest of the recent days."""
    name = "disk"
    try:
        space = os.statvfs(_first_that_exists(data_root))
        days = [day for day in list_days(data_root) if day < today][-_RECENT_DAYS:]
        largest = max((path_of(data_root, day).stat().st_size for day in days), default=0)
    except (OSError, StoreError) as error:
        return not_checked(name, f"{data_root} cannot be looked at ({error})", _AS_ROOT)
    free = space.f_bavail * space.f_frsize
    text = f"{free // _MIB:,} MB are free"
    remedy = f"df -h {data_root}; move finished days away, with their snapshots"
    if space.f_files and not space.f_favail:
        return failure(name, "no inode is left", f"df -i {data_root}")
    if free // _MIB < min_free_mb:
        worst = failure if free // _MIB < min_free_mb / 4 else warning
        return worst(name, f"{text}, DISK_MIN_FREE_MB is {min_free_mb:,}", remedy)
    if not largest:
        return ok(name, f"{text}; no earlier day tells how much one takes")
    text += f"; the largest of the last {len(days)} days took {max(1, largest // _MIB):,} MB"
    days_left = (free - min_free_mb * _MIB) // largest
    if days_left < _RECENT_DAYS:
        return (failure if days_left < 1 else warning)(name, f"{text}: enough for {days_left} such days", remedy)
    return ok(name, f"{text}: enough for {days_left:,} such days")


def check_day(data_root: Path, today: str) -> Check:
    """Whether the file of the current day, where there is one, opens and is of our schema."""
    name = "day file"
    path = path_of(data_root, today)
    try:
        with DayReader(path) as reader:
            rows, version = reader.totals().rows, reader.schema_version()
    except NoDayError:
        return ok(name, f"there is none of {today} yet: the service makes it on a trading day")
    except PredecessorFileError as error:
        return warning(name, f"{error}: the service sets it aside and imports it by itself", error.hint)
    except CollectorError as error:
        if "stays locked" in str(error) or "cannot" in str(error):
            return not_checked(name, str(error), error.hint)
        return failure(name, str(error), error.hint or "see docs/sqlite-wal.md")
    if version > schema.VERSION:
        text = f"{path} has schema {version}, this version writes up to {schema.VERSION}"
        return failure(name, text, f"install the version that wrote it, or move the file away: {move_command(path)}")
    if not path.stat().st_mode & stat.S_IWUSR:
        text = f"{path} is read-only: ticks of today would be rejected"
        return failure(name, text, f"sudo chmod 0640 {path}; sudo systemctl restart hk-tick-collector")
    return ok(name, f"{path}, {rows:,} rows, schema {version}")


def check_damaged(data_root: Path) -> Check:
    """Damaged files that were set aside and still wait for somebody."""
    name = "damaged files"
    try:
        found = sorted(file.name for file in _listed(data_root) if _DAMAGED.fullmatch(file.name))
    except OSError as error:
        return _unlisted(name, data_root, error)
    if not found:
        return ok(name, "none")
    text = f"damaged files that were set aside: {len(found)}, the newest {found[-1]}"
    return warning(name, text, "see docs/sqlite-wal.md, then move them out of DATA_ROOT")


def check_predecessor(data_root: Path) -> Check:
    """Day files of the predecessor that are not ours yet."""
    name = "old day files"
    try:
        waiting = list_waiting(data_root) if data_root.is_dir() else []
        days = [day for day in list_days(data_root) if _is_predecessors(path_of(data_root, day))]
    except OSError as error:
        return _unlisted(name, data_root, error)
    except StoreError as error:
        return not_checked(name, str(error), error.hint)
    if days:
        return warning(name, predecessor_days(days, data_root).words, import_command(data_root))
    if waiting:
        text = f"{_first_of([path.name for path in waiting])} was set aside and is not imported"
        return warning(name, text, import_command(data_root))
    return ok(name, "no day file of another collector")


def _is_predecessors(path: Path) -> bool:
    try:
        with DayReader(path):
            return False
    except PredecessorFileError:
        return True
    except StoreError:
        return False


def check_spool(spool_dir: Path, *, running: bool) -> Check:
    """Rows that wait on disk for a day file."""
    name = "spool"
    try:
        sizes = [file.stat().st_size for file in segments_below(spool_dir)]
    except OSError as error:
        return _unlisted(name, spool_dir, error)
    if not sizes:
        return ok(name, "empty")
    text = f"{sum(sizes) / _MIB:,.1f} MB of ticks wait in {spool_dir}"
    if running:
        return warning(name, text, "wait, they are stored as soon as the day file takes them: hk-tick-collector status")
    return warning(name, text, "sudo systemctl start hk-tick-collector: the start stores them")


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    """What is in a directory, nothing where it is not there. OSError where that may not be seen."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _unlisted(name: str, directory: Path, error: OSError) -> Check:
    return not_checked(name, f"{directory} cannot be listed ({error.strerror})", _AS_ROOT)


def _first_of(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _first_that_exists(path: Path) -> Path:
    """The path or its nearest parent that is there. OSError where that cannot be seen."""
    for candidate in (path, *path.absolute().parents):
        try:
            candidate.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return candidate
    return Path("/")


def _first_closed(path: Path, account: Account) -> Path | None:
    """The topmost parent that the account may not enter."""
    parents = reversed(path.resolve().parents)
    return next((parent for parent in parents if not account.may(parent.stat(), 1)), None)


def _mount(path: Path) -> tuple[str, str]:
    """Mount point and kind of the file system that a path is on, by the kernel's own table."""
    device = path.stat().st_dev
    wanted, best = f"{os.major(device)}:{os.minor(device)}", ("/", "")
    for line in Path("/proc/self/mountinfo").read_text("utf-8", errors="replace").splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split()
        if fields[2] == wanted and path.resolve().is_relative_to(fields[4]) and len(fields[4]) >= len(best[0]):
            best = (fields[4], tail.split()[0])
    return best
