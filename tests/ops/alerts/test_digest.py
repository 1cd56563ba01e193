"""When the digest is due, by a clock that the test sets, and its text for a real day file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.conftest import NOW_MS

from hk_tick_collector import market
from hk_tick_collector.ops.alerts.digest import DigestClock, digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DayFile
    from tests.ops.conftest import MakeStatus

    from hk_tick_collector.model import TickRow

DAY = "20261120"
MIDNIGHT_MS = market.day_start_ms(market.parse_day(DAY))


def at(hour: int, minute: int) -> int:
    """A time of that day in Hong Kong."""
    return MIDNIGHT_MS + (hour * 60 + minute) * 60_000


def first_due(make_status: MakeStatus, clock: DigestClock, **changes: Any) -> str:
    """The Hong Kong time at which a day's digest is due, checked once a minute; "" if it never is."""
    for minute in range(24 * 60):
        now_ms = at(0, minute)
        state = "closed" if (changes.get("half_day") and minute >= 12 * 60 + 8) or minute >= 16 * 60 + 8 else "morning"
        if minute < 9 * 60:
            state = "closed"
        status = make_status(
            written_ms=now_ms,
            market_state=state,
            trading=state == "morning" and changes.get("connected", True),
            day_expected=changes.get("day_expected", True),
            connected=changes.get("connected", True),
            newest_ts_ms=at(10, 0) if minute > 600 else at(0, 0) - 30_000_000,
        )
        if clock.due(status, now_ms):
            return f"{market.hkt(now_ms):%H:%M}"
    return ""


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, "16:23"),
        ({"half_day": True}, "12:23"),
        ({"connected": False}, "16:23"),
        ({"day_expected": False}, ""),
    ],
    ids=["a whole day", "a half day", "OpenD away", "no trading day"],
)
def test_it_is_due_a_quarter_of_an_hour_after_the_close(
    make_status: MakeStatus, changes: dict[str, Any], due: str
) -> None:
    """Not before the open, although the market is closed then too, and not twice."""
    clock = DigestClock("")
    assert first_due(make_status, clock, **changes) == due
    assert first_due(make_status, clock, **changes) == ""
    assert clock.done == (DAY if due else "")


def test_a_day_that_was_sent_is_not_sent_by_the_next_run(make_status: MakeStatus) -> None:
    """The day of the last digest is remembered."""
    assert first_due(make_status, DigestClock(DAY)) == ""


def test_the_digest_has_each_figure_with_its_unit(
    make_status: MakeStatus, make_day: Callable[..., DayFile], tick: Callable[..., TickRow], tmp_path: Path
) -> None:
    """Figures of the file and of the live state, each with its unit; open gaps with the command."""
    day = make_day(DAY)
    day.add([tick("HK.00700", seq) for seq in range(1, 10)])
    day.execute("UPDATE symbols SET expected = 10")
    day.execute(
        "INSERT INTO gaps (symbol, from_seq, to_seq, missing, cause, status, opened_ms)"
        " VALUES ('HK.00700', 10, 10, 1, 'link', 'open', ?)",
        (NOW_MS,),
    )
    day.execute(
        "INSERT INTO connections (from_ms, to_ms, connected, conn_id, reason) VALUES (?, ?, 0, NULL, 'x')",
        (at(8, 0), at(9, 3)),
    )
    text = digest(tmp_path, DAY, make_status(stalls=2, disk_free_mb=1000), at(17, 0))
    for line in (
        f"Trading day {DAY}",
        "rows: 9 of 1 symbols",
        "completeness: 90.00000 % of 10",
        f"open gaps: 1, 1 ticks missing -> hk-tick-collector gaps --open --day {DAY}",
        "reconciliation: none",
        "without OpenD between 09:00 and the close: 3.0 min",
        "watchdog stalls: 2 since the start of the service",
    ):
        assert line in text.splitlines()
    assert "disk free: 1,000 MB, enough for " in text
    chinese = digest(tmp_path, DAY, make_status(stalls=2, disk_free_mb=1000), at(17, 0), "zh-Hant").splitlines()
    assert chinese[:2] == [f"交易日 {DAY}", "tick：9 筆，1 隻股票"]
    assert chinese[3] == f"未補的缺口：1 個，欠 1 筆 -> hk-tick-collector gaps --open --day {DAY}"
    assert len(chinese) == len(text.splitlines())


def test_one_missing_tick_in_ten_million_is_shown(
    make_status: MakeStatus, make_day: Callable[..., DayFile], tick: Callable[..., TickRow], tmp_path: Path
) -> None:
    """Completeness is rounded down."""
    day = make_day(DAY)
    day.add([tick("HK.00700", 1)])
    day.execute("UPDATE symbols SET expected = 10000000, rows = 9999999")
    assert "completeness: 99.99999 % of 10,000,000" in digest(tmp_path, DAY, make_status(), at(17, 0))


def test_a_day_without_a_file(make_status: MakeStatus, tmp_path: Path) -> None:
    """The digest says so; it is still sent."""
    text = digest(tmp_path, DAY, make_status(), NOW_MS)
    assert "day file: there is no " in text
    assert "disk free: 50,000 MB" in text
