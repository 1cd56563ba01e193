"""The incidents: what goes wrong, the finding that names it, and the cause in words for the key.

To add one: a function that makes it, inside a scene in which nothing runs yet, and its line in INCIDENTS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw

from hk_tick_collector import clock, market
from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .scene import Scene

_DISK_MB: Final = 24
_REPORT: Final = """
import sqlite3, sys, time
sqlite3.connect(sys.argv[1], timeout=60).execute("BEGIN IMMEDIATE")
time.sleep(3600)
"""
_FOREIGN: Final = "CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO orders VALUES (1, 'x')"


class Incident(NamedTuple):
    """One kind of incident."""

    name: str
    finding: str  # the code of the finding that must be the first
    cause: str
    make: Callable[[Scene], None]
    disk: Callable[[Path], AbstractContextManager[Path]] = nullcontext


def _opend_away(scene: Scene) -> None:
    scene.collect()
    scene.opend.kill()


def _disk_full(scene: Scene) -> None:
    scene.collect(settings={"SPOOL_DIR": str(scene.data_root / "spool")})
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={scene.data_root / 'backup.tar'}", "bs=64K"], stderr=subprocess.DEVNULL, check=False
    )


def _pushes_stopped(scene: Scene) -> None:
    scene.collect()
    scene.tell("stop-pushes HK.00700,HK.09988")


def _locked(scene: Scene) -> None:
    scene.collect()
    day = next(scene.data_root.glob("[0-9]*.db"))
    script = scene.directory / "report.py"
    script.write_text(_REPORT, "utf-8")
    scene.program("report", [sys.executable, str(script), str(day)])
    scene.wait(lambda live: live.writer_trouble == "busy", "the writer waits for the lock")


def _clock_off(scene: Scene) -> None:
    scene.collect()
    scene.tell("clock +1h")


def _gap_lost(scene: Scene) -> None:
    scene.collect()
    scene.tell("away for 20s")
    scene.wait(lambda live: live.ticks_lost_lately > 0, "ticks are lost")


def _quota(scene: Scene) -> None:
    scene.start_opend("--quota", "5")
    scene.start_collector()


def _not_logged_in(scene: Scene) -> None:
    scene.collect()
    scene.tell("not-logged-in")


def _foreign_file(scene: Scene) -> None:
    day = market.day_name(market.day_number(clock.now_ms()))
    db = apsw.Connection(str(scene.data_root / f"{day}.db"))
    db.execute(_FOREIGN)
    db.close()
    scene.start_opend()
    scene.start_collector()


@contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=0750", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise CollectorError("a small disk can only be mounted by root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


INCIDENTS: Final = (
    Incident("opend_away", "opend_away", "OpenD has ended: connections are refused", _opend_away),
    Incident("disk_full", "writer_disk_full", "another file has filled the disk of DATA_ROOT", _disk_full, _small_disk),
    Incident("pushes_stopped", "pushes_stopped", "OpenD pushes no ticks of two symbols any more", _pushes_stopped),
    Incident("locked", "writer_busy", "another program holds the write lock of the day file", _locked),
    Incident("clock_off", "clock_drift", "the clocks of this host and of OpenD differ by an hour", _clock_off),
    Incident("gap_lost", "gaps_lost", "OpenD was away for longer than it keeps ticks: some are lost", _gap_lost),
    Incident(
        "quota", "symbols_refused", "the account's quota is too small: three of eight symbols are refused", _quota
    ),
    Incident("not_logged_in", "opend_not_ready", "OpenD has lost its login to the quote servers", _not_logged_in),
    Incident("foreign_file", "day_held", "today's day file is another program's database", _foreign_file),
)
