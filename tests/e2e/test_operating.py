"""Commands of an operator during a burst: snapshot, report, health check. The collector is not affected."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
from tests.preloaded.library import suite_clock

from hk_tick_collector.ops.live.status import STATUS_NAME, read_status

from .conftest import PROGRAM, wait_until

if TYPE_CHECKING:
    from .conftest import Collector, Start

SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "db_health_check.sh"
BURST: Final = 10_000  # ticks a second
CAP_S: Final = 300.0


def verb(collector: Collector, *args: str) -> Any:
    """The JSON document of a verb for this collector's data."""
    environ = {**os.environ, "DATA_ROOT": str(collector.data_root), "DISK_MIN_FREE_MB": "1"}
    command = [*PROGRAM, *args, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=CAP_S, check=False)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_snapshots_in_a_burst(start: Start) -> None:
    """Each has what was committed when it began, counted correctly; the writer meets no lock, nothing is dropped."""
    opend = start.simulate("--rate", str(BURST), "--wait")
    collector = start.run(opend.port)
    collector.wait_stored(20_000)
    known = 0
    for _ in range(3):
        collector.wait_stored(known + 1)
        before = collector.stored()
        taken = verb(collector, "snapshot")
        assert before <= taken["rows"] <= collector.stored()
        assert taken["rows"] > known
        known = taken["rows"]
        with_sum = ["sha256sum", "--check", "--strict", Path(taken["sha256_file"]).name]
        subprocess.run(with_sum, cwd=collector.data_root, capture_output=True, check=True)
    db = apsw.Connection(taken["file"], flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("SELECT count(*) FROM ticks").get == known
    assert db.execute("SELECT stored FROM ledger").get == known
    db.close()
    assert [day["snapshot"] for day in verb(collector, "report")["days"]] == ["behind"]
    assert collector.stop() == 0
    for trouble in ("sqlite_busy_backoff", "persist_failed", "ticks_dropped", "WATCHDOG persistent_stall"):
        assert not collector.events(trouble)
    assert collector.shutdown()["left_rows"] == "0"


def test_the_health_check_of_a_collector_at_work(start: Start) -> None:
    """It finds a running collector, a balanced account and a recent commit; after a stop it reports the stop."""
    opend = start.simulate("--rate", "1000", "--wait")
    collector = start.run(opend.port)
    collector.wait_stored(500)
    day = next(collector.data_root.glob("[0-9]" * 8 + ".db"))

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(SCRIPT), str(day)],
            env={"PATH": os.defpath, "DISK_MIN_FREE_MB": "1", **suite_clock()},
            capture_output=True,
            text=True,
            timeout=CAP_S,
            check=False,
        )

    wait_until(lambda: check().returncode == 0, lambda: check().stdout)  # on a full machine the live state may be old
    done = check()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    verdict, *lines = done.stdout.splitlines()
    assert verdict.startswith("OK: ")
    assert verdict.endswith(" ticks of 3 symbols, collecting, nothing to do")
    figures = {line[:12].strip(): line[12:] for line in lines}
    assert figures["file"].endswith(", being written")
    assert int(figures["last commit"].split()[0]) <= CAP_S
    assert collector.stop() == 0
    done = check()
    assert done.returncode == 2
    assert f"no collector runs on {collector.data_root}" in done.stdout.splitlines()[0]


def test_no_file_is_expected_of_a_saturday_that_follows_a_friday(start: Start) -> None:
    """A collector running since Friday knows it; a user without a file on a holiday gets that explanation."""
    opend = start.simulate(
        "--day", "20261120", "--at", "23:59:50", "--wait"
    )  # the day is not over before it is connected
    collector = start.run(opend.port)

    def expected() -> bool | None:
        found = read_status(collector.data_root / STATUS_NAME)
        return found.day_expected if found and found.connected and found.newest_day == "20261120" else None

    wait_until(lambda: expected() is True, "the file of Friday is expected")
    wait_until(lambda: expected() is False, "no file of Saturday is")
    assert collector.stop() == 0


def test_a_bad_symbol_line_affects_only_itself_and_is_reported_until_it_is_corrected(
    start: Start, tmp_path: Path
) -> None:
    """The good symbols of the file are collected; the log, `status` and its remedy name the bad line."""
    symbols = tmp_path / "hk.txt"
    symbols.write_text("HK.00700\nhk.00981\nHK.09988\n")
    opend = start.simulate("--rate", "200", "--wait", symbols="HK.00700,HK.09988")
    collector = start.run(opend.port, {"FUTU_SYMBOLS": f"@{symbols}"})
    collector.wait_stored(200)
    (line,) = collector.events("setting")
    assert f"{symbols}:2: 'hk.00981' is not a valid symbol; did you mean HK.00981?" in line.fields["detail"]
    document = verb(collector, "status")
    (finding,) = [found for found in document["findings"] if found["code"] == "bad_symbols"]
    assert f"{symbols}:2" in finding["text"]
    assert "the other 2 symbols are collected" in finding["text"]
    assert finding["remedy"] == "sudo hk-tick-collector config --check"
    assert collector.stop() == 0
    assert {tick.symbol for tick in collector.ticks()} == {"HK.00700", "HK.09988"}
