"""`import`: imports day files of the predecessor."""

from __future__ import annotations

import sys
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import __version__
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.loading.imported_gaps import missing_of
from hk_tick_collector.errors import CollectorError, OwnedError, StoreError, UsageError
from hk_tick_collector.store import foreign, predecessor
from hk_tick_collector.store.importing import clear_drafts, hand_over, import_day
from hk_tick_collector.store.predecessor import OursError, Source
from hk_tick_collector.store.query import list_days, path_of

from ._options import EnvFile, settings_in_force
from ._show import complain, redraw, show
from ._terminal import can_redraw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.store.importing import Imported
    from hk_tick_collector.store.locks import Holder

_WORDS: Final = {
    predecessor.WITHOUT_SEQ: "without a sequence, in the table ticks_without_seq",
    predecessor.CONFLICT: "contradict a tick of the same sequence",
    predecessor.OTHER_DAY: "of another day",
    predecessor.INCOMPLETE: "without price, volume or turnover",
    predecessor.ODD_TYPE: "with values of another type",
    predecessor.TIME_IN_DOUBT: "with a doubtful time",
}
_AT_WORK: Final = (
    "the running collector (process {}) adds it to {} by itself, and removes .not-imported when it is done"
)
_SHOW_EVERY_S: Final = 0.1
_ENDING_S: Final = 2.0


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="a day file of the predecessor, or a directory")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DATA_ROOT", help="directory of the new day file; default: DATA_ROOT")
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Imports day files of the predecessor: writes a new file and checks it row by row; the old file is kept.

    The predecessor is another collector with the same paths and file names. Its ticks go to YYYYMMDD.db. If its file
    has that name, it is renamed to YYYYMMDD.db.predecessor-TIME; it is never deleted. Rows without a sequence go to the
    table ticks_without_seq, other rows that are not valid ticks to rows_not_imported with the cause; both are counted.
    If a day file of ours exists, ticks are added to it and its own ticks are kept. For a directory, every day file of
    the predecessor in it is imported. The collector may run meanwhile.

    Exit code 0 if every file is imported or was imported before; otherwise 1, and a file that failed is unchanged.

    \b
    Examples:
      sudo hk-tick-collector import /data/sqlite/HK
      sudo hk-tick-collector import /backup/20261118.db /backup/20261119.db
      hk-tick-collector import 20261118.db --to ./data
    """
    settings = settings_in_force(env_file)
    if to is None and settings.data_root == settings.merge_root:
        raise UsageError(
            f"DATA_ROOT={settings.data_root} is MERGE_ROOT: only merge writes there",
            hint="name another directory with --to",
        )
    data_root = to.absolute() if to else settings.data_root
    if not data_root.is_dir():
        option = "--to" if to else "DATA_ROOT"
        raise UsageError(
            f"{option} {data_root} is not a directory",
            hint=f"mkdir -p {quote_word(str(data_root))}, or name another directory",
        )
    keep_free = settings.disk_min_free_mb * 2**20 if not to else 0
    clear_drafts(data_root)
    failed = 0
    for path in _named(files):
        try:
            show(_import(path, data_root, keep_free), flush=True)
        except CollectorError as error:
            failed += 1
            complain(f"{path}: not imported: {error.one_line()}")
    return 1 if failed else 0


def _named(files: list[Path]) -> Iterator[Path]:
    """The files to import, each once: from a directory those of the predecessor, oldest day first."""
    seen: set[Path] = set()
    for named in files:
        for path in _in_directory(named.absolute()) if named.is_dir() else [_moved(named.absolute())]:
            if path not in seen:
                seen.add(path)
                yield path


def _in_directory(directory: Path) -> list[Path]:
    found = []
    for path in [path_of(directory, day) for day in list_days(directory)] + foreign.list_waiting(directory):
        try:
            with Source(path):
                found.append(path)
        except OursError:
            continue
        except StoreError:
            found.append(path)  # its import reports the error
    if not found:
        show(f"{directory}: no day file of the predecessor is left to import")
    return sorted(found, key=lambda path: path.name)


def _moved(path: Path) -> Path:
    """The file itself, or its new path if an interrupted import or the collector has renamed it."""
    if path.exists():
        return path
    waiting = (
        [kept for kept in foreign.list_waiting(path.parent) if kept.name.startswith(f"{path.name}.")]
        if (path.parent.is_dir())
        else []
    )
    return waiting[-1] if waiting else path


def _import(path: Path, data_root: Path, keep_free: int) -> str:
    """Imports one file; returns the line to print."""
    holder = _holder_after_a_while(path)
    if holder and holder.is_collector and foreign.is_kept(path):
        return f"{path}: {_AT_WORK.format(holder.pid, path_of(data_root, path.name[:8]))}: nothing to do"
    if holder and not holder.is_collector:
        raise StoreError(
            f"it is open in {holder.words()}, perhaps the predecessor itself",
            hint=f"{holder.end_command(path)}; {foreign.import_command(path)}",
        )
    bar = _Bar(path.name)
    started_s = time.monotonic()
    try:
        with Source(path) as source:
            source.check()
            try:
                result, kept = import_day(
                    source,
                    data_root,
                    now_ms=now_ms(),
                    version=__version__,
                    judge=missing_of,
                    progress=bar.show,
                    keep_free=keep_free,
                )
            except OwnedError:
                kept = hand_over(source, data_root, now_ms())
                return (
                    f"{path}: given to the running collector, which adds it to {path_of(data_root, source.day())}"
                    f" and removes .not-imported from {kept.name} when it is done"
                )
    except OursError as error:
        return f"{path}: nothing to do: {error}"
    finally:
        bar.clear()
    return _line(path, path_of(data_root, result.day), kept, result, time.monotonic() - started_s)


def _holder_after_a_while(path: Path) -> Holder | None:
    """The process that has a file open. One that was told to end may need a moment to close it."""
    until_s = time.monotonic() + _ENDING_S
    while (holder := foreign.opener(path)) and not holder.is_collector and time.monotonic() < until_s:
        time.sleep(_SHOW_EVERY_S)
    return holder


def _line(path: Path, target: Path, kept: Path, result: Imported, took_s: float) -> str:
    verb = "added" if result.merged else "imported"
    parts = [f"{result.stored:,} of {result.rows:,} rows {verb} to {target}, checked row by row in {took_s:.1f} s"]
    if result.duplicate:
        parts.append(f"{result.duplicate:,} are duplicates of stored ticks")
    parts += [f"{rows:,} {_WORDS.get(cause, cause)}" for cause, rows in sorted(result.beside.items())]
    if any(cause != predecessor.WITHOUT_SEQ for cause in result.beside):
        parts.append("rows that are not valid ticks are in the table rows_not_imported")
    if result.shifted:
        parts.append(f"{result.shifted:,} had a time eight hours off, shown by their own sequence: corrected")
    if result.without_recv:
        parts.append(f"{result.without_recv:,} without recv_ts_ms: inserted_at_ms is used instead")
    if result.gaps:
        parts.append(f"{result.gaps:,} gaps, {result.missing:,} ticks missing")
    where = f"the old file is {kept}" if kept != path else "the old file stays where it is"
    return f"{path.name}: {'; '.join(parts)}; {where}"


class _Bar:
    """The progress of one file, on a terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._draws = can_redraw(sys.stderr)
        self._drawn = False
        self._next_s = 0.0

    def show(self, done: int, total: int) -> None:
        """Redraws it from time to time."""
        if self._draws and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _SHOW_EVERY_S
            redraw(f"{self._name}: {done:,} of {total:,} rows", sys.stderr)
            self._drawn = True

    def clear(self) -> None:
        """Clears the line for the next output."""
        if self._drawn:
            redraw("", sys.stderr)
            self._drawn = False
