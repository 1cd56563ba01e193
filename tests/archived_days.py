"""Sealed day files for tests of the archive, small and of any schema."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

import apsw

from hk_tick_collector import market
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS, TICK_COLUMNS, VERSION

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = ("HK.00005", "HK.00700", "HK.09988")


def seal_day(root: Path, day: str = "20261120", *, rows: int = 60, gaps: int = 0, schema: int = VERSION) -> Path:
    """Makes `DAY.db` as the collector leaves it: sealed, one plain file, mode 0440."""
    path = root / f"{day}.db"
    noon_ms = market.day_start_ms(market.parse_day(day)) + 43_200_000
    with closing(apsw.Connection(str(path))) as db:
        for migration in MIGRATIONS[:schema]:
            db.execute(migration)
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", schema)
        with db:
            columns = [name for name in TICK_COLUMNS if name in _columns(db)]
            marks = ", ".join("?" * len(columns))
            for number in range(rows):
                ts_ms = noon_ms + number * 1000
                seq = ts_ms // 1000 << 32 | number // len(SYMBOLS) + 1
                tick = (
                    SYMBOLS[number % 3],
                    seq,
                    ts_ms,
                    388.2 + number / 5,
                    100 + number,
                    38_820.5,
                    "BUY",
                    "AUTO_MATCH",
                )
                values = (*tick, "realtime", ts_ms + 3, None, None)[: len(columns)]
                db.execute(f"INSERT INTO ticks ({', '.join(columns)}) VALUES ({marks})", values)
            if schema >= 3:
                db.execute("UPDATE symbols SET rule = 'counter', expected = rows")
            for number in range(gaps):
                db.execute(
                    """INSERT INTO gaps (symbol, from_seq, to_seq, missing, cause, status, opened_ms)
                       VALUES ('HK.00700', ?, ?, 1, 'disconnected', 'open', ?)""",
                    (number * 10, number * 10 + 2, noon_ms),
                )
            facts = {"schema_version": str(schema), "market": "HK", "trading_day": day, "software_version": "1.0"}
            facts |= {"sqlite_version": "3.51", "sealed_ms": str(noon_ms + 80_000_000), "created_ms": str(noon_ms)}
            db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            db.execute(
                "INSERT INTO ledger VALUES ('run', ?, ?, 1, ?, ?, 0, 0, 0, 0)", (noon_ms, noon_ms + 9, rows, rows)
            )
    path.chmod(0o440)
    return path


def _columns(db: apsw.Connection) -> set[object]:
    return {name for (name,) in db.execute("SELECT name FROM pragma_table_info('ticks')")}


def flip(path: Path, at: int = -100) -> None:
    """Changes one bit of a file, whatever its mode is, and nothing else of it."""
    mode, data = path.stat().st_mode, bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode)


def sums(directory: Path) -> dict[str, str]:
    """Name → SHA-256 of every file below a directory."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
