"""What the symbols are, asked of a simulated OpenD while ticks arrive: the day file has both, and misses no tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.test_collecting import made

from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import Instrument

    from .conftest import Collector, Start

TICKS = 60_000  # twelve seconds: the first question comes five seconds after the subscription


def instruments(collector: Collector) -> list[Instrument]:
    """Those of the newest day file."""
    with DayReader(max(collector.data_root.glob("*.db"))) as reader:
        return reader.instruments()


def test_instruments_arrive_beside_five_thousand_ticks_a_second(start: Start, workdir: Path) -> None:
    """Every tick is stored once, with OpenD's time of receipt and the exchange's letter where OpenD sent them."""
    (workdir / "suspended.txt").write_text("at 0s suspend HK.00388\n")
    rate = ("--rate", "5000", "--total", str(TICKS), "--wait", "--scenario", "suspended.txt")
    opend = start.simulate(*rate, "--write-symbols", "s.txt", symbols="500")
    collector = start.run(opend.port, {"FUTU_SYMBOLS": "@s.txt"})
    opend.wait_made(TICKS)
    collector.wait_stored(TICKS)
    assert collector.wait_for("instruments_asked").fields["symbols"] == "500"
    assert collector.stop() == 0
    fields = collector.shutdown()
    assert (fields["stored"], fields["left_rows"], fields["dropped"]) == (str(TICKS), "0", "0")
    ticks = collector.ticks()
    assert made(ticks) == sorted(opend.truth())
    pushed = [tick for tick in ticks if tick.push_type == "realtime"]
    assert all(tick.opend_recv_ts_ms is not None and tick.type_sign for tick in pushed)
    assert all(tick.opend_recv_ts_ms is None for tick in ticks if tick.push_type == "backfill")
    rows = instruments(collector)
    assert len(rows) == 500
    named = {row.symbol: row for row in rows}
    assert named["HK.00700"][1:6] == ("TENCENT", 100, "STOCK", False, "2004-06-16")
    assert all(row.previous_close and row.updated_ms for row in rows)
    assert [row.symbol for row in rows if row.suspended] == ["HK.00388"]


def test_a_refused_snapshot_leaves_what_the_other_answer_says(start: Start, workdir: Path) -> None:
    """The ticks arrive on the same connection; suspension and previous close are not known."""
    (workdir / "bad.txt").write_text("at 0s fail-reply GetSecuritySnapshot\n")
    opend = start.simulate("--rate", "200", "--wait", "--scenario", "bad.txt")
    collector = start.run(opend.port)
    collector.wait_for("instruments_failed")
    assert collector.stop() == 0
    fields = collector.shutdown()
    assert (fields["left_rows"], fields["dropped"]) == ("0", "0")
    assert len(collector.events("futu_connected")) == 1
    rows = instruments(collector)
    assert rows
    assert all(row.name and row.lot_size and row.type == "STOCK" and row.listing_date for row in rows)
    assert {(row.suspended, row.previous_close) for row in rows} == {(None, None)}
