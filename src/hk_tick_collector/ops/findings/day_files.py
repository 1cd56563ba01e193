"""Findings for day files: damaged, moved or deleted, being copied, or written by the predecessor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.store.foreign import import_command

from . import remedies
from .finding import Severity
from .remedies import Remedy
from .spec import SMALL, SOON, FindingSpec, Rule, Says
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .finding import Finding
    from .spec import Seen

_BACKFILLED: Final = ("gaps_lost", "gaps_healing", "lag")


def _damaged(seen: Seen) -> Iterator[Finding]:
    if seen.status.damaged_files:
        yield DAY_DAMAGED.found(Severity.WARNING, name=seen.status.damaged_files[-1])


DAY_DAMAGED: Final = FindingSpec(
    code="day_damaged",
    when=_damaged,
    text=Words(
        "a damaged day file was renamed to {name} and a new one created; keep it (docs/sqlite-wal.md)",
        "損壞的日檔已改名為 {name} 保留，並建立了新檔；請勿刪除（docs/sqlite-wal.md）",
    ),
    remedy=Remedy(remedies.GAPS),
    meaning=Words("a damaged day file was renamed and a new one created", "損壞的日檔已改名保留，新檔已建立"),
    do=Words(
        f"keep it, see docs/sqlite-wal.md; {remedies.GAPS}", f"保留該檔，見 docs/sqlite-wal.md；`{remedies.GAPS}`"
    ),
    alert=SOON,
    causes=_BACKFILLED,
)


def _gone(seen: Seen) -> Iterator[Finding]:
    if seen.status.gone_files:
        yield DAY_GONE.found(Severity.WARNING, name=seen.status.gone_files[-1])


DAY_GONE: Final = FindingSpec(
    code="day_gone",
    when=_gone,
    text=Words(
        "{name} was deleted, moved or replaced while it was written: a new one was created; if there is a copy,"
        " keep it",
        "{name} 在寫入期間被刪除、移走或換掉：已建立新檔；若有副本，請保留",
    ),
    remedy=Remedy(remedies.GAPS),
    meaning=Words(
        "the day file was deleted, moved or replaced while it was written", "日檔在寫入期間被刪除、移走或換掉"
    ),
    do=Words(
        f"take its ticks from a copy, if there is one; {remedies.GAPS}", f"若有副本，由副本取回 tick；`{remedies.GAPS}`"
    ),
    alert=SOON,
    causes=_BACKFILLED,
)


def _copying(seen: Seen) -> Iterator[Finding]:
    """`sqlite3` is copying a day that is being written: nothing is wrong, unless the copy does not end."""
    status = seen.status
    if status.copy_since_ms is None:
        return
    path, since = status.copy_path, market.clock_text(status.copy_since_ms)
    if status.copy_held:
        yield DAY_BEING_COPIED.found(Severity.OK, rows=status.waiting, path=path, since=since)
    else:
        yield COPY_TOO_SLOW.found(Severity.WARNING, path=path, since=since)


DAY_BEING_COPIED: Final = FindingSpec(
    code="day_being_copied",
    when=_copying,
    text=Words(
        "a copy of the day has been running since {since}, {path}: commits wait for it, {rows:,} ticks are kept in"
        " memory"
        " and spool, and are stored when it ends, after one minute at most",
        "由 {since} 起正在複製日檔 {path}：提交暫停等候，{rows:,} 筆 tick 留在記憶體與 spool，"
        "複製完成即寫入，最遲一分鐘後",
    ),
    remedy=Remedy(""),
    meaning=Words(
        "sqlite3 copies the day (.backup): commits wait for it, ticks are kept in memory and spool; nothing is wrong",
        "`sqlite3` 正以 `.backup` 複製日檔：提交暫停等候，tick 留在記憶體與 spool；屬正常",
    ),
    do=Words(
        "wait: the ticks are stored when the copy ends, after one minute at most", "等待：複製完成即寫入，最遲一分鐘後"
    ),
    alert=SMALL,
    causes=("lag",),
)
COPY_TOO_SLOW: Final = FindingSpec(
    code="copy_too_slow",
    when=_copying,
    text=Words(
        "commits no longer wait for the copy {path}, which began at {since}: each commit makes it start again",
        "提交不再等候由 {since} 起進行的複製 {path}：每次提交都令它從頭開始",
    ),
    remedy=Remedy(
        "sudo hk-tick-collector snapshot",
        "stop that copy and make a snapshot instead",
        "停止該複製，改用 snapshot",
    ),
    meaning=Words(
        "a copy of the day is not complete after a minute: commits continue, and each makes the copy start again",
        "複製日檔一分鐘後仍未完成：收集器恢復提交，每次提交都令複製從頭再來",
    ),
    do=Words("stop it, then: sudo hk-tick-collector snapshot", "停止它，改用 `sudo hk-tick-collector snapshot`"),
    alert=SMALL,
    causes=("spooling", "queue", "lag"),
)


def _importing(seen: Seen) -> Iterator[Finding]:
    """The predecessor's file whose rows are being imported now: nothing is wrong."""
    status = seen.status
    if not status.importing:
        return
    all_in = status.importing_checked or status.importing_done >= status.importing_rows
    yield DAY_BEING_IMPORTED.found(
        Severity.OK,
        "checked" if all_in else "",
        day=status.importing[:8],
        rows=status.importing_rows,
        done=status.importing_done,
        checked=status.importing_checked,
    )


DAY_BEING_IMPORTED: Final = FindingSpec(
    code="day_being_imported",
    when=_importing,
    text=Words(
        "{day} is being imported from the predecessor's file: {done:,} of {rows:,} rows so far; this ends by itself",
        "正從原有程式的日檔匯入 {day}：{rows:,} 筆中已匯入 {done:,} 筆；會自行完成",
    ),
    remedy=Remedy(""),
    variants={
        "checked": Says(
            Words(
                "{day} is being imported from the predecessor's file: all rows are imported, {checked:,} of {rows:,}"
                " are"
                " checked; this ends by itself",
                "正從原有程式的日檔匯入 {day}：已全部匯入，{rows:,} 筆中已核對 {checked:,} 筆；會自行完成",
            )
        )
    },
    meaning=Words(
        "the service imports the ticks of a file of the predecessor (another collector) into the day; nothing is wrong."
        " Until this ends, those ticks are not reported as lost",
        "服務正把原有程式的日檔匯入當日的日檔；屬正常。完成之前不會把其 tick 當作遺失",
    ),
    do=Words("nothing: this ends by itself", "毋須處理：會自行完成"),
    alert=SMALL,
)


def _set_aside(seen: Seen) -> Iterator[Finding]:
    """Day files of the predecessor that were renamed and are not imported yet."""
    for name, why in sorted(seen.status.predecessor_files.items(), reverse=True):
        if why:
            path = Path(seen.status.data_root, name)
            command = Remedy(seen.status.predecessor_remedies.get(name) or import_command(path))
            told = Words(why, why.replace("it is open in", "仍由以下程序開啟："))
            yield PREDECESSOR_FILE.found(Severity.WARNING, "waits", remedy=command, path=path, why=told)


PREDECESSOR_FILE: Final = FindingSpec(
    code="predecessor_file",
    when=_set_aside,
    text=Words(
        "the predecessor's {name} was renamed and is not imported{others}",
        "原有程式的 {name} 已改名保留，但未匯入{others}",
    ),
    remedy=Remedy("sudo hk-tick-collector import"),
    variants={
        "waits": Says(
            Words(
                "the predecessor's {path} was renamed and is not imported: {why}",
                "原有程式的 {path} 已改名保留，但未匯入：{why}",
            )
        )
    },
    meaning=Words(
        "a day file of the predecessor, another collector, was renamed and its ticks are not in our file yet",
        "原有程式的日檔已改名保留，其 tick 尚未匯入",
    ),
    do=Words(
        "do what the text says; the collector tries again every minute, or: sudo hk-tick-collector import FILE",
        "按訊息說明處理；收集器每分鐘重試，亦可執行 `sudo hk-tick-collector import FILE`",
    ),
    alert=Rule(hold_s=600),  # its ticks are missing from our file, and a person must act
)


def _not_ours(seen: Seen) -> Iterator[Finding]:
    if seen.status.predecessor_days:
        yield predecessor_days(seen.status.predecessor_days, Path(seen.status.data_root))


def predecessor_days(days: Sequence[str], data_root: Path, steps: str = "") -> Finding:
    """The finding about day files of the predecessor; there is at least one. `steps` are the commands, if known."""
    remedy = Remedy(steps or import_command(data_root))
    if len(days) == 1:
        return PREDECESSOR_DAYS.found(Severity.WARNING, "one", remedy=remedy, day=days[0])
    return PREDECESSOR_DAYS.found(Severity.WARNING, remedy=remedy, count=len(days), first=days[0], last=days[-1])


PREDECESSOR_DAYS: Final = FindingSpec(
    code="predecessor_days",
    when=_not_ours,
    text=Words(
        "{count} day files, {first} to {last}, belong to the predecessor: no command reads them before they are"
        " imported",
        "{first} 至 {last} 的 {count} 個日檔屬原有程式：匯入之前任何命令都不會讀取",
    ),
    remedy=Remedy("sudo hk-tick-collector import"),
    variants={
        "one": Says(
            Words(
                "the day file of {day} belongs to the predecessor: no command reads it before it is imported",
                "{day} 的日檔屬原有程式：匯入之前任何命令都不會讀取",
            )
        ),
        "read": Says(Words("{error}", "{error}")),  # used by `status` if today's file is the predecessor's
    },
    meaning=Words(
        "files of earlier days belong to the predecessor, another collector: no command reads them before they are"
        " imported",
        "較早的日檔屬原有程式：匯入之前任何命令都不會讀取",
    ),
    do=Words(
        "sudo hk-tick-collector import /data/sqlite/HK",
        "`sudo hk-tick-collector import /data/sqlite/HK`",
    ),
    alert=SMALL,
)
