"""`top` on a terminal of the test's own, on a day file and a live state that the test writes."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.live_state import leave_live_state
from tests.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import DayFile
    from tests.nursery import Forked, Nursery

    from hk_tick_collector.model import TickRow

DAY = "20261120"


class Service:
    """A `status.json` that is replaced four times a second, as by a service."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._told: dict[str, Any] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)

    def tell(self, **values: Any) -> None:
        """Reports these values from now on. `age_s`: as a service that stopped reporting so long ago."""
        with self._lock:
            self._told = values
            self._write()
        if not self._thread.is_alive():
            self._thread.start()

    def end(self) -> None:
        """Reports no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _write(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        told = {name: value for name, value in self._told.items() if name != "age_s"}
        usual = {
            "pid": os.getpid(),
            "state": "running",
            "connected": True,
            "symbols": 1,
            "subscribed": 1,
            "max_queue_rows": 1_000_000,
        }
        usual |= {"started_ms": now_ms - 60_000, "written_ms": now_ms - self._told.get("age_s", 0) * 1000}
        leave_live_state(self._root, **{**usual, "newest_day": DAY, **told})

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            with self._lock:
                self._write()


@pytest.fixture
def service(workdir: Path) -> Iterator[Service]:
    """A service that reports nothing until it is told what."""
    (workdir / "HK").mkdir()
    (workdir / ".env").write_text(f"DATA_ROOT={workdir / 'HK'}\nFUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\nMETRICS_ADDR=\n")
    service = Service(workdir / "HK")
    yield service
    service.end()


@pytest.fixture
def day(service: Service, workdir: Path, make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> DayFile:
    """A day file with three symbols, whose counters are large."""
    day = make_day(DAY, workdir / "HK")
    day.add([tick(symbol, n) for symbol in ("HK.00005", "HK.00700", "HK.00981") for n in range(1, 40)])
    day.execute(
        "UPDATE symbols SET rows = 98765432, expected = 98765433, turnover = 987654321098.5 WHERE symbol = 'HK.00700'"
    )
    return day


@pytest.fixture
def top(workdir: Path, nursery: Nursery) -> Iterator[Callable[..., tuple[Screen, Forked]]]:
    """Starts `top`, or another verb, on a screen of this size; ends it with the test."""
    started: list[tuple[Screen, Forked]] = []

    def start(width: int = 80, height: int = 24, *args: str, **environ: str) -> tuple[Screen, Forked]:
        screen = Screen(width, height)
        files = (screen.follower,) * 3
        variables = {**os.environ, "TERM": "xterm", "NO_COLOR": "", **environ}
        started.append((screen, nursery.fork(list(args or ("top",)), workdir, files, variables)))
        return started[-1]

    yield start
    for screen, process in started:
        screen.close()
        process.kill()
        process.wait(60)
