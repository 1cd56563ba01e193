"""Day files of the predecessor, made from what is known of them, without any code of its own.

Table, columns, NOT NULL, indexes and `user_version` are as an operator's `.schema` shows them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

_TABLE: Final = """
CREATE TABLE ticks (
    market TEXT NOT NULL, symbol TEXT NOT NULL, ts_ms INTEGER NOT NULL, price REAL, volume INTEGER, turnover REAL,
    direction TEXT, seq INTEGER, tick_type TEXT, push_type TEXT, provider TEXT, trading_day TEXT NOT NULL,
    {recv} inserted_at_ms INTEGER NOT NULL);
CREATE UNIQUE INDEX uniq_seq ON ticks (symbol, seq) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX uniq_other ON ticks (symbol, ts_ms, price, volume, turnover) WHERE seq IS NULL;
"""
SHIFT_MS: Final = 8 * 3_600_000


def as_predecessors(tick: TickRow, day: str, **changed: Any) -> dict[str, Any]:
    """A tick of ours as the predecessor stored it; columns may be given other values."""
    symbol, seq, ts_ms, price, volume, turnover, direction, tick_type, _, recv_ts_ms, _, _ = tick
    row = {
        "market": "HK",
        "symbol": symbol,
        "ts_ms": ts_ms,
        "price": price,
        "volume": volume,
        "turnover": turnover,
        "direction": direction,
        "seq": seq,
        "tick_type": tick_type,
        "push_type": "REALTIME",
        "provider": "futu",
        "trading_day": day,
        "recv_ts_ms": recv_ts_ms,
        "inserted_at_ms": recv_ts_ms + 40,
    }
    return row | changed


def write_file(
    path: Path, rows: Iterable[dict[str, Any]], *, version: int = 4, recv: bool = True, indexes: bool = True
) -> Path:
    """Makes a file that its writer has closed."""
    with closing(begin_file(path, version=version, recv=recv, indexes=indexes)) as db:
        insert(db, rows, recv=recv)
    return path


def begin_file(path: Path, *, version: int = 4, recv: bool = True, indexes: bool = True) -> sqlite3.Connection:
    """Makes a file and returns its writer's connection, in WAL mode."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    sql = _TABLE.format(recv="recv_ts_ms INTEGER NOT NULL," if recv else "")
    db.executescript(sql if indexes else sql.split("CREATE UNIQUE", 1)[0])
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    return db


def insert(db: sqlite3.Connection, rows: Iterable[dict[str, Any]], *, recv: bool = True) -> None:
    """Adds rows in one transaction."""
    for row in rows:
        found = {name: value for name, value in row.items() if recv or name != "recv_ts_ms"}
        db.execute(f"INSERT INTO ticks ({', '.join(found)}) VALUES ({', '.join('?' * len(found))})", [*found.values()])
    db.commit()
