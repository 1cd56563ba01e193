"""The columns of ticks outside SQLite: their names, their order and their Arrow types.

The names and the order are a contract: /docs/python.md lists them. Importing this module imports pyarrow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa

MS_UTC: Final = pa.timestamp("ms", "UTC")


class Column(NamedTuple):
    """A column: its name, its name in the table `ticks` of a day file (empty for `date`), and its type."""

    name: str
    stored: str
    type: pa.DataType
    nullable: bool = False


COLUMNS: Final = (
    Column("date", "", pa.date32()),  # the Hong Kong date of the day; a real column: some engines do not read paths
    Column("symbol", "symbol", pa.string()),
    Column("seq", "seq", pa.int64()),
    Column("ts", "ts_ms", MS_UTC),
    Column("price", "price", pa.float64()),
    Column("volume", "volume", pa.int64()),
    Column("turnover", "turnover", pa.float64()),
    Column("direction", "direction", pa.string()),
    Column("tick_type", "tick_type", pa.string()),
    Column("push_type", "push_type", pa.string()),
    Column("recv_ts", "recv_ts_ms", MS_UTC),
    Column("opend_recv_ts", "opend_recv_ts_ms", MS_UTC, nullable=True),  # null where the feed gave none, as is
    Column("type_sign", "type_sign", pa.string(), nullable=True),  # every row of a file of schema 1 to 3
)
NAMES: Final = tuple(column.name for column in COLUMNS)


def schema(names: tuple[str, ...] = NAMES) -> pa.Schema:
    """The schema of these columns, in this order. KeyError for an unknown name."""
    by_name = {column.name: column for column in COLUMNS}
    return pa.schema([pa.field(name, by_name[name].type, by_name[name].nullable) for name in names])
