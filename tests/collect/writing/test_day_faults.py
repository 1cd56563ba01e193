"""Which file an error belongs to: with one faulty file, other days continue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector.collect.writing.day_faults import concerns_one_file
from hk_tick_collector.errors import ForeignFileError

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN, FULL, IO = ForeignFileError("another program's"), apsw.FullError("full"), apsw.IOError("disk I/O error")


@pytest.mark.parametrize(
    ("error", "is_today", "alone"),
    [(FOREIGN, True, True), (FULL, True, False), (FULL, False, False), (IO, True, False), (IO, False, True)],
    ids=["foreign", "full_today", "full", "io_today", "io"],
)
def test_a_full_disk_affects_every_day_and_a_foreign_file_only_one(
    tmp_path: Path, error: Exception, is_today: bool, alone: bool
) -> None:
    """An error that also concerns today's file is taken for one of the disk."""
    path = tmp_path / "20261120.db"
    path.touch()
    assert concerns_one_file(error, path, is_today=is_today, attempt=1) == alone


@pytest.mark.parametrize("what", ["", "-wal", "-shm", "-journal", "draft", "nowhere"])
def test_an_obstacle_in_place_of_a_file_affects_only_its_day(tmp_path: Path, what: str) -> None:
    """A directory in place of the file, of its WAL or of its draft, or a broken link."""
    path = tmp_path / "20261120.db"
    if what == "nowhere":
        path.symlink_to(tmp_path / "gone.db")
    else:
        path.with_name(".20261120.db.new" if what == "draft" else path.name + what).mkdir()
    assert concerns_one_file(IO, path, is_today=True, attempt=1)
