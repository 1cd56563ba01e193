"""The truth file: every tick that was made, one line each, written before any client can have it.

    symbol  seq  ts_ms  price  volume  turnover  direction  tick_type      (separated by tabs, no heading)

The columns are those of the table `ticks`, floats by `repr`, so that they read back exactly. A line without its end
belongs to a batch that a kill cut short: none of that batch was sent.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.opend.convert import TICK_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from .market import MadeRow

DIRECTIONS: Final = {0: "UNKNOWN", 1: "BUY", 2: "SELL", 3: "NEUTRAL"}


_MAX_KNOWN: Final = 100_000  # prices kept as texts


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


class TruthFile:
    """Writes made ticks. Raises UsageError when `path` cannot be opened; an existing file is begun anew."""

    def __init__(self, path: Path, symbols: Sequence[str]) -> None:
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"the truth file {path} cannot be written ({error.strerror})",
                hint="give a path in a writable directory",
            ) from None
        self._path = path
        self._symbols = symbols
        self._prices: dict[float, str] = {}  # as texts: prices repeat

    def write(self, ticks: Iterable[MadeRow]) -> None:
        """Hands the lines of `ticks` to the system: a kill of this process can no longer lose them."""
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
        data = "".join(lines).encode()
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
