"""A sealed day of 5 million rows → verified, signed archive and back: time, CPU, memory, bytes; the check of a year.

CPU time is divided by that of SQLite's own scan of the same file in the same round, because it depends on the machine
and on what else runs there. The file's ticks repeat (bench/bigday.py), so the bytes of a row are measured with others.
The year is 250 signed certificates over hard links to one file of 37 MB: every byte is hashed 250 times.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow.parquet as pq

from hk_tick_collector import market
from hk_tick_collector.archive import layout, ticks
from hk_tick_collector.archive.certificate import HEAD, NONE, parse
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.archive.signers import place_helpers
from hk_tick_collector.archive.sshsig import SigningKey, make_key
from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.model import Tick
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions, seal

from .bigday import BigDay
from .report import Figure, Target
from .stream import Preparation
from .trial import BrokenRunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow


ROWS: Final = 5_000_000
_DAY: Final = "20261120"
_RUNS: Final = 3
_SYMBOLS: Final = 2000
_YEAR_DAYS: Final = 250
_DAY_BYTES: Final = 37_000_000
_BATCH_ROWS: Final = 10_000
_PART_ROWS: Final = 250_000  # made at once
_TRADING_S: Final = 19_800
_NEW: Final = ("opend_recv_ts", "type_sign")  # since schema 4
# A host with the extra `data` alone has none of these; the driver of the day files imports them where they are.
_ONLY_DATA: Final = """import sys
class Hidden:
    def find_spec(self, name, *_):
        if name in ("numpy", "pandas", "polars"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
from hk_tick_collector.cli import main
try:
    code = main(sys.argv[1:])
finally:
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)"""
_SCAN: Final = """import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
columns = [row[1] for row in db.execute("PRAGMA table_info(ticks)")]
db.execute("SELECT " + ", ".join(f"count({name})" for name in columns) + " FROM ticks").fetchall()"""


class Took(NamedTuple):
    """What one process took. `peak_mb` is NaN if it does not tell it."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(slots=True)
class Archiving:
    """The results; one value for each round."""

    rows: int
    archived: list[Took] = field(default_factory=list)
    scanned: list[Took] = field(default_factory=list)
    restored: list[Took] = field(default_factory=list)
    bytes_per_row: float = 0.0
    old_bytes_per_row: float = 0.0  # without the columns of schema 4
    year_s: float = 0.0


def measure(scratch: Path, rows: int, own_ticks: int) -> Archiving:
    """All of it. `own_ticks`: how many ticks that do not repeat the bytes of a row are measured with."""
    data = scratch / "data"
    data.mkdir()
    day = BigDay(data / f"{_DAY}.db", default_symbols(_SYMBOLS))
    day.fill(rows)
    _seal(day.path)
    found = Archiving(day.rows)
    for number in range(_RUNS):
        target = scratch / f"archive-{number}"
        target.mkdir()
        found.scanned.append(_took([sys.executable, "-c", _SCAN, str(day.path)], {}))
        command = [sys.executable, "-c", _ONLY_DATA, "archive", "--env-file", os.devnull, "--to", str(target)]
        settings = {"DATA_ROOT": str(data), "CERTIFICATE_KEY": str(scratch / f"key-{number}")}
        found.archived.append(_took(command, settings))
        found.restored.append(_restored(target, settings, scratch / f"restored-{number}", again=not number))
    found.bytes_per_row, found.old_bytes_per_row = _bytes_per_row(scratch, own_ticks)
    found.year_s = _year_s(scratch)
    return found


def figures(found: Archiving) -> list[Figure]:
    """One row each."""
    name = f"{found.rows / 1_000_000:.0f} M rows → verified, signed archive"
    back = f"restore {found.rows / 1_000_000:.0f} M rows; archived again, the same bytes"
    ratios = [one.cpu_s / other.cpu_s for one, other in zip(found.archived, found.scanned, strict=True)]
    return [
        Figure("archive", f"{name}: time", "s", [each.wall_s for each in found.archived], Target(7)),
        Figure("archive", f"{name}: CPU time", "s", [each.cpu_s for each in found.archived]),
        Figure("archive", f"{name}: CPU time ÷ SQLite's own scan", "ratio", ratios, Target(5.5)),
        Figure("archive", f"{name}: peak memory", "MB", [each.peak_mb for each in found.archived], Target(240)),
        Figure("archive", f"{back}: time", "s", [each.wall_s for each in found.restored], Target(15)),
        Figure("archive", f"{back}: CPU time", "s", [each.cpu_s for each in found.restored]),
        Figure("archive", "a row in Parquet", "bytes", [found.bytes_per_row], Target(7.5)),
        Figure(
            "archive", f"a row in Parquet without {' and '.join(_NEW)}", "bytes", [found.old_bytes_per_row], Target(7.5)
        ),
        Figure("archive", "verify.sh over a year of 250 days, 9 GB", "s", [found.year_s], Target(60)),
    ]


def _restored(archive: Path, settings: dict[str, str], to: Path, *, again: bool) -> Took:
    """Restores the day, and with `again` archives the restored file, which must give the same files."""
    to.mkdir()
    verb = [sys.executable, "-m", "hk_tick_collector"]
    no_file = ["--env-file", os.devnull]
    took = _took([*verb, "restore", _DAY, "--archive", str(archive), "--to", str(to), *no_file], settings)
    if again:
        second = to / "archive"
        second.mkdir()
        _took([*verb, "archive", "--to", str(second), *no_file], {**settings, "DATA_ROOT": str(to)})
        for pattern in ("ticks/*/*.parquet", "books/*.db"):
            (before,), (after,) = archive.glob(pattern), second.glob(pattern)
            if before.name != after.name or before.read_bytes() != after.read_bytes():
                raise BrokenRunError(f"{after} is not the file that was archived first")
    shutil.rmtree(to)
    return took


def _took(command: Sequence[str], settings: dict[str, str]) -> Took:
    environment = {**environment_without_settings(), **settings}
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait()
    process.stderr.close()
    wall_s = time.monotonic() - begun_s
    if process.returncode:
        raise BrokenRunError(f"{command} failed: {errors.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = errors.decode().splitlines()[-1:]  # ru_maxrss would count the memory of this process as well
    return Took(wall_s, cpu_s, int(last[0]) / 1024 if last and last[0].isdecimal() else nan)


def _seal(path: Path) -> None:
    sealed_ms = market.day_start_ms(market.parse_day(path.stem) + 1)
    if not seal(path, sealed_ms, StoreOptions()):
        raise BrokenRunError(f"{path} could not be sealed")


def _bytes_per_row(scratch: Path, rows: int) -> tuple[float, float]:
    """Of ticks that the simulated market makes, each of its own: times, prices and sizes do not repeat. With all
    columns, and without the two that came after the target was set.
    """
    path = scratch / f"{_DAY}.db"
    preparation = Preparation(default_symbols(_SYMBOLS), 1)
    start_ms = market.day_start_ms(market.parse_day(_DAY)) + 34_200_000
    later_ms = None
    with closing(DayFile(path, _DAY, "bench", start_ms, "bench", StoreOptions(synchronous="NORMAL"))) as file:
        for _ in range(0, rows, _PART_ROWS):
            made = preparation.part(min(rows, _PART_ROWS), rows / _TRADING_S).rows
            later_ms = start_ms - made[0][2] if later_ms is None else later_ms
            for at in range(0, len(made), _BATCH_ROWS):
                file.write(Batch(rows=[_at(row, later_ms) for row in made[at : at + _BATCH_ROWS]]), start_ms)
    target = scratch / "own.parquet"
    written = ticks.write(path, target, {}, rows, lambda *_: None)
    about = pq.read_metadata(target)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    new = sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in _NEW)
    size = target.stat().st_size
    return size / written.rows, (size - new) / written.rows


def _at(row: TickRow, later_ms: int) -> TickRow:
    """The tick at another time, with a sequence of that time and a delay of some milliseconds."""
    moved_ms = row[2] + later_ms
    seq = (moved_ms // 1000) << 32 | row[1] & 0xFFFFFFFF
    moved = Tick._make(row)._replace(seq=seq, ts_ms=moved_ms, recv_ts_ms=moved_ms + 2 + row[2] % 7)
    return moved._replace(opend_recv_ts_ms=moved_ms + 1 + row[2] % 5)


def _year_s(scratch: Path) -> float:
    """The time of `verify.sh` over a year of signed days."""
    root = scratch / "year"
    root.mkdir()
    make_key(scratch / "key", scratch)
    key, place = SigningKey(scratch / "key", "bench"), Directory(root)
    day_file, book = scratch / "day", scratch / "book"
    day_file.write_bytes(os.urandom(_DAY_BYTES))
    book.write_bytes(os.urandom(100_000))
    sums = [Directory(scratch).stored(path.name) for path in (day_file, book)]
    previous, before = NONE, NONE
    with place.hold() as workspace:
        place_helpers(place, workspace, key.public)
    for number in range(1, _YEAR_DAYS + 1):
        day = market.day_name(market.parse_day("20260101") + number)
        names = (layout.ticks_name(day, "0" * 64), layout.book_name(day))
        figures_ = {
            "day": layout.dashed(day), "verdict": "complete", "number": str(number), "previous": previous,
            "previous_day": before, "rows": "1", "content_sha256": "0" * 64, "day_file_sha256": "0" * 64,
        }  # fmt: skip
        lines = [HEAD, *(f"# {name}: {value}" for name, value in figures_.items())]
        lines += [f"{stored.sha256}  {name}" for stored, name in zip(sums, names, strict=True) if stored]
        certificate = parse("\n".join([*lines, ""]).encode(), day)
        for source, name in zip((day_file, book), names, strict=True):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).hardlink_to(source)
        path = root / layout.certificate_name(day)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(certificate.text)
        path.with_name(path.name + layout.SIGNATURE).write_bytes(key.sign(certificate.text))
        previous, before = certificate.sha256, layout.dashed(day)
    return _took(["sh", str(root / layout.VERIFY)], {}).wall_s
