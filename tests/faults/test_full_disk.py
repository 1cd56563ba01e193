"""Row 3 for the whole service: the disk is full under load, then is not; the day file equals the truth."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.model import Tick
from hk_tick_collector.simulator.truth.truth import read_truth

from .days import CAP_S, verdict, wait_until
from .faulty_disk import Fault
from .run_on_faulty_disk import FaultyRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TICKS: Final = 20_000  # most of them come after the fault, also on a slow machine
RATE: Final = 2_000  # ticks per second


class Collected:
    """A simulated market and a collector on a faulty disk, each a process of its own."""

    def __init__(self, workdir: Path) -> None:
        self._simulate_log, self._run_log = workdir / "simulate.log", workdir / "run.log"
        self.truth = workdir / "truth.tsv"
        self.data_root = workdir / "data"
        self.data_root.mkdir()
        arguments = f"--port 0 --symbols 20 --rate {RATE} --total {TICKS} --wait --truth {self.truth}"
        arguments += f" --write-symbols {workdir / 'symbols'}"
        with self._simulate_log.open("wb") as stderr:
            self.simulate = subprocess.Popen(
                [sys.executable, "-m", "hk_tick_collector", "simulate", *arguments.split()],
                cwd=workdir,
                stderr=stderr,
                stdout=subprocess.DEVNULL,
            )
        self.wait_for(lambda: "simulator_listening" in self._simulate_log.read_text())
        port = re.search(r"simulator_listening .*port=(\d+)", self._simulate_log.read_text())
        assert port is not None
        settings = {
            "FUTU_PORT": port[1],
            "FUTU_SYMBOLS": f"@{workdir / 'symbols'}",
            "DATA_ROOT": str(self.data_root),
            "METRICS_ADDR": "",
        }
        self.run = FaultyRun(self._run_log, settings)

    @property
    def log(self) -> str:
        """The log of the collector so far."""
        return self._run_log.read_text()

    def status(self) -> dict[str, Any]:
        """The live state that the collector writes every second; empty before the first."""
        try:
            state: dict[str, Any] = json.loads((self.data_root / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return state

    def wait_for(self, condition: Any) -> None:
        """Waits for an event while both processes run."""
        assert self.simulate.poll() is None, self._simulate_log.read_text()
        wait_until(condition, lambda: f"{self.status()}\n{self.log}")

    def end(self) -> None:
        """Ends the processes that still run."""
        for process in (self.run.process, self.simulate):
            if process.poll() is None:
                process.kill()
            process.wait(CAP_S)
        self.run.close()


@pytest.fixture
def collected(workdir: Path) -> Iterator[Collected]:
    """A market that starts when the collector is subscribed."""
    both = Collected(workdir)
    yield both
    both.end()


def test_a_disk_that_is_full_for_a_while_loses_no_tick(collected: Collected) -> None:
    """`disk_full` in `status` and in the log while ticks wait in memory; then every tick is stored, exit code 0."""
    collected.wait_for(lambda: collected.status().get("stored", 0) > 0)
    full = collected.run.inject(Fault(operations=("write", "truncate"), error="ENOSPC"))
    collected.wait_for(lambda: collected.status()["writer_trouble"] == "disk_full")
    collected.wait_for(lambda: collected.status()["waiting"] >= 2 * RATE)  # two seconds of the market
    assert collected.run.hits(full) > 0
    collected.run.lift(full)
    collected.wait_for(lambda: collected.status()["stored"] == TICKS)
    collected.run.process.send_signal(signal.SIGTERM)
    assert collected.run.process.wait(CAP_S) == 0
    assert " cause=disk_full " in collected.log
    assert " writer_recovered " in collected.log
    assert " left_rows=0 " in collected.log.splitlines()[-1]
    assert "Traceback" not in collected.log
    made = sorted(read_truth(collected.truth))
    assert len(made) == TICKS
    stored = [row for path in sorted(collected.data_root.glob("*.db")) for row in verdict(path)]
    assert sorted(Tick._make(row)[:8] for row in stored) == made
