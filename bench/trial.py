"""One running collector: its sender, its data, and what can be seen of it from outside.

Input: prepared parts. Output: the times and figures of the run. A run counts only if every row that was sent is in the
file, field by field, and the ledger agrees; otherwise `verify` raises BrokenRunError.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from hk_tick_collector import market
from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.store.dayfile import DayFile, StoreOptions

from .stream import write_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .stream import Part

ROOT: Final = Path(__file__).parent.parent
BUSY_TIMEOUT_S: Final = 30.0
_LOG_LINES: Final = 10
_CAP_S: Final = 180.0  # only prevents a broken run from hanging
_SETTLE_S: Final = 2.0  # the collector requests every symbol's ticks once after its subscription
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class BrokenRunError(Exception):
    """A run whose figures mean nothing."""


class Seen(NamedTuple):
    """The ledger of this run as any reader of the file sees it."""

    stored: int
    waiting: int


class Trial:
    """Inside the block both processes run and are subscribed; after it both have ended.

    `data` may have a day file already; its rows are not counted.
    """

    def __init__(
        self, scratch: Path, symbols: Sequence[str], parts: Sequence[Part], settings: Mapping[str, str] | None = None
    ) -> None:
        self.data = scratch / "data"
        self._scratch = scratch
        self._symbols = symbols
        self._parts = parts
        self._settings = settings or {}
        self._stack = ExitStack()
        self._told = 0
        self.start_s = 0.0  # from the collector's start to its last subscription

    def __enter__(self) -> Self:
        self.data.mkdir(exist_ok=True)
        write_stream(self._scratch, self._symbols, self._parts)
        with ExitStack() as stack:
            self._sender = stack.enter_context(process(["bench.sender", str(self._scratch)], {}, self._log("sender")))
            port = self._step("listening")["port"]
            settings = {
                "FUTU_PORT": port,
                "FUTU_SYMBOLS": f"@{self._scratch / 'symbols'}",
                "DATA_ROOT": str(self.data),
                "METRICS_ADDR": "127.0.0.1:0",
                **self._settings,
            }
            self.settings = settings
            if not self.path.exists():  # before the first tick the collector creates it only on weekdays
                DayFile(
                    self.path, self.path.stem, "bench", time.time_ns() // 1_000_000, "bench", StoreOptions()
                ).close()
            begun_s = time.monotonic()
            command = ["hk_tick_collector", "run", "--env-file", os.devnull]
            self._collector = stack.enter_context(process(command, settings, self._log("run")))
            self.start_s = float(self._step("subscribed")["at_s"]) - begun_s
            self._ledger = stack.enter_context(closing(read_only(self.path)))
            time.sleep(_SETTLE_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def path(self) -> Path:
        """Today's file."""
        return self.data / f"{market.day_name(market.day_number(time.time_ns() // 1_000_000))}.db"

    @property
    def pid(self) -> int:
        """The collector's process."""
        return self._collector.pid

    def go(self) -> float:
        """Starts the next part; returns the time of its first byte, of the monotonic clock."""
        self._told += 1
        self._sender.send_signal(signal.SIGUSR1)
        return float(self._step("begun", self._told)["at_s"])

    def sent(self) -> dict[str, str]:
        """Waits until the part is written; its `at_s` and the sender's `cpu_s`."""
        return self._step("sent", self._told)

    def seen(self) -> Seen:
        """The rows committed now."""
        row = self._ledger.execute("SELECT stored, waiting FROM ledger ORDER BY started_ms DESC LIMIT 1").fetchone()
        return Seen(*row) if row else Seen(0, 0)

    def until(self, condition: Callable[[Seen], bool], every_s: float = 0.01) -> Iterator[Seen]:
        """Polls the committed rows until the condition holds; raises if that takes too long."""
        end_s = time.monotonic() + _CAP_S
        while True:
            seen = self.seen()
            yield seen
            if condition(seen):
                return
            if time.monotonic() > end_s or self._collector.poll() is not None:
                raise self._broken(f"the collector did not reach the expected state: {seen}")
            time.sleep(every_s)

    def until_stored(self, rows: int, every_s: float = 0.01) -> Iterator[Seen]:
        """The same, until this many rows are committed."""
        return self.until(lambda seen: seen.stored >= rows, every_s)

    def wait_stored(self, rows: int) -> float:
        """Waits until this many rows are committed; returns that time."""
        for _ in self.until_stored(rows):
            pass
        return time.monotonic()

    def verify(self, parts: Sequence[Part]) -> list[int]:
        """Stops the collector and compares its file with what was sent; returns the rows' receive times, sorted."""
        stop(self._collector)
        sent = sorted(row[:9] for part in parts for row in part.rows)
        symbols = {row[0] for row in sent}
        with closing(read_only(self.path)) as db:
            rows = [row for row in db.execute("SELECT * FROM ticks ORDER BY symbol, seq") if row[0] in symbols]
            ledger = db.execute(
                "SELECT stored, duplicate + rejected + dropped + waiting FROM ledger ORDER BY started_ms DESC LIMIT 1"
            ).fetchone()
        if [row[:9] for row in rows] != sent or ledger != (len(sent), 0):
            raise self._broken(f"{len(sent)} ticks sent, {len(rows)} stored, ledger {ledger}: the run does not count")
        return sorted(row[9] for row in rows)

    def _broken(self, why: str) -> BrokenRunError:
        """The error, with the last lines of both logs: the directory will be deleted."""
        logs = [path.read_text(errors="replace").splitlines() for path in (self._log("sender"), self._log("run"))]
        return BrokenRunError("\n".join([why, *logs[0][-_LOG_LINES:], *logs[1][-_LOG_LINES:]]))

    def _log(self, name: str) -> Path:
        return self._scratch / f"{name}.log"

    def _step(self, step: str, number: int = 1) -> dict[str, str]:
        """What the sender prints when it takes a step for the n-th time."""
        end_s = time.monotonic() + _CAP_S
        while True:
            lines = [line for line in self._log("sender").read_text().splitlines() if line.startswith(step + " ")]
            if len(lines) >= number and lines[number - 1].count("at_s="):
                return dict(re.findall(r"(\w+)=(\S+)", lines[number - 1]))
            if time.monotonic() > end_s or self._sender.poll() is not None:
                raise self._broken(f"the sender did not report {step}")
            time.sleep(0.005)


@contextmanager
def process(command: Sequence[str], settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m` with these arguments, as a process that ends with the block."""
    environment = {**environment_without_settings(), **settings}
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
        )
    try:
        yield running
    finally:
        stop(running)


def stop(running: subprocess.Popen[bytes]) -> None:
    """Ends a process with SIGTERM, or with SIGKILL if it does not end."""
    running.terminate()
    try:
        running.wait(60)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def read_only(path: Path) -> sqlite3.Connection:
    """A reader like any other: the system's SQLite, without write permission."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)


def cpu_s(pid: int, *, main_thread: bool = False) -> float:
    """CPU time so far of a process, or of its main thread only (in the collector: the network's)."""
    fields = (
        Path(f"/proc/{pid}/task/{pid}/stat" if main_thread else f"/proc/{pid}/stat")
        .read_text()
        .rpartition(")")[2]
        .split()
    )
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_mb(pid: int, *, peak: bool) -> float:
    """Resident memory of a process now, or its peak, MB."""
    match = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) * 1024 / 1e6 if match else 0.0


def written_bytes(pid: int) -> int:
    """How many bytes a process has written to the disk so far."""
    match = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
