"""A simulated OpenD and the collector, two processes: the day file equals the truth, field by field."""

from __future__ import annotations

import signal
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import market
from hk_tick_collector.simulator.truth.truth import TruthTick
from hk_tick_collector.store.dayfile import DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hk_tick_collector.model import Tick

    from .conftest import Collector, OpenD, Proxy, Start

BALANCE: Final = "SELECT sum(received), sum(stored), sum(duplicate + rejected + dropped + waiting) FROM ledger"


def made(ticks: Iterable[Tick]) -> list[TruthTick]:
    """Stored ticks without the fields that only the collector knows."""
    return [TruthTick(*tick[:8]) for tick in ticks]


def by_symbol(ticks: Iterable[TruthTick]) -> dict[str, list[TruthTick]]:
    """Ticks of each symbol in their order."""
    found: dict[str, list[TruthTick]] = defaultdict(list)
    for tick in sorted(ticks):
        found[tick.symbol].append(tick)
    return found


def assert_prefix(collector: Collector, opend: OpenD) -> None:
    """Of each symbol everything is stored up to some tick, with nothing missing and nothing added."""
    truth = by_symbol(opend.truth())
    for symbol, ticks in by_symbol(made(collector.ticks())).items():
        assert ticks == truth[symbol][: len(ticks)], symbol


def test_the_day_file_equals_the_truth(start: Start) -> None:
    """2,000 ticks/s over 100 symbols: every field of every tick, each once; counters and ledger agree; a clean end."""
    opend = start.simulate("--rate", "2000", "--total", "8000", "--wait", "--write-symbols", "s.txt", symbols="100")
    collector = start.run(opend.port, {"FUTU_SYMBOLS": "@s.txt"})
    opend.wait_made(8000)
    collector.wait_stored(8000)
    assert collector.stop() == 0
    fields = collector.shutdown()
    assert (fields["stored"], fields["left_rows"], fields["dropped"]) == ("8000", "0", "0")
    ticks = collector.ticks()
    assert made(ticks) == sorted(opend.truth())
    assert {tick.push_type for tick in ticks} <= {"realtime", "backfill"}
    assert all(-1000 < tick.recv_ts_ms - tick.ts_ms < 300_000 for tick in ticks)
    for path in collector.data_root.glob("*.db"):
        columns = "count(*), min(ts_ms), max(ts_ms), max(seq), sum(volume)"
        counted = sqlite3(path, f"SELECT symbol, {columns} FROM ticks GROUP BY symbol ORDER BY symbol")
        kept = sqlite3(path, "SELECT symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume FROM symbols ORDER BY 1")
        assert counted == kept
    received = [sqlite3(path, BALANCE).split("|") for path in collector.data_root.glob("*.db")]
    assert sum(int(row[1]) for row in received) == 8000
    assert all(int(row[0]) == int(row[1]) + int(row[2]) for row in received)


def sqlite3(path: Path, sql: str) -> str:
    """The answer of the system's `sqlite3`."""
    done = subprocess.run(
        ["sqlite3", f"file:{path}?mode=ro", sql], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]],
    ids=lambda signals: "+".join(number.name for number in signals),
)
def test_a_stop_under_load_stores_every_tick(start: Start, signals: list[signal.Signals]) -> None:
    """Everything received is in the file: it balances, exit code 0, `shutdown … left_rows=0` is the last line."""
    opend = start.simulate("--rate", "5000", "--wait")
    collector = start.run(opend.port)
    collector.wait_stored(1000)
    for number in signals:
        collector.signal(number)
    assert collector.finish() == 0
    fields = collector.shutdown()
    assert (fields["reason"], fields["left_rows"]) == ("signal", "0")
    parts = [int(fields[name]) for name in ("stored", "duplicate", "rejected", "dropped")]
    assert int(fields["received"]) == sum(parts)
    assert collector.stored() == parts[0] >= 1000
    assert_prefix(collector, opend)
    assert [path.name for path in collector.data_root.glob("*.db-*")] == []


def test_no_thread_uses_the_event_loop_of_another(start: Start, start_proxy: Callable[[int], Proxy]) -> None:
    """Python's own check of it is on: over a lost connection, its backfill and a stop it reports nothing.

    The check makes all other tests twice as slow, so it is on here and in `make soak` only.
    """
    opend = start.simulate("--rate", "500", "--wait", "--within-window")
    proxy = start_proxy(opend.port)
    collector = start.run(proxy.port, {"PYTHONASYNCIODEBUG": "1"})
    collector.wait_stored(500)
    proxy.cut()
    collector.wait_for("subscribed", 2)
    collector.wait_stored(collector.stored() + 500)
    assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"
    assert "Non-thread-safe" not in collector.output
    assert_prefix(collector, opend)


def test_repeated_signals_still_end_cleanly(start: Start) -> None:
    """SIGTERM again and again until the process has ended: flushed, exit code 0, `shutdown` the last line."""
    opend = start.simulate("--rate", "500")
    collector = start.run(opend.port)
    collector.wait_stored(100)
    while collector.alive:
        collector.signal(signal.SIGTERM)
    assert collector.finish() == 0
    assert collector.shutdown()["left_rows"] == "0"


def test_a_kill_under_load_loses_at_most_what_was_in_memory(start: Start) -> None:
    """After SIGKILL every stored tick is correct and the file is valid; a restart continues in it without asking."""
    opend = start.simulate("--rate", "5000", "--wait")
    killed = start.run(opend.port)
    killed.wait_stored(1000)
    killed.kill()
    assert_prefix(killed, opend)
    before = killed.stored()
    collector = start.run(opend.port)
    collector.wait_stored(before + 1000)
    assert collector.stop() == 0
    ticks = made(collector.ticks())
    assert set(ticks) <= set(opend.truth())
    assert len({(tick.symbol, tick.seq) for tick in ticks}) == len(ticks)


def test_an_encrypted_day_equals_the_truth(start: Start, rsa_key: Path) -> None:
    """With OpenD's RSA key every body is encrypted, and nothing else changes."""
    opend = start.simulate("--rate", "1000", "--total", "2000", "--wait", "--rsa-key", str(rsa_key))
    collector = start.run(opend.port, {"FUTU_RSA_KEY": str(rsa_key)})
    collector.wait_stored(2000)
    assert collector.stop() == 0
    assert made(collector.ticks()) == sorted(opend.truth())


@pytest.fixture
def rsa_key(workdir: Path) -> Path:
    """A key made as in the vendor's documentation: PKCS#1, 1024 bits."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    path = workdir / "opend.pem"
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()))
    return path


def test_the_day_is_that_of_the_exchange_and_finished_days_are_sealed(start: Start, workdir: Path) -> None:
    """Ticks of a simulated day go to that day's file, whatever day it is here; the day before it is sealed."""
    (workdir / "HK").mkdir()
    yesterday = workdir / "HK" / "20201119.db"
    assert DayFile(yesterday, yesterday.stem, "run", 0, "test", StoreOptions()).close()
    opend = start.simulate(
        "--day", "20201120", "--at", "09:30", "--speed", "20", "--rate", "500", "--total", "500", "--wait"
    )
    collector = start.run(opend.port)
    assert collector.wait_for("day_sealed", day=yesterday.stem)
    wait_for_day = collector.wait_for("day_opened", day="20201120")
    assert wait_for_day.level == "INFO"
    collector.wait_stored(500)
    assert collector.stop() == 0
    assert {market.day_name(market.day_number(tick.ts_ms)) for tick in collector.ticks()} == {"20201120"}
    assert yesterday.stat().st_mode & 0o777 == 0o440
    assert set(made(collector.ticks())) <= set(opend.truth())
