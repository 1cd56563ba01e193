"""Findings for single days whose file cannot be written or sealed, while other days are stored as usual."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.store.foreign import import_command, move_command
from hk_tick_collector.store.query import unseal_command

from . import remedies
from .finding import Severity
from .market_silence import shift_ms
from .remedies import Remedy
from .spec import FindingSpec, Rule
from .words import Words
from .writer import WRITER_BUSY, WRITER_SCHEMA_CHANGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen


def _held(seen: Seen) -> Iterator[Finding]:
    """Files of single days that cannot be written, the latest day first, because today's is the most urgent."""
    status = seen.status
    today = market.day_name(market.day_number(seen.now_ms - shift_ms(status)))  # by OpenD's clock where it is known
    for day, rows in sorted(status.held_rows.items(), reverse=True):
        cause = status.held_causes.get(day, "")
        yield DAY_HELD.found(
            Severity.CRITICAL if day == today or status.newest_day <= day <= today else Severity.WARNING,
            remedy=Remedy(
                remedy_of(cause, status.data_root, day, status.account),
                *(remedies.MOVED_AWAY if cause in _MOVED else ()),
            ),
            rows=rows,
            day=day,
            root=status.data_root,
            cause=cause,
            detail=status.held_details.get(day, ""),
        )


def remedy_of(cause: str, data_root: str, day: str, account: str = "") -> str:
    """The command to type, by the cause for which only the file of `day` cannot be written."""
    path = Path(data_root, f"{day}.db")
    if cause in _MOVED:
        return move_command(path)
    if cause == "predecessor_file":
        return import_command(path)
    if cause == "sealed_early":
        return unseal_command(path)
    command = _HELD.get(cause, "ls -l {db}*; sudo hk-tick-collector doctor")
    return command.format(db=shlex.quote(str(path)), account=account or remedies.ACCOUNT)


_MOVED: Final = ("foreign_file", "damaged")
_HELD: Final = {
    "schema_changed": WRITER_SCHEMA_CHANGED.remedy.command,
    "no_permission": "sudo chown {account} {db}*; sudo chmod u+rw {db}*",
    "busy": WRITER_BUSY.remedy.command,
    "io_error": "sudo dmesg | tail",
}
DAY_HELD: Final = FindingSpec(
    code="day_held",
    when=_held,
    text=Words(
        "{rows:,} ticks of {day} wait: {root}/{day}.db cannot be written, {cause} ({detail}); other days are stored",
        "{day} 有 {rows:,} 筆 tick 等候：{root}/{day}.db 不能寫入，{cause}（{detail}）；其他日子照常儲存",
    ),
    remedy=Remedy("sudo hk-tick-collector doctor"),
    meaning=Words(
        "the file of one day cannot be written: its ticks wait in a spool of their own; other days are stored as usual",
        "某一日的檔案不能寫入：其 tick 存於專用的 spool，其他日子照常寫入",
    ),
    do=Words(
        "as status says: move the file away, or give it back to the collector's account; no restart is needed",
        "按 status 所示：移走該檔，或將擁有者改回收集器的帳戶；毋須重啟",
    ),
    alert=Rule(hold_s=10, critical_s=0),  # the current day is critical
    causes=("day_file", "day_not_sealed", "lag", "gaps_healing"),
)


def _not_sealed(seen: Seen) -> Iterator[Finding]:
    root = seen.status.data_root
    for name, why in sorted(seen.status.not_sealed.items(), reverse=True):
        yield DAY_NOT_SEALED.found(Severity.WARNING, root=root, name=name, why=why)


DAY_NOT_SEALED: Final = FindingSpec(
    code="day_not_sealed",
    when=_not_sealed,
    text=Words("{root}/{name} cannot be sealed: {why}", "{root}/{name} 不能封存：{why}"),
    remedy=Remedy("ls -ld {root}/{name}*", "see docs/sqlite-wal.md", "見 docs/sqlite-wal.md"),
    meaning=Words(
        "the file of a finished day cannot be sealed; other days are sealed as usual",
        "已完結的某一日不能封存；其他日子照常封存",
    ),
    do=Words(
        "remove the cause that status names; sealing is tried again every minute",
        "按 status 所示的原因處理；每分鐘重試",
    ),
    alert=Rule(hold_s=300),
)
