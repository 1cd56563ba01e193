"""Findings `writer_CAUSE`: the writer thread waits for a named cause. Waits without a name are in writer_waits.py.

The causes are the names of `store.faults`. The variant `unwritten` is for a collector that runs but cannot write its
live state, because that is on the same disk.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector.store.foreign import move_command

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, FindingSpec, Rule, Says
from .words import NO_WORDS, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen

PREFIX: Final = "writer_"
_BUSY_WARN_S: Final = 60
# The findings caused by rows that wait.
WAITING: Final = (
    *("persistent_stall", "spooling", "queue", "dropped", "lag", "no_ticks_stored", "gaps_lost", "gaps_healing"),
)
CONSEQUENCES: Final = ("day_file", "wal_large", *WAITING)
FOR_A_WHILE: Final = Rule(hold_s=10)


def _waits(seen: Seen) -> Iterator[Finding]:
    """The cause that the writer waits for, with the holder of a lock."""
    status = seen.status
    if not status.writer_trouble:
        return
    trouble, since_ms = status.writer_trouble, status.writer_trouble_since_ms
    since_s = (seen.now_ms - (since_ms or seen.now_ms)) / 1000
    holder = status.writer_holder
    yield (_BY_CAUSE.get(trouble) or WRITER_OTHER).found(
        Severity.WARNING if trouble == "busy" and since_s < _BUSY_WARN_S else Severity.CRITICAL,
        code=PREFIX + trouble,
        remedy=remedy_of(
            trouble,
            status.data_root,
            status.writer_day or status.newest_day,
            status.account,
            status.writer_holder_pid,
        ),
        since_ms=since_ms,
        since_s=since_s,
        cause=trouble,
        detail=status.writer_detail,
        held=Words(f", locked by {holder}", f"，被 {holder} 鎖住") if holder else NO_WORDS,
    )


def remedy_of(cause: str, data_root: str, day: str, account: str = "", holder_pid: int | None = None) -> Remedy:
    """The remedy for a cause; `day` is that of the file that the writer writes.

    `account` is the service's `user:group`, `holder_pid` the holder of a lock; both may be unknown.
    """
    if cause == "busy" and holder_pid and holder_pid > 0:
        return Remedy(
            remedies.end_process(holder_pid), "end that process; writing resumes by itself", "停止該程序，其後自行恢復"
        )
    if cause == "foreign_file":
        return Remedy(move_command(Path(data_root, f"{day}.db")), *remedies.MOVED_AWAY)
    remedy = (_BY_CAUSE.get(cause) or WRITER_OTHER).remedy
    root = shlex.quote(data_root)
    db = f"{root}/{day or '*'}.db"
    command = remedy.command.format(root=root, db=db, account=account or remedies.ACCOUNT)
    return remedy._replace(command=command)


def unwritten(cause: str, data_root: str, day: str, pid: int, age_s: float) -> Finding:
    """A collector that runs but cannot report: its live state is on the disk that is full or read-only."""
    spec = WRITER_DISK_FULL if cause == "disk_full" else WRITER_READ_ONLY
    remedy = remedy_of(cause, data_root, day)
    return spec.found(Severity.CRITICAL, "unwritten", remedy=remedy, root=data_root, pid=pid, age_s=age_s)


def _cause(
    name: str,
    short_zh: str,
    meaning: Words,
    do: Words,
    remedy: Remedy,
    *,
    alert: Rule = FOR_A_WHILE,
    causes: tuple[str, ...] = (),
    variants: dict[str, Says] | None = None,
) -> FindingSpec:
    """A named cause; `short_zh` is its name in the text of the finding. Commands may use {root}, {db} and {account}."""
    return FindingSpec(
        code=PREFIX + name,
        when=_waits,
        text=Words(
            f"the writer waits for {{since_s:.0f}} s: {name or '{cause}'} ({{detail}}){{held}}",
            f"寫入執行緒已等待 {{since_s:.0f}} 秒：{short_zh or '{cause}'}（{{detail}}）{{held}}",
        ),
        remedy=remedy,
        meaning=Words(f"the writer waits: {meaning.en}", f"寫入執行緒等待中：{meaning.zh}"),
        do=Words(f"{do.en}; writing resumes by itself", f"{do.zh}；排除後自行恢復"),
        alert=alert,
        causes=(*causes, *CONSEQUENCES),
        variants=variants or {},
    )


def _resumes(command: str, en: str, zh: str) -> Remedy:
    return Remedy(command, f"{en}; writing resumes by itself", f"{zh}，其後自行恢復")


_DOCTOR: Final = "hk-tick-collector doctor"
WRITER_BUSY: Final = _cause(
    "busy",
    "日檔被鎖住",
    Words(
        "another process holds a lock on the day file; the text names pid, user and command if the kernel shows"
        " them; ticks are spooled",
        "另一程序鎖住日檔；訊息指明 pid、使用者與命令（如核心有提供）；tick 寫入 spool",
    ),
    Words(
        "end the process that is named (a reader can hold such a lock too); if none is named: sudo fuser -v the day"
        " file",
        "停止所指明的程序（只讀的程序也可以佔用鎖）；沒有指明時：`sudo fuser -v` 日檔",
    ),
    _resumes("sudo fuser -v {db} {db}-wal {db}-shm", "stop the other program that writes it", "停止寫入日檔的另一程式"),
    alert=PATIENT,
)
WRITER_DISK_FULL: Final = _cause(
    "disk_full",
    "磁碟已滿",
    Words("the disk is full", "磁碟已滿"),
    Words("free space: df -h", "騰出空間：`df -h`"),
    _resumes("df -h {root}; df -i {root}", "free some space", "騰出空間"),
    alert=Rule(hold_s=2, critical_s=0),
    causes=("disk",),
    variants={
        "unwritten": Says(
            Words(
                "the disk of {root} is full: the collector (pid {pid}) could not report for {age_s:.0f} s",
                "{root} 所在磁碟已滿：收集器（pid {pid}）已有 {age_s:.0f} 秒不能回報",
            )
        )
    },
)
WRITER_READ_ONLY: Final = _cause(
    "read_only",
    "檔案系統唯讀",
    Words("the file system is read-only", "檔案系統唯讀"),
    Words("sudo dmesg | tail; then mount -o remount,rw", "`sudo dmesg | tail`；再 `mount -o remount,rw`"),
    _resumes(
        "sudo dmesg | tail; sudo mount -o remount,rw $(findmnt -n -o TARGET -T {root})",
        "once mounted",
        "重新掛載為可寫",
    ),
    alert=Rule(hold_s=2, critical_s=0),
    variants={
        "unwritten": Says(
            Words(
                "the disk of {root} is read-only: the collector (pid {pid}) could not report for {age_s:.0f} s",
                "{root} 所在檔案系統唯讀：收集器（pid {pid}）已有 {age_s:.0f} 秒不能回報",
            )
        )
    },
)
WRITER_NO_PERMISSION: Final = _cause(
    "no_permission",
    "沒有寫入權限",
    Words("DATA_ROOT cannot be written: no permission", "DATA_ROOT 沒有寫入權限"),
    Words("sudo chown -R hkcollector:hkcollector DATA_ROOT", "`sudo chown -R hkcollector:hkcollector DATA_ROOT`"),
    Remedy("sudo chown -R {account} {root}", "writing resumes by itself", "其後自行恢復"),
    alert=Rule(hold_s=10, critical_s=0),
)
WRITER_NO_DIRECTORY: Final = _cause(
    "no_directory",
    "DATA_ROOT 不見了",
    Words("DATA_ROOT is gone", "DATA_ROOT 不見了"),
    Words("restore it: is its disk mounted?", "檢查磁碟是否已掛載，恢復該目錄"),
    _resumes("ls -ld {root}", "restore the directory (is its disk mounted?)", "恢復該目錄（檢查磁碟是否已掛載）"),
)
WRITER_NO_FILE: Final = _cause(
    "no_file",
    "日檔不見了",
    Words("the day file is gone", "日檔不見了"),
    Words("do not move the file", "不可移動該檔"),
    _resumes("ls -l {db}", "do not move the file", "不可移動該檔"),
)
WRITER_NO_DESCRIPTORS: Final = _cause(
    "no_descriptors",
    "檔案描述符已用盡",
    Words("no file descriptor is left", "檔案描述符已用盡"),
    Words(remedies.RESTART, f"`{remedies.RESTART}`"),
    Remedy(remedies.RESTART),
)
WRITER_FILE_SIZE_LIMIT: Final = _cause(
    "file_size_limit",
    "達到檔案大小上限",
    Words(
        "the limit for the size of a file is reached (RLIMIT_FSIZE): rows are spooled or kept in memory",
        "達到檔案大小上限（RLIMIT_FSIZE）：資料寫入 spool 或留在記憶體",
    ),
    Words(
        "set LimitFSIZE=infinity (in a shell: ulimit -f unlimited); sudo systemctl restart hk-tick-collector",
        "設 `LimitFSIZE=infinity`（shell 則 `ulimit -f unlimited`）；`sudo systemctl restart hk-tick-collector`",
    ),
    Remedy(
        f"sudo systemctl edit hk-tick-collector; {remedies.RESTART}",
        "set LimitFSIZE=infinity in [Service] (in a shell: ulimit -f unlimited)",
        "在 [Service] 設 LimitFSIZE=infinity；在 shell 則 ulimit -f unlimited",
    ),
)
WRITER_NO_MEMORY: Final = _cause(
    "no_memory",
    "記憶體不足",
    Words("memory ran out", "記憶體不足"),
    Words("free -m, and stop the program that uses it", "`free -m`，停止佔用者"),
    _resumes("free -m", "stop the program that uses the memory", "停止佔用記憶體的程序"),
)
WRITER_IO_ERROR: Final = _cause(
    "io_error",
    "磁碟讀寫錯誤",
    Words("the disk reports read or write errors", "磁碟讀寫錯誤"),
    Words("sudo dmesg | tail, and replace the disk", "`sudo dmesg | tail`，並更換磁碟"),
    Remedy("sudo dmesg | tail", "the disk may be failing; writing resumes by itself", "磁碟可能故障；排除後自行恢復"),
)
WRITER_CANNOT_OPEN: Final = _cause(
    "cannot_open",
    "日檔不能開啟",
    Words("the day file cannot be opened", "日檔不能開啟"),
    Words(f"ls -l the file; {_DOCTOR}", f"`ls -l` 該檔；`{_DOCTOR}`"),
    Remedy(f"ls -l {{db}}; sudo {_DOCTOR}"),
)
WRITER_FOREIGN_FILE: Final = _cause(
    "foreign_file",
    "其他程式的檔案佔用日檔名稱",
    Words("a file of another program has the name of the day file", "其他程式的檔案佔用日檔名稱"),
    Words("move it away with the command that status prints", "以 status 列出的命令移走該檔"),
    Remedy(remedies.JOURNAL),  # the command contains the file name: `remedy_of`
)
WRITER_PREDECESSOR_FILE: Final = _cause(
    "predecessor_file",
    "原有程式的檔案佔用日檔名稱",
    Words(
        "a file of the predecessor, another collector, has the name of the day file and cannot be renamed",
        "原有程式的檔案佔用日檔名稱，且不能改名保留",
    ),
    Words("sudo hk-tick-collector import FILE", "`sudo hk-tick-collector import FILE`"),
    Remedy(remedies.JOURNAL),
)
WRITER_DAMAGED: Final = _cause(
    "damaged",
    "日檔損壞",
    Words("the day file is damaged", "日檔損壞"),
    Words("see docs/sqlite-wal.md", "見 docs/sqlite-wal.md"),
    Remedy("ls -l {root}", "see docs/sqlite-wal.md", "見 docs/sqlite-wal.md"),
)
WRITER_SCHEMA_CHANGED: Final = _cause(
    "schema_changed",
    "日檔的資料表被更改",
    Words(
        "another program changed the tables of the day file so that it cannot be written; ticks wait, and are spooled",
        "另一程式更改了日檔的資料表，令其不能寫入；tick 等候，並寫入 spool",
    ),
    Words(
        "undo the change that status names, with sqlite3; storing then resumes by itself",
        "以 sqlite3 還原 status 所指的更改；其後自動恢復儲存",
    ),
    _resumes("sudo sqlite3 {db} .schema", "undo the change that is named", "還原所指明的更改"),
)
WRITER_SEALED_EARLY: Final = _cause(
    "sealed_early",
    "未完結的日子被標示為已封存",
    Words(
        "the table meta of the current day's file says sealed_ms: another program wrote it, or the clock of the host"
        " was a day ahead; ticks wait, and are spooled",
        "當日日檔的 meta 表有 sealed_ms：由另一程式寫入，或主機時鐘曾快一日；tick 等候，並寫入 spool",
    ),
    Words(
        "make the file writable and delete that row with sqlite3, as status says",
        "按 status 所示，令該檔可寫，並以 sqlite3 刪除該列",
    ),
    Remedy("sudo chmod 0640 {db}; sudo sqlite3 {db} \"DELETE FROM meta WHERE key = 'sealed_ms'\""),
)
WRITER_INTERRUPTED: Final = _cause(
    "interrupted",
    "被 watchdog 中斷",
    Words("the watchdog interrupted a statement", "watchdog 中斷了一項操作"),
    Words("see WATCHDOG in hk-tick-collector logs", "在 `hk-tick-collector logs` 看 WATCHDOG"),
    Remedy(remedies.JOURNAL),
)
WRITER_BUG: Final = _cause(
    "bug",
    "程式缺陷",
    Words("an unknown error, a bug", "不明的錯誤，屬程式缺陷"),
    Words("report it with the journal", "連同日誌回報"),
    Remedy(remedies.JOURNAL),
)
# For a cause that a later `store` may add: it is detected and alerted, but documents do not list it.
WRITER_OTHER: Final = _cause(
    "",
    "",
    Words("the writer waits", "寫入執行緒等待中"),
    Words("read the log", "查看日誌"),
    Remedy(remedies.JOURNAL),
)

_BY_CAUSE: Final = {
    spec.code.removeprefix(PREFIX): spec
    for spec in list(globals().values())
    if isinstance(spec, FindingSpec) and spec is not WRITER_OTHER
}
