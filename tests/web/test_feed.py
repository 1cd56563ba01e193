"""What the page says when something is missing, foreign, frozen or hostile: the real verb, read over HTTP."""

from __future__ import annotations

import html
import os
import re
import signal
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.conftest import wait_until
from tests.reliability.disks import disk_of_its_own, frozen

from hk_tick_collector import market
from hk_tick_collector.ops.live.status import STATUS_NAME
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from hk_tick_collector.model import TickRow

    from .conftest import Web

DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000
HTML_OF_OPEND: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m"


def shows(web: Web, pattern: str, lang: str = "en") -> str:
    """The page as soon as it shows this."""
    seen = ""

    def found() -> bool:
        nonlocal seen
        seen = html.unescape(web.get(f"/?lang={lang}").text)
        return re.search(pattern, seen) is not None

    wait_until(found, lambda: f"{pattern} in\n{seen}\n{web.output}", 60)
    return seen


def test_without_a_collector_it_says_so_and_what_to_type(serve: Callable[..., Web]) -> None:
    """No status.json, no day file: the same line as `status`, in both languages, and what is not known."""
    web = serve()
    page = shows(web, "no collector is running for DATA_ROOT=.*status.json")
    assert "sudo systemctl start hk-tick-collector" in page
    assert "The collector has never reported here" in page
    assert "The page has figures since" in page
    assert "沒有收集器在運行" in shows(web, "嚴重", "zh-Hant")


def test_figures_of_a_collector_that_reports_no_more_are_marked_as_old(serve: Callable[..., Web]) -> None:
    """Its last report, when that was, and no figure of this second."""
    web = serve()
    web.live(written_ms=time.time_ns() // 10**6 - 90_000, state="stopped")
    page = shows(web, "The service does not report. The figures are from its last report")
    assert "CRITICAL" in page
    assert page.count("<b>–</b>") == 6


def test_a_report_from_the_future_is_none_of_this_second(serve: Callable[..., Web]) -> None:
    """The clock was set back by an hour: the page neither trusts the figures nor counts backwards."""
    web = serve()
    web.live(written_ms=time.time_ns() // 10**6 + 3_600_000)
    page = shows(web, "The service does not report")
    assert "CRITICAL" in page
    assert not re.search(r"<b>-\d", page)


def test_a_clock_an_hour_off_is_named(serve: Callable[..., Web]) -> None:
    """OpenD's clock is the measure; the lag is not a negative number."""
    web = serve()
    now_ms = time.time_ns() // 10**6
    web.live(drift_s=-3600.0, newest_ts_ms=now_ms + 3_600_000, market_state="morning", trading=True)
    page = shows(web, r"-3600\.0 s against OpenD")
    assert re.search(r'data-part="lag-value"[^>]*><b>0.0</b>', page)


def test_a_file_that_is_no_live_state_is_named(serve: Callable[..., Web]) -> None:
    """UNKNOWN, with the file's path; it recovers by itself."""
    web = serve()
    (web.data_root / STATUS_NAME).write_text("{}<script>")
    page = shows(web, "is not the live state of this version")
    assert "UNKNOWN" in page
    web.live()
    shows(web, "Collecting, nothing to do")


def test_a_foreign_day_file_is_a_finding(serve: Callable[..., Web]) -> None:
    """The live state is fine and the day file is not ours: the page says what `status` says."""
    web = serve()
    (web.data_root / f"{DAY}.db").write_bytes(b"SQLite format 3\0" + b"\0" * 4096)
    web.live(newest_day=DAY)
    page = shows(web, rf"{DAY}\.db")
    assert re.search("WARNING|UNKNOWN|CRITICAL", page)


def test_words_of_opend_are_text_and_nothing_else(serve: Callable[..., Web]) -> None:
    """Markup, a reversal of the writing direction and an escape sequence, in every field that quotes OpenD."""
    web = serve()
    words = dict.fromkeys(("address", "link_reason", "link_hint", "program_detail", "busiest_symbol"), HTML_OF_OPEND)
    web.live(**words, connected=False, bad_symbols=[HTML_OF_OPEND], refused={HTML_OF_OPEND: HTML_OF_OPEND})
    shows(web, "no connection to OpenD")
    for path in ("/", "/?lang=zh-Hant"):
        raw = web.get(path).text
        assert "alert(1)" in raw
        assert "<script>alert" not in raw
        assert "<img" not in raw
        assert "\u202e" not in raw
        assert "\x1b" not in raw


def test_the_outage_budget_runs_down_while_opend_is_away(serve: Callable[..., Web]) -> None:
    """How much is left, and for which symbol; then for how long it has been used up."""
    web = serve()
    now_ms = time.time_ns() // 10**6
    drift_s = (now_ms - OPEN_MS - 1_800_000) / 1000  # by OpenD's clock it is 10:00 on a Friday
    trades = {"connected": False, "market_state": "morning", "trading": False, "day_kind": "whole", "drift_s": drift_s}
    web.live(**trades, link_since_ms=now_ms - 30_000, outage_budget_s=3000.0)
    page = shows(web, r"29[0-9]{2} s left of 3000 s, then HK\.00700 loses ticks")
    assert '<progress max="3000"' in page
    web.live(**trades, link_since_ms=now_ms - 300_000, outage_budget_s=90.0)
    shows(web, r"used up 2[0-9]{2} s ago: HK\.00700 loses ticks now")
    web.live(**{**trades, "market_state": "closed", "day_kind": "holiday"}, outage_budget_s=90.0)
    shows(web, "no rate of ticks now")


def test_the_lag_is_judged_while_the_market_trades_and_grows_while_opend_is_away(serve: Callable[..., Web]) -> None:
    """At lunch it says nothing; when OpenD is lost in the afternoon, it says how old the newest tick is."""
    web = serve()
    web.live(market_state="rest")
    shows(web, r'data-part="lag-value"[^>]*><b>–</b> <span class="soft">no trading now')
    web.live(market_state="afternoon", connected=False, newest_ts_ms=time.time_ns() // 10**6 - 600_000)
    shows(web, r'data-part="lag-value"[^>]*><b>6\d\d\.\d</b>')


def test_the_busiest_symbols_are_counted_in_the_day_file(
    serve: Callable[..., Web], tick: Callable[..., TickRow]
) -> None:
    """While it is written; each leads to the symbol's own view."""
    web = serve()
    file = DayFile(web.data_root / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
    try:
        number = 0

        def counted() -> bool:
            nonlocal number
            for _ in range(3):
                number += 1
                file.write(Batch(rows=[tick("HK.00700", number, OPEN_MS)]), OPEN_MS)
            web.live(newest_day=DAY)
            return 'href="/symbol?symbol=HK.00700"' in web.get("/").text

        wait_until(counted, "HK.00700 among the busiest", 60)
    finally:
        file.abandon()


@pytest.fixture
def on_a_disk(
    workdir: Path, serve_in: Callable[..., AbstractContextManager[Web]], tick: Callable[..., TickRow]
) -> Iterator[Web]:
    """A page whose DATA_ROOT is on a disk that can be frozen, with a day that is being written."""
    with disk_of_its_own(workdir / "disk") as disk:
        (disk / "HK").mkdir()
        file = DayFile(disk / "HK" / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
        file.write(Batch(rows=[tick("HK.00700", 1, OPEN_MS)]), OPEN_MS)
        place = workdir / "place"
        place.mkdir()
        (place / "HK").symlink_to(disk / "HK")
        try:
            with serve_in(place) as web:
                web.live(newest_day=DAY)
                shows(web, "Collecting, nothing to do")
                web.rest()  # a collector cannot report either on a disk that is frozen
                yield web
        finally:
            file.abandon()


def test_a_frozen_disk_stops_neither_the_page_nor_its_end(on_a_disk: Web, workdir: Path) -> None:
    """It answers at once, names the disk and the command that thaws it, and ends when it is told to."""
    with frozen(workdir / "disk"):
        assert "is frozen" in shows(on_a_disk, "<code>sudo fsfreeze --unfreeze")
        assert on_a_disk.get("/alive").code == 200
        assert on_a_disk.stop() == -signal.SIGTERM


def test_it_ends_at_once_while_browsers_look(serve: Callable[..., Web]) -> None:
    """SIGTERM: streams are ended by the page, not waited for; its reading process ends with it."""
    web = serve()
    web.live()
    reading = [int(pid) for pid in Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text("ascii").split()]
    assert reading
    with web.stream() as looking:
        assert web.stop() == -signal.SIGTERM
        assert looking.read().endswith(b"\n\n")
    wait_until(lambda: not any(_lives(pid) for pid in reading), "the reading process ends", 60)


def test_it_ends_if_its_reading_process_is_killed(serve: Callable[..., Web]) -> None:
    """Without it nothing can be read. systemd starts the page again."""
    web = serve()
    for pid in Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text("ascii").split():
        os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: not _answers(web), "the page ends", 60)
    assert web.stop() == -signal.SIGTERM
    assert "web_reading_killed" in web.output


def _answers(web: Web) -> bool:
    with suppress(OSError, HTTPException):
        return web.get("/alive").code == 200
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
