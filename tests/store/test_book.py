"""The book of a day has every table but the ticks, row by row, and the same bytes each time."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector.errors import ForeignFileError, SchemaChangedError
from hk_tick_collector.model import Gap
from hk_tick_collector.store.book import write_book
from hk_tick_collector.store.dayfile import Batch, StoreOptions, seal
from hk_tick_collector.store.query import DayReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.conftest import OpenDay

    from hk_tick_collector.model import TickRow

NOW_MS = 1_795_140_000_000


def sql(path: Path, text: str) -> str:
    return subprocess.run(["sqlite3", path, text], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def sealed(path: Path, open_day: OpenDay, tick: Callable[..., TickRow]) -> Path:
    """A sealed day with ticks, gaps and a ledger."""
    file = open_day(path)
    gaps = [Gap("HK.00700", 5, 9, NOW_MS, NOW_MS, 5, "disconnect", "open", NOW_MS, None, number) for number in (1, 2)]
    file.write(Batch(rows=[tick("HK.00700", n, NOW_MS + n) for n in range(100)], gaps=gaps), NOW_MS)
    file.close()
    assert seal(path, NOW_MS, StoreOptions())
    return path


def test_every_table_but_the_ticks(sealed: Path, tmp_path: Path) -> None:
    """The stock sqlite3 shows the same rows, and finds the file whole."""
    book = tmp_path / "the book ?.db"
    write_book(sealed, book)
    tables = sql(sealed, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").split()
    assert sql(book, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").split() == [
        name for name in tables if name != "ticks"
    ]
    for name in tables:
        if name != "ticks":
            assert sql(book, f"SELECT * FROM {name}") == sql(sealed, f"SELECT * FROM {name}")
    assert sql(book, "SELECT count(*) FROM gaps; PRAGMA integrity_check") == "2\nok\n"
    assert sql(book, "PRAGMA user_version") == sql(sealed, "PRAGMA user_version")
    with pytest.raises(ForeignFileError):
        DayReader(book)


def test_the_same_bytes_each_time(sealed: Path, tmp_path: Path) -> None:
    """Also from a copy of the day file whose pages are in another order."""
    sql(sealed, f"VACUUM INTO '{tmp_path}/copy.db'")
    write_book(sealed, tmp_path / "one")
    write_book(tmp_path / "copy.db", tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_virtual_table_is_named(sealed: Path, tmp_path: Path) -> None:
    """Another program's virtual table is not executed here."""
    sealed.chmod(0o640)
    with apsw.Connection(str(sealed)) as db:
        db.execute("CREATE VIRTUAL TABLE odd USING fts5(text)")
    with pytest.raises(SchemaChangedError, match="odd is not a plain table"):
        write_book(sealed, tmp_path / "book")
