"""The Delta log of an archive: a reader sees each day once, whatever happened before."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hk_tick_collector.archive.delta import Registered, register
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.errors import ArchiveError
from hk_tick_collector.frames import columns as frames

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.archive.places import Place

NOW_MS = 1_795_138_200_000
SCHEMA: pa.Schema = frames.schema(("date", "symbol", "seq", "ts"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "the 檔案 archive"
    root.mkdir()
    return Directory(root)


def write(place: Place, day: str, rows: int, *, digits: str = "a" * 16, more: str = "") -> str:
    """Stores a Parquet file of one symbol; `more`: a column that later schemas have."""
    number = int(day.replace("-", ""))
    columns: dict[str, Any] = {
        "date": pa.array([number] * rows, pa.int32()).cast(pa.date32()),
        "symbol": ["HK.00700"] * rows,
        "seq": range(1, rows + 1),
        "ts": pa.array([NOW_MS + each for each in range(rows)], pa.int64()).cast(pa.timestamp("ms", "UTC")),
    }
    schema = SCHEMA
    if more:
        columns[more] = [7] * rows
        schema = schema.append(pa.field(more, pa.int64()))
    name = f"ticks/date={day}/ticks-{digits}.parquet"
    with place.hold() as workspace:
        pq.write_table(pa.table(columns, schema=schema), workspace / "ticks")
        place.put_new(name, workspace / "ticks")
    return name


def registered(place: Place, *names: str) -> Registered:
    with place.hold() as workspace:
        return register(place, names, NOW_MS, workspace)


def rows(place: Place) -> int:
    return deltalake.DeltaTable(f"{place.where}/ticks").to_pyarrow_table().num_rows


def test_days_are_registered_once(place: Place) -> None:
    """The first commit makes the table, later ones add days, and a run without news writes nothing."""
    first, second = write(place, "2026-11-19", 3), write(place, "2026-11-20", 4)
    assert registered(place, first) == (0, 1, 0)
    assert rows(place) == 3
    assert registered(place, first, second) == (1, 1, 0)
    assert registered(place, first, second) == (1, 0, 0)
    assert rows(place) == 7
    assert registered(place, second) == (1, 0, 0)  # a day that is not named stays
    assert rows(place) == 7


def test_a_replaced_day_is_exchanged_in_one_commit(place: Place) -> None:
    """No version of the table has the day twice, or not at all."""
    kept, old = write(place, "2026-11-19", 3), write(place, "2026-11-20", 4)
    registered(place, kept, old)
    new = write(place, "2026-11-20", 5, digits="b" * 16)
    assert registered(place, kept, new) == (1, 1, 1)
    assert rows(place) == 8
    before = deltalake.DeltaTable(f"{place.where}/ticks", version=0)
    assert before.to_pyarrow_table().num_rows == 7


def test_a_column_of_a_later_schema_is_added(place: Place) -> None:
    """It is NULL in the days before."""
    first = write(place, "2026-11-19", 3)
    registered(place, first)
    second = write(place, "2026-11-20", 4, more="opend_recv_ts")
    registered(place, first, second)
    table = deltalake.DeltaTable(f"{place.where}/ticks").to_pyarrow_table()
    assert table.column("opend_recv_ts").null_count == 3
    assert table.num_rows == 7


def test_a_checkpoint_of_another_program_is_read(place: Place) -> None:
    """deltalake makes one; the versions before it may be gone."""
    first, second = write(place, "2026-11-19", 3), write(place, "2026-11-20", 4)
    registered(place, first)
    registered(place, first, second)
    deltalake.DeltaTable(f"{place.where}/ticks").create_checkpoint()
    for version in (0, 1):
        (Directory(place.root).root / f"ticks/_delta_log/{version:020}.json").unlink()  # type: ignore[attr-defined]
    assert registered(place, first, second) == (1, 0, 0)
    third = write(place, "2026-11-23", 5)
    assert registered(place, first, second, third) == (2, 1, 0)
    assert rows(place) == 12


def test_racing_committers_lose_nothing(place: Place) -> None:
    """Each commit is one version, although all begin at the same one."""
    names = [write(place, f"2026-11-{day:02}", 2) for day in range(10, 16)]
    with place.hold() as workspace:
        spaces = [workspace / name.split("/")[1] for name in names]
        for space in spaces:
            space.mkdir()
        threads = [
            threading.Thread(target=register, args=(place, [name], NOW_MS, space))
            for name, space in zip(names, spaces, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    table = deltalake.DeltaTable(f"{place.where}/ticks")
    assert (table.version(), rows(place)) == (5, 12)


def test_an_unknown_log_is_refused(place: Place) -> None:
    """A log that another program upgraded, or that lacks a version, is not written to; the line says what to do."""
    first, second = write(place, "2026-11-19", 3), write(place, "2026-11-20", 4)
    registered(place, first)
    with place.hold() as workspace:
        upgrade = json.dumps({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7}})
        (workspace / "x").write_text(upgrade + "\n")
        place.put_new("ticks/_delta_log/00000000000000000001.json", workspace / "x")
    with pytest.raises(ArchiveError, match="changed by another program, which demands reader version 3"):
        registered(place, first, second)
    place.move("ticks/_delta_log/00000000000000000001.json", "ticks/_delta_log/00000000000000000002.json")
    with pytest.raises(ArchiveError, match="has a version missing"):
        registered(place, first, second)
    with pytest.raises(ArchiveError, match="is not a Parquet file of the archive"):
        registered(place, "books/2026-11-20.db")


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"add":5}', b'{"protocol":{}}', b"\xff"])
@pytest.mark.parametrize("name", ["00000000000000000000.json", "_last_checkpoint"])
def test_a_damaged_log_is_named(place: Place, name: str, content: bytes) -> None:
    """One line that says what to do, and nothing is committed."""
    day = write(place, "2026-11-20", 3)
    registered(place, day)
    assert isinstance(place, Directory)
    (place.root / "ticks/_delta_log" / name).write_bytes(content)
    with pytest.raises(ArchiveError, match=r"the Delta log of .* is damaged") as caught:
        registered(place, write(place, "2026-11-23", 3))
    assert "remove it and run archive --delta again" in caught.value.hint
    assert len(place.list("ticks/_delta_log/0")) == 1


@pytest.mark.parametrize("content", [b"", b"PAR1 no footer PAR1", "footer"])
def test_a_damaged_parquet_file_is_named(place: Place, tmp_path: Path, content: bytes | str) -> None:
    """One error with the name of the file, and no commit."""
    first, second = write(place, "2026-11-19", 3), write(place, "2026-11-20", 4)
    registered(place, first)
    path = tmp_path / "the 檔案 archive" / second
    whole = path.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[:-60] + b"\xff" * 40 + whole[-20:])
    with pytest.raises(ArchiveError, match=r"ticks/date=2026-11-20/.*\.parquet is damaged \(") as caught:
        registered(place, first, second)
    assert caught.value.hint == "hk-tick-collector certificate --check"
    path.write_bytes(whole)
    assert registered(place, first, second) == (1, 1, 0)


@pytest.mark.parametrize(("action", "key"), [("metaData", "schemaString"), ("add", "size")])
def test_an_entry_of_the_log_without_a_key_is_named(place: Place, tmp_path: Path, action: str, key: str) -> None:
    """Another program or a fault of a disk took it out; it is needed for the next commit."""
    registered(place, write(place, "2026-11-19", 3))
    log = tmp_path / "the 檔案 archive" / f"ticks/_delta_log/{0:020}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line.get(action, {}).pop(key, None)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ArchiveError, match=r"the Delta log of .* is damaged \(KeyError\)"):
        registered(place, write(place, "2026-11-19", 4, digits="b" * 16))
