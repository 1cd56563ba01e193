"""A book becomes a day file only if it is one, of a version that is known, and if its counters fit its ticks."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.archived_days import seal_day

from hk_tick_collector.errors import ForeignFileError, StoreError
from hk_tick_collector.store import rebuilding
from hk_tick_collector.store.book import write_book
from hk_tick_collector.store.schema import TICK_COLUMNS, VERSION

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.db"
    write_book(seal_day(tmp_path), path)
    return path


def execute(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute(sql)


def test_a_book_and_its_ticks_are_a_day(book: Path, tmp_path: Path) -> None:
    """With all triggers, which have not counted the inserted ticks again."""
    assert rebuilding.begin(book)[: len(TICK_COLUMNS)] == TICK_COLUMNS
    with closing(apsw.Connection(str(book))) as db:
        db.execute("ATTACH ? AS day", (str(tmp_path / "20261120.db"),))
        db.execute("INSERT INTO main.ticks SELECT * FROM day.ticks")
    rebuilding.finish(book)
    with closing(apsw.Connection(str(book))) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").get == 1
        assert db.execute("SELECT sum(rows) FROM symbols").get == 60


def test_missing_ticks_are_noticed(book: Path) -> None:
    """The counters of the book say how many there must be."""
    rebuilding.begin(book)
    with pytest.raises(StoreError, match=r"counts 20 ticks of HK\.00005, and the archive has 0"):
        rebuilding.check(book)


def test_what_is_no_book_is_refused(book: Path, tmp_path: Path) -> None:
    """A day file, a text, a book of a later version."""
    day = tmp_path / "copy.db"
    shutil.copyfile(tmp_path / "20261120.db", day)
    with pytest.raises(ForeignFileError, match="is not the book of a day"):
        rebuilding.begin(day)
    day.write_text("text" * 1000)
    with pytest.raises(StoreError, match="cannot be restored"):
        rebuilding.begin(day)
    execute(book, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(ForeignFileError, match=f"has schema {VERSION + 1}"):
        rebuilding.begin(book)
