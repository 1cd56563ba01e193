"""The records of the spool: exact, and damage loses only the record it hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.store import spool_record as record

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.model import TickRow

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
INT64 = st.integers(-(2**63), 2**63 - 1)
ROW = st.tuples(
    *(TEXT, INT64, INT64, st.floats(allow_nan=False), INT64, st.floats(allow_nan=False), TEXT, TEXT, TEXT, INT64),
    *(st.none() | st.integers(0, 2**63 - 1), st.none() | TEXT),
)
ONE: list[TickRow] = [("HK.00700", 7, 8, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", 9, 8, "P")]


def written(path: Path, *records: bytes) -> int:
    """A segment of these records; its size."""
    path.write_bytes(record.FILE_HEAD + b"".join(records))
    return path.stat().st_size


@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_rows_are_read_back_unchanged(rows: list[TickRow], tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any texts and numbers."""
    path = tmp_path_factory.mktemp("spool") / "0000000001.spool"
    end = written(path, record.encode(rows))
    part, found = record.read_rows(path, len(record.FILE_HEAD), end)
    assert (found, part.rows, part.end) == (rows, len(rows), end)


@pytest.mark.parametrize("at", [0, 5, 21, -1])
def test_damage_ends_where_the_next_record_begins(tmp_path: Path, at: int) -> None:
    """In the head or in the payload: the record behind it is read."""
    path, one = tmp_path / "0000000001.spool", record.encode(ONE)
    broken = bytearray(one)
    broken[at] ^= 0xFF
    end = written(path, bytes(broken), one)
    (first, damage), (second, part) = record.read_parts(path, len(record.FILE_HEAD), end)
    assert (first, damage.payload, damage.end) == (len(record.FILE_HEAD), None, second)
    assert (part.rows, part.end) == (1, end)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", record.UNREADABLE),
        (b"SQLite format 3", record.NOT_OURS),
        (b"HKTSPOOL\x02\0\0\0", "format 2, this version reads 1"),
    ],
)
def test_a_file_that_is_no_segment_is_named_by_its_kind(head: bytes, words: str) -> None:
    """Foreign, of another version, or unreadable."""
    assert words in record.whose(head)
