"""Findings for the service itself: restarts, settings, an unreadable live state; why the service does not report.

`not_reporting` decides which of them explains a service that does not report: it asks the host, not the live state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.store.rights import JOIN_GROUP

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import BY_STATUS, NO_SERVICE, FindingSpec, Rule, Says
from .words import Words, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.live.status import LiveStatus

    from .finding import Finding
    from .spec import Seen

_RESTARTS: Final = 2  # unplanned restarts within an hour
_RESTARTS_CRITICAL: Final = 5
_HOUR_MS: Final = 3_600_000


def unplanned_restarts(status: LiveStatus, now_ms: int) -> list[int]:
    """The times of unplanned restarts within the last hour (UTC epoch ms)."""
    return [at_ms for at_ms in status.unplanned_ms if abs(now_ms - at_ms) < _HOUR_MS]


def _restarts(seen: Seen) -> Iterator[Finding]:
    """The service runs now, but has ended by itself repeatedly."""
    starts = unplanned_restarts(seen.status, seen.status.written_ms)
    if len(starts) >= _RESTARTS:
        yield RESTARTS.found(
            Severity.CRITICAL if len(starts) >= _RESTARTS_CRITICAL else Severity.WARNING,
            since_ms=starts[0],
            times=times(len(starts)),
            last=market.clock_text(starts[-1]),
        )


RESTARTS: Final = FindingSpec(
    code="restarts",
    when=_restarts,
    text=Words(
        "the collector ended by itself {times} in the last hour and was started again, most recently at {last}",
        "收集器在最近一小時內自行終止 {times} 再被啟動，最近一次在 {last}",
    ),
    remedy=Remedy(remedies.ENDS),
    meaning=Words(
        "the service runs, but ended by itself twice or more within an hour and was started again; a stop by a person"
        " or an upgrade does not count, and resets the count",
        "服務在運行，但一小時內曾兩次或以上自行終止再被重啟；由人或升級停止的不計，並重新計數",
    ),
    do=Words(remedies.ENDS, f"`{remedies.ENDS}`"),
    alert=Rule(
        hold_s=0, critical_s=0
    ),  # section 6 of the runbook; sent at once, because the service may end again soon
)
SETTINGS: Final = FindingSpec(
    code="settings",
    text=Words(
        "the collector runs, but could not start again with these settings: {error}",
        "收集器在運行，但以這些設定不能再次啟動：{error}",
    ),
    remedy=Remedy("sudo vim {file}"),
    meaning=Words(
        "the service runs, but the settings on disk are wrong: it could not start again",
        "服務在運行，但磁碟上的設定有誤：不能再次啟動",
    ),
    do=Words(remedies.EDIT_SETTINGS, f"`sudo vim {remedies.INSTALLED_SETTINGS}`；`{remedies.RESTART}`"),
    alert=BY_STATUS,
)
SETTINGS_UNREADABLE: Final = FindingSpec(
    code="settings_unreadable",
    text=Words("{error}", "{error}"),
    remedy=Remedy(JOIN_GROUP),
    meaning=Words("this user may not read the settings", "目前使用者無權讀取設定"),
    do=Words(
        "sudo usermod -aG hkcollector $USER, then log in again",
        "`sudo usermod -aG hkcollector $USER`，再重新登入",
    ),
    alert=BY_STATUS,
)
LIVE_STATE: Final = FindingSpec(
    code="live_state",
    text=Words("{error}", "{error}"),
    remedy=Remedy(remedies.DOCTOR),
    meaning=Words("status.json cannot be read or is of another version", "status.json 不能讀取，或屬另一版本"),
    do=Words(
        "sudo usermod -aG hkcollector $USER, then log in again; after an upgrade restart the service",
        "`sudo usermod -aG hkcollector $USER` 再重新登入；升級後重啟服務",
    ),
    alert=BY_STATUS,
    causes=("day_file",),
)
_DIED_AND_START: Final = Remedy(f"{remedies.LAST_LINES}; {remedies.START}")
_LOOK: Final = Remedy(remedies.LAST_LINES)
_START: Final = Words(remedies.START, f"`{remedies.START}`")
_FOLLOWS: Final = ("day_file",)
SERVICE_DOWN: Final = FindingSpec(
    code="service_down",
    text=Words(
        "no collector is running for DATA_ROOT{root} (no status.json)",
        "DATA_ROOT{root} 沒有收集器在運行（沒有 status.json）",
    ),
    remedy=Remedy(remedies.START),
    variants={
        "elsewhere": Says(
            Words(
                "systemd says {state}, but nothing reports for this DATA_ROOT: it has just started, or uses another",
                "systemd 顯示 {state}，但此 DATA_ROOT 沒有回報：服務剛啟動，或使用另一個 DATA_ROOT",
            ),
            Remedy("hk-tick-collector config | grep DATA_ROOT"),
        )
    },
    meaning=Words(
        "no collector is running for this DATA_ROOT: there is no status.json",
        "此 DATA_ROOT 沒有收集器在運行：沒有 status.json",
    ),
    do=_START,
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
SERVICE_STOPPED: Final = FindingSpec(
    code="service_stopped",
    text=Words("the collector was stopped {ago} ago", "收集器在 {ago}前被停止"),
    remedy=Remedy(remedies.START),
    variants={
        "inactive": Says(
            Words(
                "the collector was stopped: systemd says inactive, and no failure",
                "收集器已被停止：systemd 顯示 inactive，沒有失敗",
            ),
            Remedy(remedies.START),
        )
    },
    meaning=Words("the service was stopped", "服務已被停止"),
    do=_START,
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
SERVICE_HUNG: Final = FindingSpec(
    code="service_hung",
    text=Words(
        "the collector (pid {pid}) has not reported for {age_s:.0f} s: it died or is stuck",
        "收集器（pid {pid}）已有 {age_s:.0f} 秒沒有回報：已終止或卡住",
    ),
    remedy=Remedy(remedies.HUNG),
    variants={
        "frozen": Says(
            Words(
                "the collector (pid {pid}) is frozen by a signal (SIGSTOP) and has not reported for {age_s:.0f} s",
                "收集器（pid {pid}）被信號 SIGSTOP 暫停，已有 {age_s:.0f} 秒沒有回報",
            ),
            Remedy("sudo kill -CONT {pid}"),
        ),
        "future": Says(
            Words(
                "the live state is {age_s:.0f} s in the future: the clock was set back and the collector (pid {pid})"
                " does not report",
                "即時狀態的時間在 {age_s:.0f} 秒之後：時鐘被調慢，而收集器（pid {pid}）沒有回報",
            ),
            Remedy(f"timedatectl status; {remedies.RESTART}"),
        ),
        "disk_frozen": Says(
            Words(
                "the disk of {root} is frozen (fsfreeze, used by backups of virtual machines): the collector (pid"
                " {pid})"
                " waits for it and has not reported for {age_s:.0f} s",
                "{root} 所在磁碟被凍結（fsfreeze，虛擬機備份會這樣做）：收集器（pid {pid}）正在等候，"
                "已有 {age_s:.0f} 秒沒有回報",
            ),
        ),
        "in_kernel": Says(
            Words(
                "the collector (pid {pid}) is blocked in the kernel, as on a disk that does not answer, and has not"
                " reported"
                " for {age_s:.0f} s",
                "收集器（pid {pid}）停在核心內，可能是磁碟沒有回應，已有 {age_s:.0f} 秒沒有回報",
            ),
            Remedy(remedies.DISK_MESSAGES),
        ),
        "lives": Says(
            Words(
                "the collector (pid {pid}) is running but has not reported for {age_s:.0f} s: it is stuck",
                "收集器（pid {pid}）仍在運行，但已有 {age_s:.0f} 秒沒有回報：已卡住",
            ),
            Remedy(remedies.HUNG),
        ),
    },
    meaning=Words(
        "the live state is old: the service is stuck, is frozen, or died", "即時狀態過舊：服務卡住、被暫停或已終止"
    ),
    do=Words(f"{remedies.RESTART}; {remedies.SERVICE_STATUS}", f"`{remedies.RESTART}`；`{remedies.SERVICE_STATUS}`"),
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
SERVICE_SETTINGS: Final = FindingSpec(
    code="service_settings",
    text=Words(
        "the collector {ended} and cannot start with these settings: {why}", "收集器{ended}，以這些設定不能啟動：{why}"
    ),
    remedy=Remedy(f"sudo vim {{file}}; {remedies.RESTART}"),
    variants={
        "right_now": Says(
            Words(
                "the collector refused its settings (exit code 2); the settings are right now",
                "收集器曾因設定有誤而拒絕啟動（結束碼 2），設定現已正確",
            ),
            Remedy(remedies.RESTART),
        )
    },
    meaning=Words(
        "the service does not run: it refused its settings (exit code 2); the text gives name, value and what is"
        " allowed",
        "服務沒有運行：設定有誤而拒絕啟動（結束碼 2）；訊息列出名稱、值與可用範圍",
    ),
    do=Words(remedies.EDIT_SETTINGS, f"`sudo vim {remedies.INSTALLED_SETTINGS}`；`{remedies.RESTART}`"),
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
SERVICE_BLOCKED: Final = FindingSpec(
    code="service_blocked",
    text=Words("the collector {ended} and cannot start: {why}", "收集器{ended}，且不能啟動：{why}"),
    remedy=Remedy(remedies.START),
    meaning=Words(
        "the service does not run and cannot start, because of a file of another account or a lock of another process;"
        " the text names file and owner, or the process",
        "服務沒有運行亦不能啟動：被另一帳戶的檔案或另一程序的鎖擋住；訊息指明檔案與擁有者，或佔用的程序",
    ),
    do=Words(
        f"paste the command of the text (chown, or kill), then {remedies.START}",
        f"貼上訊息中的命令（`chown` 或 `kill`），再 `{remedies.START}`",
    ),
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
NOT_TAKEN_OVER: Final = FindingSpec(
    code="not_taken_over",
    text=Words("{runs}; the restart takes over", "{runs}；重啟服務即由本版本接管"),
    remedy=Remedy(remedies.RESTART),
    variants={
        "settings": Says(
            Words(
                "{runs}; this version would not start with these settings: {why}",
                "{runs}；以這些設定，本版本不能啟動：{why}",
            ),
            Remedy("sudo vim {file}"),
        )
    },
    meaning=Words(
        "installed beside another program, which runs under the service's name until the restart; the restart changes"
        " the"
        " owner of the data and starts this version",
        "已在原有程式旁安裝，重啟之前服務名下運行的仍是它；重啟會設好資料的擁有者並啟動本版本",
    ),
    do=Words(
        f"{remedies.RESTART}; see docs/operations.md",
        f"`{remedies.RESTART}`；見 docs/operations.md",
    ),
    alert=NO_SERVICE,
)
SERVICE_DIED: Final = FindingSpec(
    code="service_died",
    text=Words(
        "the collector (pid {pid}) died {ago} ago and left no reason", "收集器（pid {pid}）在 {ago}前終止，沒有留下原因"
    ),
    remedy=_DIED_AND_START,
    variants={
        "refused": Says(
            Words("the collector cannot start: {why}", "收集器不能啟動：{why}"),
            Remedy(f"{remedies.DOCTOR}; {remedies.RESTART}"),
        ),
        "restarted": Says(
            Words(
                "the collector died, and systemd is starting it again: {ended}",
                "收集器已終止，systemd 正重新啟動：{ended}",
            ),
            _LOOK,
        ),
        "dies": Says(
            Words(
                "the collector dies at every start, {restarts:,} restarts so far: {ended}",
                "收集器每次啟動即終止，至今重啟 {restarts:,} 次：{ended}",
            ),
            _LOOK,
        ),
        "ended": Says(
            Words(
                "the collector ended by itself, and systemd starts it again",
                "收集器自行終止，systemd 會重新啟動",
            ),
            _LOOK,
        ),
        "starts": Says(
            Words(
                "the collector starts again, after {restarts} restarts, and has not reported yet",
                "收集器已重啟 {restarts} 次，正再次啟動，仍未回報",
            ),
            _LOOK,
        ),
        "failed": Says(
            Words("the collector died and is not started again: {ended}", "收集器已終止，不會再被啟動：{ended}"),
            _DIED_AND_START,
        ),
    },
    meaning=Words(
        "the service died, was killed, or dies at every start; the text says how",
        "服務已終止、被強制終止，或每次啟動即終止；訊息說明情形",
    ),
    do=Words(f"{remedies.LAST_LINES}; {remedies.START}", f"`{remedies.LAST_LINES}`；`{remedies.START}`"),
    alert=NO_SERVICE,
    causes=_FOLLOWS,
)
JOB_FAILED: Final = FindingSpec(
    code="job_failed",
    text=Words("{job} has failed", "{job}失敗"),
    remedy=Remedy("sudo journalctl -u {unit} -n 50 --no-pager; sudo systemctl start {unit}"),
    meaning=Words(
        "the archive, the snapshot or the report that a timer starts each day has failed, or publish or merge does not"
        " start; collection is not affected",
        "計時器每日啟動的封存、快照或報告失敗，或 `publish`、`merge` 不能啟動；收集不受影響",
    ),
    do=Words(
        "read the last lines of its log, mend the cause, and start it again: the message has the command",
        "看該工作的最後日誌，除去原因後再啟動；訊息附有命令",
    ),
    alert=NO_SERVICE,
)
