"""Rows 14 to 16: bytes that are not messages, odd ticks, and ticks that come twice, late or in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import market
from hk_tick_collector.simulator.encoding.odd_ticks import ODD_KINDS
from hk_tick_collector.simulator.truth.truth import read_rejects
from hk_tick_collector.store.dayfile import DayFile, StoreOptions, seal

from .trial import now_ms, wait_until

if TYPE_CHECKING:
    from .conftest import Begin

RESETS: Final = ("garbage 300", "bad-magic", "bad-sha1", "huge-length", "json-body")
SKIPS: Final = ("truncated-protobuf", "unknown-ids")
GROWTH_KIB: Final = 32 * 1024


def test_bytes_that_are_no_messages_end_the_connection_and_nothing_else(begin: Begin) -> None:
    """Row 14: garbage, a wrong magic, a wrong SHA-1, a length of 4 GB, another format: reset and named each time,
    memory bounded; the missed ticks are backfilled.
    """
    trial = begin("--within-window", symbols="40", rate=300)
    collector = trial.run()
    trial.wait_stored(200)
    descriptors, before_kib = collector.resources()
    for number, step in enumerate(RESETS * 2, start=1):
        trial.market.tell(step)
        collector.wait_for("subscribed", count=number + 1)
    reasons = {event.fields["reason"] for event in collector.events("futu_disconnected")}
    print("\n".join(sorted(reasons)))
    assert len(reasons) >= 4
    finding = trial.wait_finding("bad_messages", f"{2 * len(RESETS)} times")
    assert finding.severity.name == "WARNING"
    assert "update OpenD" in finding.text
    trial.wait_more(200)
    after = collector.resources()
    print(f"descriptors {descriptors} and {after[0]}, memory {before_kib} and {after[1]} KiB")
    wait_until(lambda: collector.resources()[0] <= descriptors, lambda: f"{collector.resources()} after {descriptors}")
    assert after[1] < before_kib + GROWTH_KIB
    trial.finish()


def test_unknown_messages_are_skipped_and_counted(begin: Begin) -> None:
    """Row 14: a truncated protobuf, unknown messages, unknown enum values: counted, named, the connection stays."""
    trial = begin("--within-window", symbols="20", rate=300)
    collector = trial.run()
    trial.wait_stored(200)
    for step in SKIPS * 3:
        trial.market.tell(step)
    skipped = collector.wait_for("message_skipped")
    assert skipped.level == "WARNING"
    finding = trial.wait_finding("messages_skipped")
    assert finding.severity.name == "WARNING"
    assert "the last one: " in finding.text
    assert "message_skipped" in finding.remedy
    trial.wait_more(200)
    assert not collector.events("futu_disconnected")
    trial.finish()


def test_odd_ticks_never_affect_other_ticks(begin: Begin) -> None:
    """Row 15: NaN, infinity, negative values, no shares, a time like 99:99:99, of yesterday, of tomorrow, unknown
    kinds: stored unchanged, or rejected with a count in `status` and the log.
    """
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    collector = trial.run()
    trial.wait_stored(200)
    for _ in range(3):
        trial.market.tell(f"bad-ticks {','.join(ODD_KINDS)}")
    assert collector.wait_for("tick_rejected").level == "WARNING"
    assert trial.wait_finding("rejected").remedy
    trial.wait_more(200)
    trial.finish()
    unstorable = len(read_rejects(trial.market.truth_path))
    assert unstorable == 9
    assert int(collector.shutdown()["rejected"]) == unstorable
    assert len(list(trial.data_root.glob("*.db"))) == 3


def test_repeated_and_reordered_ticks_are_stored_once(begin: Begin) -> None:
    """Row 16: the last 200 of each symbol again, thousands the last first, ticks of the day before: once each."""
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    trial.run()
    trial.wait_stored(500)
    for step in ("duplicate 200", "out-of-order 2000", "late 30", "duplicate 200", "out-of-order 500"):
        trial.market.tell(step)
        trial.wait_more(100)
    trial.finish()
    yesterday = market.day_name(market.day_number(now_ms()) - 1)
    assert (trial.data_root / f"{yesterday}.db").exists()
    assert trial.stored.ledger()["duplicate"] > 0


def test_a_sealed_day_is_not_created_again(begin: Begin) -> None:
    """Row 16: late ticks of a day that is sealed: rejected, whole in the log, the file untouched, `status` warns."""
    trial = begin("--wait", "--within-window", symbols="20", rate=300)
    today = market.day_number(now_ms())
    sealed = trial.data_root / f"{market.day_name(today - 1)}.db"
    assert DayFile(sealed, sealed.stem, "before", 0, "test", StoreOptions()).close()
    assert seal(sealed, 0, StoreOptions())
    content = sealed.read_bytes()
    collector = trial.run()
    trial.wait_stored(100)
    trial.market.tell("late 5")
    collector.wait_for("tick_rejected", count=5, cause="sealed_day")
    assert trial.wait_finding("sealed_day").remedy
    trial.wait_more(100)
    trial.settle(excused=5)
    trial.stop()
    trial.verdict(only=frozenset({market.day_name(today)}))
    assert sealed.read_bytes() == content
    told = {(each.fields["symbol"], int(each.fields["seq"])): each.fields for each in collector.events("tick_rejected")}
    late = [tick for tick in trial.market.process.truth() if market.day_number(tick.ts_ms) == today - 1]
    assert len(late) == 5
    for tick in late:
        assert float(told[tick.symbol, tick.seq]["price"]) == pytest.approx(tick.price)
    assert int(collector.shutdown()["rejected"]) >= 5


def test_an_impossible_time_ends_nothing(begin: Begin) -> None:
    """Rows 14 and 18: OpenD reports the year 3,170,900, later one before 1970: not used, nothing is lost."""
    trial = begin("--wait", "--within-window", symbols="20", rate=500)
    trial.run()
    trial.wait_stored(200)
    for shift in ("+99999999999999s", "-99999999999999s"):
        trial.market.tell(f"clock {shift}")
        trial.live(drift_s=None)
        trial.market.tell("cut")
        trial.wait_more(200)
    trial.market.tell("end all")
    trial.finish()
