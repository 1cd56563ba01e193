"""The queries with which `publish` finds the ticks that it has not sent yet. A day file is its own outbox.

No list of unsent ticks is kept: `symbols.rows` is exact, and is compared with what was sent of each symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .bounded_reading import all_checked
from .query import DayReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.model import TickRow

LOWEST_SEQ: Final = -(2**63)
_SUM_MODULUS: Final = 2**64


class OutboxReader(DayReader):
    """A day file, read-only. Raises the errors of DayConnection."""

    def data_version(self) -> int:
        """A number that changes when another process commits to the file, as long as this connection is open."""
        return int(next(self._rows("PRAGMA data_version"))[0])

    def counts(self) -> list[tuple[str, int]]:
        """How many ticks of each symbol are stored, ordered by symbol."""
        return list(self._select(("symbol", "rows"), "symbols", "ORDER BY symbol"))

    def rows_after(self, symbol: str, seq: int, limit: int) -> list[TickRow]:
        """At most `limit` ticks of a symbol with a sequence above `seq`, in order of sequence."""
        return self._plain("WHERE symbol = ? AND seq > ? ORDER BY seq LIMIT ?", (symbol, seq, limit))

    def late_rows(self, symbol: str, seqs: tuple[int, int], after_ms: int, limit: int) -> list[TickRow]:
        """At most `limit` ticks of a symbol within these sequences (both included) received after `after_ms`.

        Reads all ticks of the symbol within these sequences.
        """
        where = "WHERE symbol = ? AND seq BETWEEN ? AND ? AND recv_ts_ms > ? ORDER BY seq LIMIT ?"
        return self._plain(where, (symbol, *seqs, after_ms, limit))

    def key_sums(self) -> Iterator[tuple[str, int, int]]:
        """Each symbol, its ticks, and the sum of their sequences mod 2^64. Reads the keys of all ticks."""
        # In two halves: SQLite's sum of integers raises an error where it would overflow.
        sql = (
            "SELECT symbol, count(*), sum(seq >> 32), sum(seq & 0xFFFFFFFF) FROM ticks GROUP BY symbol ORDER BY symbol"
        )
        for symbol, rows, high, low in self._rows(sql, scans=True):
            yield symbol, rows, ((high << 32) + low) % _SUM_MODULUS

    def _plain(self, rest: str, values: tuple[str | int, ...]) -> list[TickRow]:
        sql = f"SELECT {', '.join(self.tick_columns)} FROM ticks {rest}"  # noqa: S608 - our own names
        with self._named_errors():
            self._allowance.scan(self._bytes)
            rows: list[Any] = self._db.execute(sql, values).fetchall()
        all_checked(rows, self.path, "ticks", self.tick_columns)
        if len(self.tick_columns) == 10:  # a file of an earlier schema
            return [(*row, None, None) for row in rows]
        return rows
