"""Days as a collector and `archive` leave them: day files of the real writer, Parquet files, books, certificates."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hk_tick_collector import market
from hk_tick_collector.frames.columns import schema
from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.model import Tick
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

SYMBOLS: Final = ("HK.00005", "HK.00700", "HK.09988")
EACH: Final = 60  # ticks of a symbol and day, one a minute from 09:30 on


class Days:
    """A DATA_ROOT and an archive in directories whose names have blanks, Chinese and signs."""

    def __init__(self, root: Path) -> None:
        self.data_root = root / "日檔 # 100%?"
        self.archive = root / "archive 存檔"
        self.data_root.mkdir(parents=True)
        (self.archive / "ticks").mkdir(parents=True)

    def collect(self, name: str, symbols: Sequence[str] = SYMBOLS, each: int = EACH) -> DayFile:
        """A day file with ticks, still open as in a collector."""
        start_ms = market.day_start_ms(market.parse_day(name))
        file = DayFile(self.path(name), name, "run", start_ms, "test", StoreOptions())
        rows = [self.tick(name, symbol, n) for symbol in symbols for n in range(each)]
        if rows:
            file.write(Batch(rows=rows), start_ms)
        return file

    def tick(self, name: str, symbol: str, n: int) -> TickRow:
        """The n-th tick of a symbol and day: n minutes after 09:30."""
        ts_ms = market.day_start_ms(market.parse_day(name)) + (570 + n) * 60_000
        price = 100 + n / 8
        row = (
            symbol,
            (ts_ms // 1000 << 32) | (n + 1),
            ts_ms,
            price,
            100,
            price * 100,
            "BUY",
            "AUTO_MATCH",
            "realtime",
            ts_ms + 3,
        )
        return (*row, *[None] * (len(Tick._fields) - len(row)))  # type: ignore[return-value]

    def path(self, name: str) -> Path:
        """The day file."""
        return self.data_root / f"{name}.db"

    def gap(self, name: str, symbol: str, missing: int, minute: int = 600, status: str = "open") -> None:
        """Records a gap of one minute in a day file that no collector has open."""
        ts_ms = market.day_start_ms(market.parse_day(name)) + minute * 60_000
        with closing(sqlite3.connect(self.path(name))) as db, db:
            db.execute(
                """INSERT INTO gaps (symbol, from_seq, to_seq, from_ts_ms, to_ts_ms, missing, cause, status, opened_ms)
                   VALUES (?, ?, ?, ?, ?, ?, 'disconnect', ?, ?)""",
                (symbol, (1 << 62) + 1, 2**63 - 1, ts_ms, ts_ms + 60_000, missing, status, ts_ms + 60_000),
            )

    def to_archive(self, name: str, *, certified: bool = True, book: bool = True, keep: bool = False) -> Path:
        """Archives a day file in the layout of the archive, and removes it unless `keep`."""
        date = market.day_date(market.parse_day(name)).isoformat()
        folder = self.archive / "ticks" / f"date={date}"
        folder.mkdir(exist_ok=True)
        path = folder / f"ticks-{len(list(folder.iterdir())):016x}.parquet"
        with DayReader(self.path(name)):
            pq.write_table(pa.Table.from_batches(read_ticks(self.path(name)), schema()), path, row_group_size=50)
        if book:
            (self.archive / "books").mkdir(exist_ok=True)
            copy = self.archive / "books" / f"{date}.db"
            shutil.copy(self.path(name), copy)
            with closing(sqlite3.connect(copy)) as db:
                db.execute("DROP TABLE ticks")
                db.execute("PRAGMA journal_mode = delete")
        if certified:
            (self.archive / "certificates").mkdir(exist_ok=True)
            (self.archive / "certificates" / f"{date}.txt").write_text(
                f"# certificate of {date}\n{'0' * 64}  ticks/date={date}/{path.name}\n"
            )
        if not keep:
            for suffix in ("", "-wal", "-shm"):
                self.path(name).with_name(f"{name}.db{suffix}").unlink(missing_ok=True)
        return path


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An empty DATA_ROOT and an empty archive."""
    return Days(tmp_path)


@pytest.fixture
def week(days: Days) -> Days:
    """Wednesday and Thursday archived, Friday a day file, Monday being written; the weekend has nothing."""
    for name in ("20261118", "20261119", "20261120", "20261123"):
        days.collect(name).close()
    days.to_archive("20261118")
    days.to_archive("20261119", keep=True)
    return days


@pytest.fixture
def minutes() -> Callable[[Any], list[int]]:
    """The minutes after midnight in Hong Kong of the times in a column."""
    return lambda column: [(value.hour * 60 + value.minute) for value in column.to_pylist()]
