"""Findings for the host's resources: rows that wait for the disk, the WAL, disk space, file descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .backlog import queued_rows
from .finding import Severity
from .remedies import Remedy
from .spec import BY_STATUS, PATIENT, SMALL, FindingSpec, NotAlerted, Says
from .words import Words
from .writer import WAITING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen

_DESCRIPTORS_WARN_SHARE: Final = 0.8
# At its first checkpoint a WAL is reused from the start. If it is many times longer, a reader prevents that. Smaller
# WALs are not reported: one transaction with a large backlog can be that long.
_WAL_LARGE_TIMES: Final = 16
_WAL_LARGE_BYTES: Final = 64 * 2**20


def descriptors_short(status: LiveStatus) -> bool:
    """Whether file descriptors are so short that it must be reported before none is left."""
    count, limit = status.descriptors, status.descriptors_limit
    return count is not None and limit is not None and count >= limit * _DESCRIPTORS_WARN_SHARE


def _queue(seen: Seen) -> Iterator[Finding]:
    queued = queued_rows(seen.status)
    if queued > seen.limits.queue_warn_rows and not seen.status.copy_held:
        yield QUEUE.found(Severity.WARNING, rows=queued, most=seen.status.max_queue_rows)


QUEUE: Final = FindingSpec(
    code="queue",
    when=_queue,
    text=Words("{rows} of {most} rows wait for the disk", "佇列 {rows} 筆等候寫入磁碟，上限 {most} 筆"),
    remedy=Remedy(remedies.JOURNAL),
    meaning=Words("many rows wait for the disk", "大量資料等候寫入磁碟"),
    do=Words(remedies.LOGS, f"`{remedies.LOGS}`"),
    alert=SMALL,
    causes=("dropped", "gaps_lost", "gaps_healing", "lag"),
)


def _wal(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if status.wal_bytes > max(_WAL_LARGE_BYTES, _WAL_LARGE_TIMES * status.wal_autocheckpoint_bytes):
        yield WAL_LARGE.found(
            Severity.WARNING, wal_mb=status.wal_bytes // 2**20, root=status.data_root, day=status.newest_day
        )


WAL_LARGE: Final = FindingSpec(
    code="wal_large",
    when=_wal,
    text=Words("the WAL has {wal_mb} MB: a reader holds it", "WAL 有 {wal_mb} MB：被讀取者佔用"),
    remedy=Remedy("lsof {root}/{day}.db-wal"),
    meaning=Words("the WAL grows: a reader holds it", "WAL 過大：被讀取者佔用"),
    do=Words("lsof the -wal file, and stop the reader", "`lsof` 該 -wal 檔，停止該讀取者"),
    alert=SMALL,
)


def _space(seen: Seen) -> Iterator[Finding]:
    free_mb, limit_mb = seen.status.disk_free_mb, seen.limits.disk_min_free_mb
    if free_mb is not None and free_mb < limit_mb:
        severity = Severity.CRITICAL if free_mb < limit_mb / 4 else Severity.WARNING
        yield DISK.found(severity, free_mb=free_mb, limit_mb=limit_mb, root=seen.status.data_root)


DISK: Final = FindingSpec(
    code="disk",
    when=_space,
    text=Words(
        "{free_mb:,} MB are free on the disk of {root}, less than DISK_MIN_FREE_MB ({limit_mb:,} MB)",
        "{root} 所在磁碟剩餘 {free_mb:,} MB，少於 DISK_MIN_FREE_MB（{limit_mb:,} MB）",
    ),
    remedy=Remedy(
        "df -h {root}; hk-tick-collector report",
        "report names the days that may be moved to another disk",
        "report 列出可搬到另一磁碟的日子",
    ),
    variants={  # by `report`, which knows the days
        "days": Says(
            Words(
                "{free_mb:,} MB are free, less than DISK_MIN_FREE_MB ({limit_mb:,} MB); move old days to another disk"
                " (the line `may move` names them), or enlarge the disk",
                "剩餘 {free_mb:,} MB，少於 DISK_MIN_FREE_MB（{limit_mb:,} MB）；把較早的日檔搬到另一磁碟"
                "（`may move` 一行列出），或擴充磁碟",
            ),
            Remedy("df -h"),
        )
    },
    meaning=Words("DATA_ROOT has little free space", "DATA_ROOT 剩餘空間不足"),
    do=Words("df -h; move old days to another disk, then their snapshots", "`df -h`；搬走較早的日檔，再搬其快照"),
    alert=PATIENT,
)


def _descriptors(seen: Seen) -> Iterator[Finding]:
    status = seen.status
    if descriptors_short(status):
        count, limit = status.descriptors or 0, status.descriptors_limit or 0
        severity = Severity.CRITICAL if count >= limit else Severity.WARNING
        yield DESCRIPTORS.found(severity, count=count, limit=limit, pid=status.pid)


DESCRIPTORS: Final = FindingSpec(
    code="descriptors",
    when=_descriptors,
    text=Words(
        "{count:,} of {limit:,} file descriptors are open: when none is left, no connection and no file can be opened",
        "已用 {limit:,} 個檔案描述符中的 {count:,} 個：用盡後不能連線，亦不能開啟檔案",
    ),
    remedy=Remedy(f"sudo ls -l /proc/{{pid}}/fd; {remedies.RESTART}"),
    meaning=Words(
        "file descriptors run out: when none is left, no connection and no file can be opened",
        "檔案描述符將用盡：用盡後不能連線，亦不能開啟檔案",
    ),
    do=Words(remedies.RESTART, f"`{remedies.RESTART}`"),
    alert=PATIENT,
    causes=(
        *("opend_away", "writer_no_descriptors", "writer_cannot_open", "day_file", *WAITING),
        *("no_tick_at_open", "no_ticks", "no_ticks_stored", "lag", "pushes_stopped", "gaps_lost", "gaps_healing"),
    ),
)
FROZEN_DISK: Final = Words(
    "the disk of {place} is frozen (fsfreeze): backups of this machine do that for a few seconds; if no backup is"
    " running, unfreeze it",
    "{place} 所在磁碟被凍結（fsfreeze）：本機備份時會凍結數秒；若沒有備份在進行，請解凍",
)
SILENT_DISK: Final = Words("the disk of {place} does not answer", "{place} 所在磁碟沒有回應")
DISK_HANGS: Final = FindingSpec(
    code="disk_hangs",
    text=SILENT_DISK,
    remedy=Remedy(remedies.DISK_MESSAGES),
    variants={"frozen": Says(FROZEN_DISK)},
    meaning=Words(
        "the disk of DATA_ROOT does not answer: it is frozen (fsfreeze, used by backups of virtual machines) or"
        " failing",
        "DATA_ROOT 所在磁碟沒有回應：檔案系統被凍結（`fsfreeze`，虛擬機備份會這樣做），或磁碟故障",
    ),
    do=Words(
        "wait for the backup to end; if none is running, the finding gives the command that unfreezes; sudo dmesg |"
        " tail",
        "等待備份完成；若沒有備份在進行，以 finding 所列命令解凍；`sudo dmesg | tail`",
    ),
    alert=NotAlerted("found by a process that reads; the service reports it as writer_slow_disk"),
    causes=("service_hung", "writer_stuck", "writer_slow_disk", "live_state", "day_file", *WAITING),
)
DAY_FILE: Final = FindingSpec(
    code="day_file",
    text=Words("{error}", "{error}"),
    remedy=Remedy(remedies.DOCTOR),
    meaning=Words("the day file cannot be read", "日檔不能讀取"),
    do=Words("do what the text says: hk-tick-collector doctor", "按說明處理：`hk-tick-collector doctor`"),
    alert=BY_STATUS,
)
