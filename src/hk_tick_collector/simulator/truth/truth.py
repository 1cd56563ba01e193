"""The truth file: every tick that was made, one line each, written before any client can receive it.

    symbol  seq  ts_ms  price  volume  turnover  direction  tick_type      (separated by tabs, no heading)

The columns are those of the table `ticks`; floats are written with `repr`, so that they read back exactly. A line
without its end belongs to a batch that a kill interrupted: none of that batch was sent.

Ticks that no collector can store (for example a price that is not a number) are in another file, `NAME.rejects`:

    symbol  seq  kind

An outlier is a tick whose time is not the time at which it was made. It is in the truth file as it was sent, and
also in `NAME.outliers`:

    symbol  seq  ts_ms  made_ms
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.market import day_number
from hk_tick_collector.opend.convert import TICK_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.simulator.exchange.made import MadeRow

DIRECTIONS: Final = {0: "UNKNOWN", 1: "BUY", 2: "SELL", 3: "NEUTRAL"}


_MAX_KNOWN: Final = 100_000  # prices whose text is cached
_TAIL_BYTES: Final = 1 << 16  # longer than any line
_TABS: Final = 7  # in a line


class TruthTick(NamedTuple):
    """One tick of the truth file, in the column order of the table `ticks`."""

    symbol: str
    seq: int
    ts_ms: int
    price: float
    volume: int
    turnover: float
    direction: str
    tick_type: str


class Outlier(NamedTuple):
    """A tick whose time is not the time at which it was made: a late report, or a wrong date."""

    symbol: str
    seq: int
    ts_ms: int  # as it was sent
    made_ms: int


class TruthFile:
    """Writes ticks. Raises UsageError if `path` cannot be opened.

    An existing file is replaced, or with `go_on` appended to, after an unfinished last line has been cut off.
    """

    def __init__(self, path: Path, symbols: Sequence[str], *, go_on: bool = False) -> None:
        try:
            if go_on:
                os.truncate(path, _whole_bytes(path))
            else:
                rejects_path(path).unlink(missing_ok=True)
                outliers_path(path).unlink(missing_ok=True)
            begin = 0 if go_on else os.O_TRUNC
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | begin | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"the truth file {path} cannot be written ({error.strerror})",
                hint="give a path in a writable directory",
            ) from None
        self._path = path
        self._symbols = symbols
        self._prices: dict[float, str] = {}  # as text: prices repeat

    def write(self, ticks: Iterable[MadeRow]) -> None:
        """Gives the lines of `ticks` to the kernel: a kill of this process can no longer lose them."""
        symbols, prices, endings = self._symbols, self._prices, _ENDINGS
        if len(prices) > _MAX_KNOWN:
            prices.clear()
        at_ms, moment = 0, ""
        lines = []
        for security, seq, ts_ms, price, volume, turnover, direction, tick_type in ticks:
            if ts_ms != at_ms:
                at_ms, moment = ts_ms, str(ts_ms)
            text = prices.get(price)
            if text is None:
                text = prices[price] = repr(price)
            ending = endings[direction].get(tick_type) or _ending(direction, tick_type)
            lines.append(f"{symbols[security]}\t{seq}\t{moment}\t{text}\t{volume}\t{turnover!r}{ending}")
        self._write_all("".join(lines).encode())

    def write_reject(self, security: int, seq: int, kind: str) -> None:
        """Records a tick that is about to be sent and that cannot be stored."""
        with rejects_path(self._path).open("a", encoding="ascii") as rejects:
            rejects.write(f"{self._symbols[security]}\t{seq}\t{kind}\n")

    def write_outlier(self, row: MadeRow, made_ms: int) -> None:
        """Records an outlier that is about to be written."""
        with outliers_path(self._path).open("a", encoding="ascii") as outliers:
            outliers.write(f"{self._symbols[row[0]]}\t{row[1]}\t{row[2]}\t{made_ms}\n")

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                raise CollectorError(
                    f"the truth file {self._path} cannot be written ({error.strerror})", hint="free some space"
                ) from None

    def close(self) -> None:
        """Closes the file; every line has been written already."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ending(direction: int, tick_type: int) -> str:
    name = TICK_TYPES.get(tick_type) or f"TYPE_{tick_type}"
    return f"\t{DIRECTIONS[direction]}\t{name}\n"


_ENDINGS: Final = [{kind: _ending(direction, kind) for kind in TICK_TYPES} for direction in DIRECTIONS]


def rejects_path(truth: Path) -> Path:
    """The path of the file of ticks that cannot be stored; it exists only if there are any."""
    return truth.with_name(f"{truth.name}.rejects")


def read_rejects(truth: Path) -> list[tuple[str, int]]:
    """The symbol and sequence of each tick that cannot be stored."""
    try:
        lines = rejects_path(truth).read_text("ascii").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    fields = [line.split("\t") for line in lines if line.endswith("\n")]
    return [(symbol, int(seq)) for symbol, seq, _ in fields]


def outliers_path(truth: Path) -> Path:
    """The path of the file of outliers; it exists only if there are any."""
    return truth.with_name(f"{truth.name}.outliers")


def read_outliers(truth: Path) -> list[Outlier]:
    """The outliers."""
    try:
        lines = outliers_path(truth).read_text("ascii").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    fields = [line.split("\t") for line in lines if line.endswith("\n")]
    return [Outlier(symbol, int(seq), int(ts_ms), int(made_ms)) for symbol, seq, ts_ms, made_ms in fields]


def last_moment(path: Path, day: int) -> int | None:
    """The latest time of a tick of `day` near the end of a truth file, UTC epoch ms; None if there is none."""
    lines = _tail(path)[1].decode("ascii").split("\n")
    # The first line read may lack its beginning, the last its end.
    times = [int(line.split("\t")[2]) for line in lines[:-1] if line.count("\t") == _TABS]
    return max((ts_ms for ts_ms in times if day_number(ts_ms) == day), default=None)


def _whole_bytes(path: Path) -> int:
    """The length of a file up to the last end of a line."""
    size, tail = _tail(path)
    return size - len(tail) + tail.rfind(b"\n") + 1


def _tail(path: Path) -> tuple[int, bytes]:
    """The size of a file, and its last bytes."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        return size, file.read()


def read_truth(path: Path) -> Iterator[TruthTick]:
    """The ticks of a truth file, in the order in which they were made."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            symbol, seq, ts_ms, price, volume, turnover, direction, tick_type = line[:-1].split("\t")
            yield TruthTick(
                symbol, int(seq), int(ts_ms), float(price), int(volume), float(turnover), direction, tick_type
            )
