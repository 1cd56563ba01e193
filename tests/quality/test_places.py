"""Where days are: day files before the archive, and of an archived day the files that count."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.quality.days import DAY, Collected, archive

from hk_tick_collector.errors import StoreError
from hk_tick_collector.quality.places import list_places, ticks_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_day_file_comes_before_its_archive(tmp_path: Path) -> None:
    """Days of both places in order, each once; other names are passed by."""
    day = Collected(tmp_path / f"{DAY}.db")
    day.close()
    place = archive(day.path, tmp_path / "archive")
    (place.path.parent / "2026-11-19.db").touch()
    for name in ("2026-13-45.db", "notes.txt", ".2026-11-18.db"):
        (place.path.parent / name).touch()
    found = list_places(tmp_path, tmp_path / "archive")
    assert [(place.day, place.is_archived) for place in found] == [("20261119", True), (DAY, False)]


def test_the_certificate_says_which_file_counts(tmp_path: Path) -> None:
    """A run that was killed left a newer file: the certified one is read; without a certificate the newest."""
    directory = tmp_path / "ticks" / "date=2026-11-20"
    directory.mkdir(parents=True)
    old, new = (directory / f"ticks-{digit * 16}.parquet" for digit in "ab")
    for at, path in enumerate((old, new)):
        path.touch()
        os.utime(path, (1000 + at, 1000 + at))
    assert ticks_file(directory) == new
    (tmp_path / "certificates").mkdir()
    line = f"# a figure\n{'0' * 64}  ticks/date=2026-11-20/{old.name}\n"
    (tmp_path / "certificates" / "2026-11-20.txt").write_text(line)
    assert ticks_file(directory) == old
    with pytest.raises(StoreError, match="there is no Parquet file"):
        ticks_file(tmp_path / "ticks" / "date=2026-11-21")
