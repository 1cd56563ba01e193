"""A snapshot may go only if the sealed day has each of its ticks, in every column."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.archived_days import seal_day

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.containing import lacking_ticks
from hk_tick_collector.store.schema import TICK_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path


def copied(day: Path, sql: str) -> Path:
    """A copy, changed by a statement."""
    copy = day.with_name("the 快照.db")
    copy.unlink(missing_ok=True)
    shutil.copyfile(day, copy)
    with closing(apsw.Connection(str(copy))) as db:
        db.execute(sql)
    return copy


def test_fewer_ticks_are_no_loss(tmp_path: Path) -> None:
    """A snapshot is taken before the day is over."""
    day = seal_day(tmp_path)
    assert lacking_ticks(day, copied(day, "DELETE FROM ticks WHERE ts_ms % 2000 = 0")) == 0
    assert lacking_ticks(day, copied(day, "DELETE FROM ticks")) == 0
    assert lacking_ticks(copied(day, "DELETE FROM ticks WHERE symbol = 'HK.00005'"), day) == 20


@pytest.mark.parametrize("column", TICK_COLUMNS)
def test_each_column_is_compared(tmp_path: Path, column: str) -> None:
    """One other value is one tick that the day does not have."""
    day = seal_day(tmp_path)
    texts = ("symbol", "direction", "tick_type", "push_type", "type_sign")
    other = "'X'" if column in texts else f"ifnull({column}, 0) + 1000"
    with_last = copied(day, "DELETE FROM ticks WHERE symbol <> (SELECT max(symbol) FROM ticks)")
    with closing(apsw.Connection(str(with_last))) as db:
        db.execute(f"UPDATE ticks SET {column} = {other} WHERE seq = (SELECT max(seq) FROM ticks)")
    assert lacking_ticks(day, with_last) == 1


def test_a_column_that_only_one_of_them_has(tmp_path: Path) -> None:
    """A day file that was migrated after the snapshot has more columns; one that has fewer proves nothing."""
    day = seal_day(tmp_path)
    more = copied(day, "ALTER TABLE ticks ADD COLUMN later INTEGER")
    assert lacking_ticks(more, day) == 0
    assert lacking_ticks(day, more) == 60


def test_a_file_of_another_program_proves_nothing(tmp_path: Path) -> None:
    """Neither as day file nor as snapshot."""
    day, other = seal_day(tmp_path), tmp_path / "other.db"
    other.write_text("text")
    for pair in ((day, other), (other, day)):
        with pytest.raises(StoreError, match="is not an SQLite file"):
            lacking_ticks(*pair)
