"""The verb `demo`: runs `simulate` and `run` as processes and shows a live view of the files they write.

The view uses only what any other program could use: the live state and the day file.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.store.query import DayReader, path_of

from ._demo_data import DEFAULT_NAME, begin
from ._demo_view import DemoView, Frame
from ._show import show

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA_ROOT: Final = Path(DEFAULT_NAME)
_START_S: Final = 30.0
_STOP_S: Final = 30.0
_LISTENING: Final = re.compile(r" simulator_listening .*\bport=(\d+)")
_STOPPED: Final = re.compile(r" simulator_stopped ticks=(\d+) pushes=(\d+)")


def demo(
    symbols: Annotated[int, typer.Option(min=1, max=2000, help="Number of symbols of the simulated market.")] = 100,
    rate: Annotated[float, typer.Option(min=0.1, help="Mean number of ticks per second over all symbols.")] = 500.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this many seconds.")] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the day file.")] = _DATA_ROOT,
) -> int:
    """Runs a simulated OpenD and the collector, with a live view; leaves a real day file. Ctrl-C ends it.

    Each demo starts a new day file: the files of an earlier demo of today are moved to a directory beside it.

    Example: hk-tick-collector demo --seconds 30
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup makes a process ignore SIGHUP; keep that
            signal.signal(number, lambda *_: stop.set())
    root = data.absolute()
    if earlier := begin(root):
        show(f"The files of an earlier demo of today are now in {earlier}; this demo starts a new day file.")
    with tempfile.TemporaryDirectory(prefix="hk-tick-demo-") as scratch:
        simulator_log, collector_log = Path(scratch, "simulate.log"), Path(scratch, "run.log")
        symbols_file = Path(scratch, "symbols")
        arguments = ["--port", "0", "--symbols", str(symbols), "--rate", str(rate), "--wait"]
        with (
            _process("simulate", [*arguments, "--write-symbols", str(symbols_file)], {}, simulator_log) as simulator,
        ):
            port = _wait_for_port(simulator, simulator_log, stop)
            settings = {"FUTU_PORT": str(port), "FUTU_SYMBOLS": f"@{symbols_file}", "DATA_ROOT": str(root)}
            settings["METRICS_ADDR"] = ""  # the default port belongs to the installed service
            with _process("run", ["--env-file", os.devnull], settings, collector_log) as collector:
                show(f"OpenD is simulated on 127.0.0.1:{port}; the collector writes to {root}. Ctrl-C ends it.")
                live = _watch(root, stop, seconds, (simulator, collector), (simulator_log, collector_log))
                _end(simulator)
                live = _wait_until_drained(root, live)
                _end(collector)
        return _show_totals(root, live, simulator_log)


@contextmanager
def _process(
    verb: str, arguments: list[str], settings: dict[str, str], log_file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """One of our verbs as a process, which is ended when the block ends.

    The process has a session of its own: Ctrl-C in the terminal reaches only this process, which then ends the others
    in order.
    """
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "hk_tick_collector", verb, *arguments],
            env={**environment_without_settings(), **settings},  # the demo uses the defaults
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(simulator: subprocess.Popen[bytes], log_file: Path, stop: threading.Event) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not stop.wait(0.05):
        if match := _LISTENING.search(_text(log_file)):
            return int(match[1])
        if simulator.poll() is not None:
            break
    raise CollectorError(f"the simulator did not start: {_last_line(log_file)}")


def _watch(
    root: Path,
    stop: threading.Event,
    seconds: float | None,
    processes: tuple[subprocess.Popen[bytes], ...],
    logs: tuple[Path, ...],
) -> LiveStatus | None:
    """Redraws every second until told to stop; returns the last live state."""
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    live: LiveStatus | None = None
    with DemoView() as view:
        while time.monotonic() < end_s and not stop.wait(min(1.0, max(0.0, end_s - time.monotonic()))):
            for process, log_file in zip(processes, logs, strict=True):
                if process.poll() is not None:
                    raise CollectorError(f"a part of the demo ended: {_last_line(log_file)}")
            live = read_status(root / STATUS_NAME)
            if live and live.pid == processes[1].pid:
                view.update(_frame(root, live))
    return live


def _frame(root: Path, live: LiveStatus) -> Frame:
    path = path_of(root, live.newest_day)
    if not live.newest_day or not path.exists():
        return Frame(live, None, [], [], 0)
    with DayReader(path) as reader:
        return Frame(live, reader.totals(), reader.symbols(), reader.latest(8), path.stat().st_size)


def _wait_until_drained(root: Path, live: LiveStatus | None) -> LiveStatus | None:
    """Waits until the ticks of the simulator, which has ended, are stored."""
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline:
        before, live = live, read_status(root / STATUS_NAME)
        if before and live and not live.waiting and not live.connected and before.received == live.received:
            break
        time.sleep(0.5)
    return live


def _show_totals(root: Path, live: LiveStatus | None, simulator_log: Path) -> int:
    made = _STOPPED.search(_text(simulator_log))
    if live is None or not live.newest_day or made is None:
        raise CollectorError("the demo ended before a tick was stored", hint="try again, with --seconds 30")
    path = path_of(root, live.newest_day)
    with DayReader(path) as reader:
        totals = reader.totals()
    show()
    show(
        f"simulated ticks pushed {int(made[2]):,}, received {live.received:,} = {live.stored:,} stored"
        f" + {live.duplicate:,} duplicate + {live.rejected:,} rejected + {live.dropped:,} dropped"
    )
    show(f"{_shown(path)}: {totals.rows:,} ticks of {totals.symbols} symbols, {path.stat().st_size / 2**20:,.1f} MB")
    show("try:")
    sql = "SELECT symbol, COUNT(*) AS rows, MAX(seq) AS max_seq FROM ticks GROUP BY symbol ORDER BY rows DESC LIMIT 5;"
    show(f"  sqlite3 -header {shlex.quote(f'file:{_shown(path)}?mode=ro')} \\")
    show(f'    "{sql}"')
    return 0


def _shown(path: Path) -> str:
    """The path as the user would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _text(log_file: Path) -> str:
    return log_file.read_text("utf-8", errors="backslashreplace")


def _last_line(log_file: Path) -> str:
    lines = _text(log_file).strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
