"""The files that are kept + today's date → findings of `report` on retention and disk, and the days to move. Pure.

Nothing is deleted.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.store import inventory

from . import remedies
from .day_files import PREDECESSOR_FILE, predecessor_days
from .finding import Severity
from .host import DISK
from .remedies import Remedy
from .spec import BY_REPORT, FindingSpec, Says
from .words import NO_WORDS, Words, counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from hk_tick_collector.store.inventory import Kept, KeptDay

    from .finding import Finding

_RECENT_DAYS: Final = 20  # a month of trading: the growth is its mean, and these days always stay on this disk
_FULL_WARN_DAYS: Final = 10
_FULL_CRITICAL_DAYS: Final = 2
_SEALED_WITHIN_DAYS: Final = 2  # a day is sealed the next morning, when OpenD's own date is later
_NAMED: Final = 3  # the most days that one line lists


class Forecast(NamedTuple):
    """How fast the disk fills."""

    bytes_per_day: int | None  # of a finished trading day, with its snapshot if that is on the same disk
    days_until_full: int | None  # trading days until DISK_MIN_FREE_MB is reached; None if it is unknown


def forecast(found: Kept, today: str, min_free_bytes: int) -> Forecast:
    """Computed from the sizes of the latest finished days."""
    recent = [day for day in found.days if day.day < today][-_RECENT_DAYS:]
    if not recent:
        return Forecast(None, None)
    grows = int(fmean(day.size_bytes + (day.snapshot_bytes if found.same_disk else 0) for day in recent))
    return Forecast(grows, max(0, found.free_bytes - min_free_bytes) // grows if grows else None)


def movable(found: Kept, today: str) -> list[KeptDay]:
    """Days that can safely be moved to another disk, oldest first: sealed, with a good snapshot, older than a month."""
    past = [day for day in found.days if day.day < today][:-_RECENT_DAYS]
    return [day for day in past if day.sealed and day.snapshot == inventory.GOOD]


def check(found: Kept, today: str, min_free_bytes: int, archived: Collection[str] = ()) -> list[Finding]:
    """What is wrong, the worst first. `today` is `YYYYMMDD`; `archived` are the days that need no snapshot."""
    findings = [*_disk(found, today, min_free_bytes), *_days(found, today, archived), *_left(found)]
    return sorted(findings, key=lambda finding: -finding.severity)


def _disk(found: Kept, today: str, min_free_bytes: int) -> Iterator[Finding]:
    free_mb, days = found.free_bytes // 2**20, forecast(found, today, min_free_bytes).days_until_full
    if found.free_bytes < min_free_bytes:
        severity = Severity.CRITICAL if found.free_bytes < min_free_bytes / 4 else Severity.WARNING
        yield DISK.found(severity, "days", free_mb=free_mb, limit_mb=min_free_bytes // 2**20)
    elif days is not None and days < _FULL_WARN_DAYS:
        severity = Severity.CRITICAL if days < _FULL_CRITICAL_DAYS else Severity.WARNING
        yield DISK_FILLS.found(severity, free_mb=free_mb, days=days)


def _days(found: Kept, today: str, archived: Collection[str]) -> Iterator[Finding]:
    past = [day for day in found.days if day.day < today]
    if former := [day.day for day in found.days if day.is_predecessors]:
        yield predecessor_days(former, found.data_root, found.import_steps)
    if broken := [day for day in found.days if day.rows is None and not day.is_predecessors]:
        first = broken[0]
        variant, remedy = ("named", Remedy(first.remedy)) if first.remedy else ("", None)
        yield DAY_UNREADABLE.found(
            Severity.CRITICAL,
            variant,
            remedy=remedy,
            days=_named(broken),
            problem=Words(first.problem, first.problem_zh or first.problem),
        )
    wrong = [day for day in found.days if day.snapshot in (inventory.DIFFERS, inventory.UNREADABLE)]
    if wrong:
        yield SNAPSHOT_DAMAGED.found(Severity.CRITICAL, days=_named(wrong), day=wrong[0].day)
    # A copy of these is elsewhere, or their snapshots were pruned.
    pruned = {day.day for day in found.days[: -inventory.KEEP_DAYS] if day.sealed}
    pruned |= {day.day for day in found.days if day.sealed and day.day in archived}
    for word, spec in _SNAPSHOTS:
        lacking = [day for day in past if day.snapshot == word and day.rows is not None]
        if days := [day for day in lacking if word != inventory.NO_SNAPSHOT or day.day not in pruned]:
            yield spec.found(Severity.WARNING, days=_named(days), day=days[0].day)
    number = market.parse_day(today)
    late = [
        day
        for day in past
        if not day.sealed and not day.is_predecessors and market.parse_day(day.day) <= number - _SEALED_WITHIN_DAYS
    ]
    if late:
        yield UNSEALED.found(Severity.WARNING, days=_named(late))


def _left(found: Kept) -> Iterator[Finding]:
    if found.not_imported:
        count, remedy = len(found.not_imported) - 1, Remedy(found.import_steps)
        others = Words(f", as {count} more", f"，另有 {count} 個") if count else NO_WORDS
        name = found.not_imported[0].name
        yield PREDECESSOR_FILE.found(Severity.WARNING, remedy=remedy, name=name, others=others)
    if found.damaged:
        last = found.damaged[-1]
        yield DAMAGED_FILES.found(
            Severity.WARNING,
            files=counted(len(found.damaged), "damaged day file is", "damaged day files are", "個改名保留的損壞日檔"),
            size_mb=found.damaged_bytes // 2**20,
            name=last.name,
            directory=str(last.parent),
        )
    if found.spool_files:
        files = counted(found.spool_files, "spool file is", "spool files are", "個 spool 檔案")
        yield SPOOL.found(Severity.WARNING, files=files, size_mb=found.spool_bytes / 2**20)
    if found.partial:
        yield PARTIAL.found(Severity.WARNING, name=found.partial[0].name)


def _named(days: Sequence[KeptDay]) -> Words:
    names, count = ", ".join(day.day for day in days[:_NAMED]), len(days) - _NAMED
    return Words(
        names + (f" and {count} more {'day' if count == 1 else 'days'}" if count > 0 else ""),
        names + (f" 等共 {len(days)} 日" if count > 0 else ""),
    )


_SNAPSHOT: Final = "sudo hk-tick-collector snapshot --day YYYYMMDD"
_TAKE: Final = Remedy("sudo hk-tick-collector snapshot --day {day}")
_TAKE_IT: Final = Words(_SNAPSHOT, f"`{_SNAPSHOT}`")
DISK_FILLS: Final = FindingSpec(
    code="disk_fills",
    text=Words(
        "{free_mb:,} MB are free: enough for {days} trading days of recent size; move old days to another disk (the"
        " line `may move` names them), or enlarge the disk",
        "剩餘 {free_mb:,} MB：按近日增長只夠 {days} 個交易日；把較早的日檔搬到另一磁碟（`may move` 一行列出），"
        "或擴充磁碟",
    ),
    remedy=Remedy("df -h"),
    meaning=Words("at the recent growth the disk will be full within days", "按近日增長，磁碟將於數日內用盡"),
    do=Words(
        "hk-tick-collector report names the days that may be moved; or enlarge the disk",
        "`hk-tick-collector report` 列出可搬走的日子；或擴充磁碟",
    ),
    alert=BY_REPORT,
)
DAY_UNREADABLE: Final = FindingSpec(
    code="day_unreadable",
    text=Words(
        "{days} cannot be read: {problem}; restore the file from a copy (docs/sqlite-wal.md)",
        "{days} 不能讀取：{problem}；由副本取回（docs/sqlite-wal.md）",
    ),
    remedy=Remedy(remedies.DOCTOR),
    variants={"named": Says(Words("{days} cannot be read: {problem}", "{days} 不能讀取：{problem}"))},
    meaning=Words("a day file cannot be read", "某日的日檔不能讀取"),
    do=Words("see docs/sqlite-wal.md; restore the file from a copy", "見 docs/sqlite-wal.md；由副本取回"),
    alert=BY_REPORT,
)
SNAPSHOT_DAMAGED: Final = FindingSpec(
    code="snapshot_damaged",
    text=Words("the snapshot of {days} is damaged", "{days} 的快照已損壞"),
    remedy=_TAKE,
    meaning=Words("a snapshot does not match its SHA-256 or cannot be read", "快照與其 SHA-256 不符，或不能讀取"),
    do=Words(f"{_SNAPSHOT} makes a new one", f"`{_SNAPSHOT}` 重做"),
    alert=BY_REPORT,
)
NO_SNAPSHOT: Final = FindingSpec(
    code="no_snapshot",
    text=Words("{days}: no snapshot", "{days}：沒有快照"),
    remedy=_TAKE,
    meaning=Words("a past day has no snapshot", "某日沒有快照"),
    do=_TAKE_IT,
    alert=BY_REPORT,
)
NO_SUM: Final = FindingSpec(
    code="no_sum",
    text=Words(
        "{days}: a snapshot without its SHA-256, so it is not known whether it was checked",
        "{days}：快照沒有 SHA-256，不能證明已驗證",
    ),
    remedy=_TAKE,
    meaning=Words(
        "a snapshot has no SHA-256, so it is not known whether it was checked", "快照沒有 SHA-256，不能證明已驗證"
    ),
    do=_TAKE_IT,
    alert=BY_REPORT,
)
SNAPSHOT_BEHIND: Final = FindingSpec(
    code="snapshot_behind",
    text=Words("{days}: the snapshot has fewer ticks than the day file", "{days}：快照的 tick 少於日檔"),
    remedy=_TAKE,
    meaning=Words("a snapshot has fewer ticks than its day file", "快照的 tick 少於其日檔"),
    do=_TAKE_IT,
    alert=BY_REPORT,
)
UNSEALED: Final = FindingSpec(
    code="unsealed",
    text=Words(
        "{days} not sealed yet: the collector seals days from 06:00, when OpenD's date is later",
        "{days} 仍未封存：OpenD 的日期較後時，收集器由 06:00 起封存",
    ),
    remedy=Remedy(remedies.grep("day_seal_failed")),
    meaning=Words("a past day is not sealed yet", "已完結的日子仍未封存"),
    do=Words("hk-tick-collector logs --event day_seal_failed", "`hk-tick-collector logs --event day_seal_failed`"),
    alert=BY_REPORT,
)
DAMAGED_FILES: Final = FindingSpec(
    code="damaged_files",
    text=Words(
        "{files} kept under another name, {size_mb:,} MB: {name}; save the data (docs/sqlite-wal.md), then move it to"
        " another disk",
        "有 {files}，{size_mb:,} MB：{name}；先取回可用的資料（docs/sqlite-wal.md），再搬到另一磁碟",
    ),
    remedy=Remedy("ls -l {directory}"),
    meaning=Words("damaged day files are still kept under another name", "仍有改名保留的損壞日檔"),
    do=Words("see docs/sqlite-wal.md, then move them to another disk", "見 docs/sqlite-wal.md，再搬到另一磁碟"),
    alert=BY_REPORT,
)
SPOOL: Final = FindingSpec(
    code="spool",
    text=Words(
        "{files} not in a day file yet, {size_mb:,.1f} MB; the collector stores them by itself, also at its next start",
        "{files}，{size_mb:,.1f} MB，等候寫入日檔；收集器會自行寫入，下次啟動時亦然",
    ),
    remedy=Remedy("hk-tick-collector status"),
    meaning=Words("spool files are not in a day file yet", "spool 有資料等候寫入日檔"),
    do=Words("the collector stores them by itself, also at its next start", "收集器會自行寫入，下次啟動時亦然"),
    alert=BY_REPORT,
)
PARTIAL: Final = FindingSpec(
    code="partial",
    text=Words(
        "a snapshot was killed and left {name}, or is being made now; the next snapshot of that day reuses the file",
        "有快照被終止而留下 {name}，或正在進行；該日的下一個快照會沿用該檔",
    ),
    remedy=Remedy(""),
    meaning=Words("a snapshot was killed, or is being made now", "快照做到一半被終止，或正在進行"),
    do=Words("nothing: the next snapshot of that day reuses the file", "毋須處理：該日的下一個快照會沿用該檔"),
    alert=BY_REPORT,
)
_SNAPSHOTS: Final = (
    (inventory.NO_SNAPSHOT, NO_SNAPSHOT),
    (inventory.NO_SUM, NO_SUM),
    (inventory.BEHIND, SNAPSHOT_BEHIND),
)
