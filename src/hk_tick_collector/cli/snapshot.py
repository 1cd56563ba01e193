"""The verb `snapshot`: an online copy of a day, checked, with its SHA-256."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError
from hk_tick_collector.store.query import path_of
from hk_tick_collector.store.snapshot import sum_path, take

from ._missing import newest_when_closed, no_file
from ._options import AsJson, Day, EnvFile, day_named, settings_in_force, today
from ._patience import demand_readable, demand_writable
from ._progress import Watch
from ._show import show, show_json, warn

if TYPE_CHECKING:
    from hk_tick_collector.config import Settings
    from hk_tick_collector.store.snapshot import Snapshot


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
    watch = Watch("no copy was left", gives_way_after="copy")
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
    newest = f" up to {market.clock_text(taken.newest_ts_ms)}" if taken.newest_ts_ms else ""
    size = f"{taken.size_bytes / 2**20:,.1f} MB, checked, in {took_s:.1f} s"
    return f"{taken.path}: {taken.rows:,} ticks of {taken.symbols:,} symbols{newest}, {size}"
