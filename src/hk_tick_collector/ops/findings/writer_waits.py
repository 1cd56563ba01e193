"""Findings for a writer thread that waits in the kernel for the disk, or makes no progress, without a named cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import PATIENT, FindingSpec, Says
from .words import Words
from .writer import CONSEQUENCES, FOR_A_WHILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen

_STUCK_MS: Final = 30_000
_SLOW_DISK_S: Final = 2.0  # one wait of the writer in the kernel
_SLOW_DISK_CRITICAL_S: Final = 30.0
_SLOW_DISK_WAITS: Final = 3  # shorter waits, of half a second or more, within a minute


def _waits(seen: Seen) -> Iterator[Finding]:
    """The one unnamed thing that the writer waits for."""
    status, alive_ms = seen.status, seen.status.writer_alive_ms
    if status.writer_trouble:
        return
    if status.disk_wait_s >= _SLOW_DISK_S:
        severity = Severity.CRITICAL if status.disk_wait_s >= _SLOW_DISK_CRITICAL_S else Severity.WARNING
        thaw = Remedy(remedies.for_frozen_disk(status.data_root)) if status.disk_frozen else None
        variant = "frozen" if status.disk_frozen else ""
        yield WRITER_SLOW_DISK.found(severity, variant, remedy=thaw, wait_s=status.disk_wait_s, root=status.data_root)
    elif alive_ms is not None and seen.now_ms - alive_ms > _STUCK_MS:
        yield WRITER_STUCK.found(Severity.CRITICAL, stuck_s=(seen.now_ms - alive_ms) / 1000)
    elif status.disk_wait_max_s >= _SLOW_DISK_S or status.disk_waits >= _SLOW_DISK_WAITS:
        # Just after a file system is unfrozen, its disk is slow for a moment.
        thawed = status.disk_waits_frozen and status.disk_waits - status.disk_waits_frozen < _SLOW_DISK_WAITS
        variant = "thawed" if thawed else "lately"
        yield WRITER_SLOW_DISK.found(Severity.WARNING, variant, wait_s=status.disk_wait_max_s, root=status.data_root)


WRITER_SLOW_DISK: Final = FindingSpec(
    code="writer_slow_disk",
    when=_waits,
    text=Words(
        "the writer has been waiting for the disk for {wait_s:.0f} s; rows wait in memory",
        "寫入執行緒等待磁碟已 {wait_s:.0f} 秒；資料留在記憶體",
    ),
    remedy=Remedy(remedies.SLOW_DISK),
    variants={
        "frozen": Says(
            Words(
                "the disk of {root} is frozen (fsfreeze, used by backups of virtual machines): the writer has been"
                " waiting"
                " for the disk for {wait_s:.0f} s; rows wait in memory",
                "{root} 所在磁碟被凍結（fsfreeze，虛擬機備份會這樣做）：寫入執行緒等待磁碟已 {wait_s:.0f} 秒；"
                "資料留在記憶體",
            )
        ),
        "lately": Says(
            Words(
                "the writer had to wait for the disk for {wait_s:.1f} s or more within the last minute",
                "最近一分鐘內，寫入執行緒曾等待磁碟 {wait_s:.1f} 秒或以上",
            ),
            Remedy(remedies.SLOW_DISK),
        ),
        "thawed": Says(
            Words(
                "the disk of {root} was frozen (fsfreeze, used by backups of virtual machines) within the last minute,"
                " the writer waited {wait_s:.1f} s; it writes again, no action is needed: this ends by itself",
                "{root} 所在磁碟在最近一分鐘內曾被凍結（fsfreeze，虛擬機備份會這樣做），寫入執行緒等待了 {wait_s:.1f}"
                " 秒；現已恢復寫入，毋須處理：會自行消失",
            ),
            Remedy(""),
        ),
    },
    meaning=Words(
        "the writer waits in the kernel for the disk; rows wait in memory; the text says if the disk is frozen",
        "寫入執行緒在核心等待磁碟；資料留在記憶體；磁碟若被凍結，訊息會說明",
    ),
    do=Words(
        "cat /proc/pressure/io; sudo dmesg | tail; unfreeze a frozen disk with the command in the finding",
        "`cat /proc/pressure/io`；`sudo dmesg | tail`；被凍結的磁碟以 finding 所列命令解凍",
    ),
    alert=PATIENT,
    causes=CONSEQUENCES,
)
WRITER_STUCK: Final = FindingSpec(
    code="writer_stuck",
    when=_waits,
    text=Words("the writer has not moved for {stuck_s:.0f} s", "寫入執行緒已有 {stuck_s:.0f} 秒沒有動靜"),
    remedy=Remedy(remedies.RESTART),
    meaning=Words("the writer has not moved for 30 s, and the cause is unknown", "寫入執行緒 30 秒沒有動靜，原因不明"),
    do=Words(remedies.RESTART, f"`{remedies.RESTART}`"),
    alert=FOR_A_WHILE,
    causes=CONSEQUENCES,
)
