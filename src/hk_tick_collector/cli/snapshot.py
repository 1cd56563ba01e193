"""The verb `snapshot`: an online copy of a day, checked, with its SHA-256."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.signals import give_back
from hk_tick_collector.store.query import path_of
from hk_tick_collector.store.snapshot import sum_path, take

from ._missing import newest_when_closed, no_file
from ._options import AsJson, Day, EnvFile, day_named, settings_in_force, today
from ._patience import demand_readable, demand_writable
from ._show import complain, redraw, show, show_json, warn
from ._terminal import can_redraw

if TYPE_CHECKING:
    from types import FrameType

    from hk_tick_collector.config import Settings
    from hk_tick_collector.store.snapshot import Snapshot

_BAR: Final = 30
_NICE: Final = 10


def snapshot(
    day: Day = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="directory for the copy; default: SNAPSHOT_DIR")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Copies a day while the collector writes it, and checks the copy: YYYYMMDD.snapshot.db and its .sha256.

    The copy has the data of one moment in one plain file; an incomplete copy never appears. The collector does not
    stop. An older snapshot of the day is replaced, unless it has more ticks. If today is not a trading day, the newest
    day is copied.

    Exit code 0 taken, 1 not taken, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector snapshot
      hk-tick-collector snapshot --day 20261120 --to /backup
    """
    settings = settings_in_force(env_file)
    name = day_named(day)
    if day is None and (newest := newest_when_closed(settings.data_root)):
        warn(f"{name} is not a trading day: this is a snapshot of {newest}")
        name = newest
    source, directory = path_of(settings.data_root, name), to or settings.snapshot_dir
    began_s = time.monotonic()
    watch = _Watch()
    try:
        if name > today():
            raise no_file(settings.data_root, name)
        demand_readable(source)
        demand_writable(directory)
        taken = take(source, directory, keep_free_bytes=_keep_free_bytes(settings, directory), progress=watch.show)
    except NoDayError:
        raise no_file(settings.data_root, name) from None
    finally:
        watch.clear()
    took_s = time.monotonic() - began_s
    if as_json:
        show_json(_document(name, taken, took_s))
    else:
        show(_line(taken, took_s))
        show(f"SHA-256 {taken.sha256}; after copying it: sha256sum -c {sum_path(taken.path).name}")


def _keep_free_bytes(settings: Settings, directory: Path) -> int:
    """The space to keep free on the collector's own disk, so that `status` does not become critical."""
    try:
        same_disk = directory.stat().st_dev == settings.data_root.stat().st_dev
    except OSError:
        return 0  # `take` reports what is wrong with the directory
    return settings.disk_min_free_mb * 2**20 // 4 if same_disk else 0


def _document(day: str, taken: Snapshot, took_s: float) -> dict[str, object]:
    return {
        "day": day,
        "file": str(taken.path),
        "bytes": taken.size_bytes,
        "sha256": taken.sha256,
        "sha256_file": str(sum_path(taken.path)),
        "symbols": taken.symbols,
        "rows": taken.rows,
        "newest_ts_ms": taken.newest_ts_ms,
        "replaced": taken.replaced,
        "seconds": round(took_s, 3),
    }


def _line(taken: Snapshot, took_s: float) -> str:
    newest = f" up to {market.hkt(taken.newest_ts_ms):%H:%M:%S} HKT" if taken.newest_ts_ms else ""
    size = f"{taken.size_bytes / 2**20:,.1f} MB, checked, in {took_s:.1f} s"
    return f"{taken.path}: {taken.rows:,} ticks of {taken.symbols:,} symbols{newest}, {size}"


class _Watch:
    """Shows progress: a bar on a terminal. Also handles signals, which may end the copy between two of its steps."""

    def __init__(self) -> None:
        self._draws = can_redraw(sys.stderr)
        self._drawn = False
        self._gives_way = False
        self._signal: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup makes the process ignore it
                signal.signal(number, self._note)

    def show(self, what: str, done: int, total: int) -> None:
        """Called between two steps: ends the process after a signal, leaving no partial file; else draws the bar."""
        if self._signal is not None:
            self.clear()
            complain(f"hk-tick-collector: ended by {self._signal.name}, no copy was left")
            raise SystemExit(128 + self._signal)
        if what != "copy" and not self._gives_way:
            self._gives_way = True
            os.nice(_NICE)  # the day file is no longer read, so the collector does not wait for this process
        if not self._draws:
            return
        full = _BAR * done // total if total else _BAR
        figures = f"{done // 2**20:,} of {total // 2**20:,} MB"
        redraw(f"{what:6}[{'#' * full}{'.' * (_BAR - full)}] {figures}", sys.stderr)
        self._drawn = True

    def clear(self) -> None:
        """Clears the bar's line for the next output."""
        if self._drawn:
            redraw("", sys.stderr)
            self._drawn = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        give_back([self._signal], signal.SIG_DFL)  # a second signal ends the process at once
