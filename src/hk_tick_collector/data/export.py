"""The plan of an export, and its files: one, or one for each symbol.

Enters: symbols, days, times. Leaves: a plan, found from counters in milliseconds, and then complete files or none.
Reading and writing are apart, so that a caller can read in another process.
"""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.archive.remote import RemoteFile
from hk_tick_collector.errors import NoDayError, StoreError, UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.store.disk import sync_directory
from hk_tick_collector.store.query import DayReader

from . import days as day_sources
from . import gap_count, tables
from .complete import Draft, demand_free, named_errors
from .formats import Format, writer
from .requests import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from .days import Archive, Source
    from .formats import Writer
    from .gap_count import OpenGaps
    from .ranges import DayRange, Times

_OTHER_FILES: Final = 64  # descriptors for other files than those that are written
_MOST_COMPRESSED: Final = 500  # each open zstd stream uses a megabyte of memory


class Plan(NamedTuple):
    """What is read. It can be sent to another process."""

    request: Request
    rows: tuple[int, ...]  # of each day, for its symbols and all times
    symbols: tuple[str, ...]  # with ticks on one of the days
    absent: tuple[str, ...]  # asked for, and without ticks
    live: tuple[str, ...]  # days that may still get ticks
    unsealed: tuple[str, ...]  # earlier days that are not sealed
    gaps: OpenGaps
    missing_days: tuple[str, ...]  # weekdays of the range without data

    def about(self, version: str, now_ms: int) -> dict[str, str]:
        """The metadata of the file."""
        said = {
            "version": version,
            "days": ",".join(source.name for source in self.request.sources),
            "partial": ",".join(self.live),
            "partial_until": market.hkt(now_ms).isoformat(timespec="milliseconds") if self.live else "",
            "not_sealed": ",".join(self.unsealed),
            "open_gaps": self.gaps.line(),
        }
        return {f"hk_tick_collector.{name}": text for name, text in said.items() if text}


def make_plan(
    places: tuple[Path | None, Archive | None], symbols: Sequence[str], days: DayRange, times: Times, now_ms: int
) -> Plan:
    """Finds what there is to read. `places`: DATA_ROOT and the archive. Raises NoDayError, StoreError."""
    found = day_sources.find(*places, days)
    if not found:
        raise day_sources.no_day(*places, days)
    sources = tuple(source for source in found if times.touch(source.day))
    if not sources:
        raise NoDayError("no day of the range has these times", hint="check --from and --to")
    counts = [_counts(source, symbols) for source in sources]
    there = tuple(sorted({symbol for each in counts for symbol in each}))
    open_days = [source for source in sources if not source.is_archived and not _is_sealed(source)]
    live = [source for source in open_days if now_ms < market.sealing_ms(source.day)]
    return Plan(
        Request(symbols, sources, times),
        tuple(sum(each.values()) for each in counts),
        there,
        tuple(symbol for symbol in symbols if symbol not in there),
        tuple(source.name for source in live),
        tuple(source.name for source in open_days if source not in live),
        gap_count.count(sources, symbols, times),
        tuple(market.day_name(day) for day in day_sources.missing_weekdays(found, days)),
    )


def read_source(request: Request, source: Source, columns: Sequence[str]) -> Iterator[bytes]:
    """The ticks of one day as messages of Arrow IPC without their schema, to be sent to another process."""
    for batch in source.ticks(request.symbols, request.times, columns):
        yield batch.serialize().to_pybytes()


def received(message: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """A batch from a message of `read_source`."""
    import pyarrow as pa

    return pa.ipc.read_record_batch(pa.py_buffer(message), schema)


def write_split(
    folder: Path,
    form: Format,
    names: Sequence[str],
    batches: Iterable[pa.RecordBatch],
    *,
    symbols: Sequence[str],
    about: Mapping[str, str],
    replace: bool = False,
) -> dict[Path, int]:
    """Writes one file for each symbol into a folder, and returns their numbers of rows.

    `names`: the columns of the files; the batches have `symbol` too. All files appear together once all are on the
    disk. UsageError if one exists and `replace` is not given; StoreError if one cannot be written: then none is left.
    """
    for symbol in symbols:
        if os.sep in symbol or "\0" in symbol:
            raise StoreError(f"{symbol!r} cannot be the name of a file", hint="no collector wrote it: see the day file")
    paths = {symbol: folder / f"{symbol}.{form}" for symbol in symbols}
    _demand_descriptors(len(paths), form)
    for path in paths.values() if folder.exists() else ():
        demand_free(path, replace=replace)
    is_new = not folder.exists()
    with named_errors(folder):
        folder.mkdir(exist_ok=True)
    try:
        return _Split(paths, form, names, about).write(batches, replace=replace)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


class _Split:
    """The files of one folder: written side by side, because each day has ticks of every symbol."""

    def __init__(self, paths: Mapping[str, Path], form: Format, names: Sequence[str], about: Mapping[str, str]) -> None:
        from hk_tick_collector.frames.columns import schema

        self._paths = paths
        self._form = form
        self._names = list(names)
        self._schema = schema(tuple(names))
        self._about = about
        self._rows = dict.fromkeys(paths.values(), 0)

    def write(self, batches: Iterable[pa.RecordBatch], *, replace: bool) -> dict[Path, int]:
        """Writes all files, then gives each its name."""
        with ExitStack() as stack:
            drafts: list[Draft] = []
            writers: dict[str, Writer] = {}
            for symbol, path in self._paths.items():
                draft = stack.enter_context(Draft(path))
                with named_errors(path):
                    writers[symbol] = writer(self._form, draft.file, self._schema, self._about)
                drafts.append(draft)
            self._fill(batches, writers)
            for symbol, draft in zip(self._paths, drafts, strict=True):
                with named_errors(draft.path):
                    writers[symbol].close()
                    draft.sync()
            _name_all(drafts, replace=replace)
        return self._rows

    def _fill(self, batches: Iterable[pa.RecordBatch], writers: Mapping[str, Writer]) -> None:
        last = ""
        for batch in batches:
            for symbol, part in _runs(batch):
                if last and symbol != last:
                    self._flush(last, writers)
                last = symbol
                with named_errors(self._paths[symbol]):
                    writers[symbol].write(part.select(self._names))
                self._rows[self._paths[symbol]] += part.num_rows
        if last:
            self._flush(last, writers)

    def _flush(self, symbol: str, writers: Mapping[str, Writer]) -> None:
        with named_errors(self._paths[symbol]):
            writers[symbol].flush()  # so that memory holds the rows of one symbol


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each symbol, which are contiguous."""
    import pyarrow.compute as pc

    encode: Any = pc.run_end_encode  # type: ignore[attr-defined]
    runs = encode(batch.column("symbol"))
    start = 0
    for symbol, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield symbol, batch.slice(start, end - start)
        start = end


def _name_all(drafts: Sequence[Draft], *, replace: bool) -> None:
    """Gives every file its name, or none."""
    named: list[Draft] = []
    try:
        for draft in drafts:
            with named_errors(draft.path):
                draft.name(replace=replace)
            named.append(draft)
        if drafts:
            with named_errors(drafts[0].path):
                sync_directory(drafts[0].path.parent)
    except BaseException:
        for draft in [] if replace else named:
            draft.path.unlink(missing_ok=True)
        raise


def _demand_descriptors(files: int, form: Format) -> None:
    """Raises UsageError if this process may not open so many files; raises its limit where that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files + _OTHER_FILES
    most = hard - _OTHER_FILES if hard != resource.RLIM_INFINITY else files
    if form is Format.CSV_ZST:
        most = min(most, _MOST_COMPRESSED)
    if files > most:
        raise UsageError(f"{files:,} files cannot be written at once as {form}", hint=f"name at most {most:,} symbols")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _counts(source: Source, symbols: Sequence[str]) -> dict[str, int]:
    """The number of ticks of each symbol, from the counters of the day; without its book from the ticks themselves."""
    pa = need("pyarrow", "data")
    figures = pa.schema([("symbol", pa.string()), ("rows", pa.int64())])
    sql = f"SELECT symbol, rows FROM symbols WHERE rows > 0 AND {tables.of_symbols(symbols)}"  # noqa: S608
    found = tables.read(source, sql, symbols, figures)
    if found is None:
        from .ranges import Times

        batches = list(source.ticks(symbols, Times(), ("symbol",)))
        if not batches:
            return {}
        counted = pa.Table.from_batches(batches)["symbol"].value_counts().to_pylist()
        return {each["values"]: each["counts"] for each in counted}
    rows: list[Any] = found.to_pylist()
    return {each["symbol"]: each["rows"] for each in rows}


def _is_sealed(source: Source) -> bool:
    assert not isinstance(source.path, RemoteFile)  # such a day is archived
    with DayReader(source.path) as reader:
        return reader.is_sealed()


def demand_finished(plan: Plan, *, partial: bool, name: str, suggestion: str) -> None:
    """Raises UsageError for a day that may still get ticks, unless it is wanted and the file's name says so."""
    if not plan.live:
        return
    days = ", ".join(plan.live)
    if not partial:
        raise UsageError(f"{days} may still get ticks", hint="add --partial, or choose earlier days")
    if "partial" not in os.path.basename(name):  # noqa: PTH119 - a text
        raise UsageError(f"{days} may still get ticks, and {name} does not say so", hint=f"--out {suggestion}")


def demand_some(plan: Plan, *, split: bool) -> None:
    """Raises StoreError if none of the symbols has a tick on any of the days, or if no symbol has with `split`."""
    if plan.symbols or not (plan.absent or split):
        return
    who = ", ".join(plan.absent[:5]) or "any symbol"
    raise StoreError(f"no tick of {who} on {len(plan.rows)} days", hint="check the symbols and the days")
