"""Checks of files: permissions, file system, space, day files, spool. They only read; they change nothing."""

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
from hk_tick_collector.ops.findings.words import Words, cause_of, hint_of
from hk_tick_collector.store import rights, schema
from hk_tick_collector.store.collector_lock import LOCK_NAME, SPOOL_LOCK_NAME
from hk_tick_collector.store.foreign import import_steps, list_waiting, move_command
from hk_tick_collector.store.lock_holder import day_holder
from hk_tick_collector.store.locks import Holder, closed_by, holders
from hk_tick_collector.store.query import DayReader, list_days, path_of, unseal_command
from hk_tick_collector.store.rights import give, user_name
from hk_tick_collector.store.spool_segments import is_run, segments_below

from .result import AS_ROOT, Check, failure, not_checked, ok, warning

ACCOUNT: Final = "hkcollector"
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs"})
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_DAY_PART: Final = re.compile(r"[0-9]{8}\.db(-wal|-shm)?")
_DAMAGED: Final = re.compile(r"[0-9]{8}\.db\.damaged-[0-9TZ]+(-[0-9]+)?")
_UNFINISHED: Final = re.compile(r"\.[0-9]{8}\.snapshot\.db(\.partial|\.partial\.sha256)")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")  # a blank, a tab, a line break or a backslash in mountinfo
_MOMENT_S: Final = 0.3  # a lock for a commit or a checkpoint is released within this time
_RECENT_DAYS: Final = 5
_MIB: Final = 2**20
_SEE_WAL: Final = Words("see docs/sqlite-wal.md", "見 docs/sqlite-wal.md")


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the service: hkcollector if it exists, otherwise the current user."""

    name: str
    uid: int
    gids: frozenset[int]
    installed: bool

    @property
    def owner(self) -> str:
        """`user:group`, as chown takes it."""
        return f"{ACCOUNT}:{ACCOUNT}" if self.installed else rights.account()

    def may(self, found: os.stat_result, bits: int) -> bool:
        """Whether the account has these permissions (4 read, 2 write, 1 enter), by owner and mode only."""
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
    """Whether the current user may read everything that the checks need."""
    if not account.installed:
        text = Words(
            "there is no account {account} here, so permissions are checked for {name}",
            "本機沒有 {account} 帳戶，權限按 {name} 檢查",
        )
        return not_checked("caller", text.filled(account=ACCOUNT, name=account.name))
    try:
        group = grp.getgrnam(ACCOUNT).gr_gid
    except KeyError:
        text = Words(f"there is no group {ACCOUNT}", f"沒有 {ACCOUNT} 群組")
        return failure("caller", text, "sudo bash deploy/install.sh")
    if os.geteuid() in (0, account.uid) or group in {os.getegid(), *os.getgroups()}:
        return ok("caller", Words(f"may read the files of {ACCOUNT}", f"可讀取 {ACCOUNT} 寫入的檔案"))
    return warning(
        "caller",
        Words(
            f"is not a member of the group {ACCOUNT}, and may not read day files or settings",
            f"不是 {ACCOUNT} 群組成員，不能讀取日檔或設定",
        ),
        Words(f"sudo usermod -aG {ACCOUNT} $USER, then log in again", f"sudo usermod -aG {ACCOUNT} $USER，再重新登入"),
    )


def check_directory(name: str, path: Path, account: Account, *, made_by_service: bool) -> Check:
    """Whether the service may write to a directory, or create it if the service creates it itself."""
    try:
        found = _first_that_exists(path)
        mode = found.stat()
    except OSError as error:
        return not_checked(name, _unseen(path, error.strerror), AS_ROOT)
    word = shlex.quote(str(path))
    make = f"sudo install -d -o {ACCOUNT} -g {ACCOUNT} -m 0750 {word}" if account.installed else f"mkdir -p {word}"
    if found != path and not made_by_service:
        return failure(name, Words(f"{path} does not exist", f"{path} 不存在"), make)
    if not stat.S_ISDIR(mode.st_mode):
        return failure(
            name,
            Words(f"{found} is not a directory", f"{found} 不是目錄"),
            Words(f"name a directory in {name}", f"在 {name} 設定一個目錄"),
        )
    if refused := _refused(name, found, mode, account):
        return refused
    if found != path:
        return ok(
            name,
            Words(f"{path} does not exist: the service creates it when needed", f"{path} 不存在：服務在需要時建立"),
        )
    if account.installed and not made_by_service and stat.S_IMODE(mode.st_mode) & 0o057 != 0o050:
        text = Words(
            "{path} has mode {mode:04o}: its group must read it and others must not",
            "{path} 的權限為 {mode:04o}：群組須可讀，其他人不可",
        ).filled(path=path, mode=stat.S_IMODE(mode.st_mode))
        return warning(name, text, f"sudo chmod 0750 {shlex.quote(str(path))}")
    return ok(name, Words(f"{account.name} may write in {path}", f"{account.name} 可寫入 {path}"))


def _refused(name: str, found: Path, mode: os.stat_result, account: Account) -> Check | None:
    """Why the account cannot create files in a directory that exists."""
    closed = _first_closed(found, account)
    if closed:
        text = Words(f"{account.name} may not enter {closed}", f"{account.name} 不能進入 {closed}")
        return failure(name, text, f"sudo chmod o+x {shlex.quote(str(closed))}")
    if os.statvfs(found).f_flag & os.ST_RDONLY:
        text = Words(f"{found} is on a read-only file system", f"{found} 在唯讀的檔案系統上")
        return failure(name, text, f"sudo mount -o remount,rw {shlex.quote(_mount(found)[0])}")
    if not account.may(mode, 3):
        text = Words(f"{account.name} may not write in {found}", f"{account.name} 不能寫入 {found}")
        return failure(name, text, f"sudo chown {account.owner} {shlex.quote(str(found))}")
    return None


def check_locks(data_root: Path, spool_dir: Path, today: str, account: Account) -> Check:
    """Whether a lock, or a lock file of another account, would prevent the service from starting or writing."""
    name = "lock files"
    files = (data_root / LOCK_NAME, spool_dir / SPOOL_LOCK_NAME)
    for path in files:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return not_checked(name, _unseen(path, error.strerror), AS_ROOT)
        if not account.may(found, 6):
            text = Words(
                "{name} may not write {path}: it belongs to {owner}, mode {mode:04o}",
                "{name} 不能寫入 {path}：擁有者為 {owner}，權限 {mode:04o}",
            ).filled(name=account.name, path=path, owner=user_name(found.st_uid), mode=stat.S_IMODE(found.st_mode))
            return failure(name, text, give(path, account.owner))
    for path in files:
        others = [holder for holder in holders(path) or () if not holder.is_collector]
        if others:
            text = Words(
                "{path} is locked by {holder}: no collector can start", "{path} 被 {holder} 鎖住：收集器不能啟動"
            )
            text = text.filled(path=path, holder=others[0].words())
            return failure(name, text, others[0].end_command(path))
    path = path_of(data_root, today)
    holder = _lasting_holder(path)
    # A file of the predecessor is renamed at the start of the service, whoever has it open, if it can be read.
    if holder and not holder.is_collector and (closed_by([path]) or not _is_predecessors(path)):
        text = Words("{path} is locked by {holder}: nothing can be stored", "{path} 被 {holder} 鎖住：不能儲存")
        return failure(name, text.filled(path=path, holder=holder.words()), holder.end_command(path))
    return ok(name, Words("no lock is known that prevents the service from writing", "沒有發現妨礙服務寫入的程序"))


def _lasting_holder(path: Path) -> Holder | None:
    """The process that holds a lock on a day file now and a moment later."""
    holder = day_holder(path)
    if holder is None or holder.is_collector:
        return None
    time.sleep(_MOMENT_S)
    again = day_holder(path)
    return again if again and again.pid == holder.pid else None


def check_left_behind(spool_dir: Path, snapshot_dir: Path, account: Account) -> Check:
    """Files of another account that the service must read and delete: ticks in the spool, unfinished snapshots."""
    name = "left files"
    strange: list[str] = []
    try:
        runs = [entry for entry in _listed(spool_dir) if is_run(entry.name) and entry.is_dir(follow_symlinks=False)]
        strange += [run.path for run in runs if not account.may(run.stat(), 7)]
        segments = [file for run in runs for file in _listed(Path(run.path)) if file.name.endswith(".spool")]
        drafts = [file for file in _listed(snapshot_dir) if _UNFINISHED.fullmatch(file.name)]
        strange += [file.path for file in (*segments, *drafts) if not account.may(file.stat(), 6)]
    except OSError as error:
        return _unlisted(name, Path(error.filename or spool_dir), error)
    if not strange:
        return ok(name, Words("spool and snapshots belong to the service", "spool 與快照屬服務帳戶"))
    text = _may_not_write(account, strange)
    roots = {spool_dir if Path(path).is_relative_to(spool_dir) else Path(path) for path in strange}
    targets = " ".join(shlex.quote(str(root)) for root in sorted(roots))
    return failure(name, text, f"sudo chown -R {account.owner} {targets}")


def check_files(data_root: Path, account: Account) -> Check:
    """Files of another account that the service cannot write, for example after a run as root."""
    name = "files"
    try:
        modes = {file.name: file.stat() for file in _listed(data_root) if _DAY_PART.fullmatch(file.name)}
    except OSError as error:
        return _unlisted(name, data_root, error)
    unfinished = {name: mode for name, mode in modes.items() if mode.st_mode & stat.S_IWUSR}  # others are sealed
    strange = [name for name, mode in unfinished.items() if not account.may(mode, 6)]
    if strange:
        text = _may_not_write(account, strange)
        return failure(name, text, f"sudo chown -R {account.owner} {shlex.quote(str(data_root))}")
    opened = [name for name, mode in modes.items() if mode.st_mode & 0o007]
    if opened and account.installed:
        first = _first_of(opened)
        text = Words(f"everybody may read {first.en}", f"所有人都可讀取 {first.zh}")
        return warning(name, text, f"sudo chmod o= {shlex.quote(str(data_root))}/*.db*")
    return ok(name, Words("files of unfinished days belong to the service", "未完結日子的檔案屬服務帳戶"))


def check_env_file(path: Path | None, *, secrets: bool, installed: bool) -> Check:
    """Who may read and change the settings file."""
    name = ".env"
    if path is None:
        return ok(
            name, Words("no settings file: environment and defaults are in force", "沒有設定檔：使用環境變數與預設值")
        )
    try:
        found = path.stat()
    except OSError as error:
        return not_checked(name, _unseen(path, error.strerror), AS_ROOT)
    mode = stat.S_IMODE(found.st_mode)
    word = shlex.quote(str(path))
    right = f"sudo chown root:{ACCOUNT} {word}; sudo chmod 0640 {word}" if installed else f"chmod 0640 {word}"
    if mode & 0o022:
        text = Words(
            "{path} has mode {mode:04o}: more than its owner may change it",
            "{path} 的權限為 {mode:04o}：不止擁有者可更改",
        )
        return warning(name, text.filled(path=path, mode=mode), right)
    if mode & 0o007 and (secrets or installed):
        text = Words("{path} has mode {mode:04o}: everybody may read it", "{path} 的權限為 {mode:04o}：所有人都可讀取")
        return warning(name, text.filled(path=path, mode=mode), right)
    return ok(name, Words(f"{path}, mode {mode:04o}", f"{path}，權限 {mode:04o}"))


def check_file_system(data_root: Path) -> Check:
    """Whether a WAL works on this file system, and whether files survive a reboot."""
    name = "file system"
    try:
        mount, kind = _mount(_first_that_exists(data_root))
    except OSError as error:
        return not_checked(
            name, Words(f"mounts cannot be read ({error.strerror})", f"不能讀取掛載資訊（{error.strerror}）")
        )
    if kind in _NETWORK:
        text = Words(
            "DATA_ROOT is on {kind} at {mount}: SQLite's WAL needs a local disk",
            "DATA_ROOT 在 {mount} 的 {kind} 上：SQLite 的 WAL 需要本機磁碟",
        )
        return failure(name, text.filled(kind=kind, mount=mount), Words("move DATA_ROOT", "搬移 DATA_ROOT"))
    if kind in _IN_MEMORY:
        text = Words(
            "DATA_ROOT is on {kind} at {mount}: a reboot loses every day",
            "DATA_ROOT 在 {mount} 的 {kind} 上：重新開機會失去所有日子",
        )
        remedy = Words("move DATA_ROOT to a disk", "把 DATA_ROOT 搬到磁碟上")
        return warning(name, text.filled(kind=kind, mount=mount), remedy)
    return ok(name, Words(f"{kind or 'unknown'} at {mount}", f"{kind or '不明'}，掛載於 {mount}"))


def check_space(data_root: Path, today: str, min_free_mb: int) -> Check:
    """Free space, compared with the largest of the recent days."""
    name = "disk"
    try:
        space = os.statvfs(_first_that_exists(data_root))
        days = [day for day in list_days(data_root) if day < today][-_RECENT_DAYS:]
        largest = max((path_of(data_root, day).stat().st_size for day in days), default=0)
    except (OSError, StoreError) as error:
        return not_checked(name, _unseen(data_root, str(error)), AS_ROOT)
    free = space.f_bavail * space.f_frsize
    text = Words(f"{free // _MIB:,} MB are free", f"剩餘 {free // _MIB:,} MB")
    remedy = Words(
        f"df -h {shlex.quote(str(data_root))}; move finished days to another disk, with their snapshots",
        f"df -h {shlex.quote(str(data_root))}；搬走已完結的日子及其快照",
    )
    if space.f_files and not space.f_favail:
        return failure(name, Words("no inode is left", "inode 已用盡"), f"df -i {shlex.quote(str(data_root))}")
    if free // _MIB < min_free_mb:
        limit = Words("{text}, DISK_MIN_FREE_MB is {limit_mb:,}", "{text}，DISK_MIN_FREE_MB 為 {limit_mb:,}")
        text = limit.filled(text=text, limit_mb=min_free_mb)
        if free // _MIB < min_free_mb / 4:
            return failure(name, text, remedy)
        return warning(name, text, remedy, urgent=True)
    if not largest:
        untold = Words(
            "{text}; no earlier day shows how much space a day takes", "{text}；沒有較早的日子可估計每日用量"
        )
        return ok(name, untold.filled(text=text))
    enough = Words(
        "{text}; the largest of the last {count} days took {largest_mb:,} MB: enough for {left:,} such days",
        "{text}；最近 {count} 日中最大的一日用 {largest_mb:,} MB：足夠 {left:,} 日",
    )
    days_left = (free - min_free_mb * _MIB) // largest
    words = enough.filled(text=text, count=len(days), largest_mb=max(1, largest // _MIB), left=days_left)
    if days_left < _RECENT_DAYS:
        return failure(name, words, remedy) if days_left < 1 else warning(name, words, remedy, urgent=True)
    return ok(name, words)


def check_day(data_root: Path, today: str) -> Check:
    """Whether the file of the current day, if there is one, can be opened and has our schema."""
    name = "day file"
    path = path_of(data_root, today)
    try:
        with DayReader(path) as reader:
            rows, version, is_sealed = reader.totals().rows, reader.schema_version(), reader.is_sealed()
    except NoDayError:
        text = Words(
            f"there is no file of {today} yet: the service creates it on a trading day",
            f"仍沒有 {today} 的日檔：服務在交易日建立",
        )
        return ok(name, text)
    except PredecessorFileError as error:
        text = Words(
            "{error}: the service renames it and imports it automatically", "{error}：服務會自行改名保留並匯入"
        ).filled(error=cause_of(error))
        return warning(name, text, error.hint)
    except CollectorError as error:
        if "stays locked" in str(error) or "cannot" in str(error):
            return not_checked(name, cause_of(error), hint_of(error))
        return failure(name, cause_of(error), hint_of(error) or _SEE_WAL)
    if version > schema.VERSION:
        text = Words(
            f"{path} has schema {version}, this version writes up to {schema.VERSION}",
            f"{path} 的 schema 為 {version}，本版本最多寫到 {schema.VERSION}",
        )
        command = move_command(path)
        remedy = Words(
            f"install the version that wrote it, or move the file away: {command}",
            f"安裝寫入它的版本，或移走該檔：{command}",
        )
        return failure(name, text, remedy)
    if is_sealed:
        text = Words(
            f"{path} says that its day is sealed (sealed_ms in meta): ticks of today would not be stored",
            f"{path} 標示為已封存（meta 表的 sealed_ms）：今日的 tick 不會儲存",
        )
        return failure(name, text, unseal_command(path))
    if not path.stat().st_mode & stat.S_IWUSR:
        text = Words(f"{path} is read-only: ticks of today would be rejected", f"{path} 唯讀：今日的 tick 會被拒收")
        return failure(
            name, text, f"sudo chmod 0640 {shlex.quote(str(path))}; sudo systemctl restart hk-tick-collector"
        )
    return ok(name, Words(f"{path}, {rows:,} rows, schema {version}", f"{path}，{rows:,} 筆，schema {version}"))


def check_damaged(data_root: Path) -> Check:
    """Damaged files that were renamed and still need attention."""
    name = "damaged files"
    try:
        found = sorted(file.name for file in _listed(data_root) if _DAMAGED.fullmatch(file.name))
    except OSError as error:
        return _unlisted(name, data_root, error)
    if not found:
        return ok(name, Words("none", "沒有"))
    text = Words(
        f"damaged files that were renamed: {len(found)}, the newest {found[-1]}",
        f"有 {len(found)} 個改名保留的損壞檔案，最新的是 {found[-1]}",
    )
    remedy = Words(
        "see docs/sqlite-wal.md, then move them out of DATA_ROOT", "見 docs/sqlite-wal.md，再把它們搬離 DATA_ROOT"
    )
    return warning(name, text, remedy)


def check_predecessor(data_root: Path) -> Check:
    """Day files of the predecessor that are not imported yet."""
    name = "old day files"
    try:
        waiting = list_waiting(data_root) if data_root.is_dir() else []
        days = [day for day in list_days(data_root) if _is_predecessors(path_of(data_root, day))]
    except OSError as error:
        return _unlisted(name, data_root, error)
    except StoreError as error:
        return not_checked(name, cause_of(error), hint_of(error))
    if days:
        steps = import_steps(data_root, [path_of(data_root, day) for day in days])
        return warning(name, predecessor_days(days, data_root, steps).words, steps)
    if waiting:
        first = _first_of([path.name for path in waiting])
        text = Words(f"{first.en} was renamed and is not imported", f"{first.zh} 已改名保留，但未匯入")
        return warning(name, text, import_steps(data_root, waiting))
    return ok(name, Words("no day file of another collector", "沒有其他收集器的日檔"))


def _is_predecessors(path: Path) -> bool:
    try:
        with DayReader(path):
            return False
    except PredecessorFileError:
        return True
    except StoreError:
        return False


def check_spool(spool_dir: Path, *, running: bool) -> Check:
    """Rows on disk that are not in a day file yet."""
    name = "spool"
    try:
        sizes = [file.stat().st_size for file in segments_below(spool_dir)]
    except OSError as error:
        return _unlisted(name, spool_dir, error)
    if not sizes:
        return ok(name, Words("empty", "沒有資料"))
    size_mb = f"{sum(sizes) / _MIB:,.1f} MB"
    text = Words(f"{size_mb} of ticks wait in {spool_dir}", f"{spool_dir} 有 {size_mb} 的 tick 等候寫入")
    remedy = Words(
        "sudo systemctl start hk-tick-collector: they are stored at the start",
        "sudo systemctl start hk-tick-collector：啟動時會寫入",
    )
    if running:
        remedy = Words(
            "wait, they are stored when the day file can be written: hk-tick-collector status",
            "等待，日檔可寫時即寫入：hk-tick-collector status",
        )
    return warning(name, text, remedy)


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    """The entries of a directory, none if it does not exist. OSError if it may not be read."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _unlisted(name: str, directory: Path, error: OSError) -> Check:
    text = Words(f"{directory} cannot be listed ({error.strerror})", f"不能列出 {directory}（{error.strerror}）")
    return not_checked(name, text, AS_ROOT)


def _unseen(path: Path, why: str | None) -> Words:
    return Words(f"{path} cannot be examined ({why})", f"不能查看 {path}（{why}）")


def _may_not_write(account: Account, names: list[str]) -> Words:
    first = _first_of(names)
    return Words(f"{account.name} may not write {first.en}", f"{account.name} 不能寫入 {first.zh}")


def _first_of(names: list[str]) -> Words:
    count = len(names) - 1
    return Words(
        names[0] + (f" and {count} more" if count else ""), names[0] + (f" 等共 {count + 1} 個" if count else "")
    )


def _first_that_exists(path: Path) -> Path:
    """The path or its nearest existing parent. OSError if that may not be read."""
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
    """Mount point and type of the file system of a path, from the kernel's table."""
    device = path.stat().st_dev
    wanted, best = f"{os.major(device)}:{os.minor(device)}", ("/", "")
    for line in Path("/proc/self/mountinfo").read_text("utf-8", errors="replace").rstrip("\n").split("\n"):
        head, _, tail = line.partition(" - ")
        fields = [_ESCAPED.sub(lambda each: chr(int(each[1], 8)), field) for field in head.split(" ")]
        if fields[2] == wanted and path.resolve().is_relative_to(fields[4]) and len(fields[4]) >= len(best[0]):
            best = (fields[4], tail.split()[0])
    return best
