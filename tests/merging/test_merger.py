"""The union, where it is read from after a restart, and what follows where collectors number ticks differently."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.merging.feeds import DAY, NOW_MS, at, part, ticks
from tests.merging.test_agreement import renumbered

from hk_tick_collector.errors import ForeignFileError, StoreError
from hk_tick_collector.merging.merger import DISAGREEMENT_NAME, Merger
from hk_tick_collector.merging.parts import Part, StartOverError
from hk_tick_collector.store.dayfile import StoreOptions
from hk_tick_collector.store.merged_rows import MergedReader
from hk_tick_collector.store.query import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def merger(root: Path) -> Merger:
    return Merger(root, StoreOptions(synchronous="OFF"), "test", lambda: NOW_MS)


def store(merger: Merger, parts: Sequence[Part], stream_seq: int) -> None:
    for step in merger.prepare(parts, at(stream_seq)):
        step.commit()


def store_each(merger: Merger, parts: Sequence[Part], first_seq: int = 1) -> None:
    for number, each in enumerate(parts):
        store(merger, [each], first_seq + number)


def test_an_empty_directory_begins_at_the_start_of_the_stream(tmp_path: Path) -> None:
    """Nothing is known, so everything is read."""
    assert merger(tmp_path).resume() is None


def test_the_lowest_position_of_unsealed_days_counts(tmp_path: Path) -> None:
    """A file that was restored from a copy, or a commit that a kill prevented, is caught up."""
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5))], 3)
    store(one, [part("a", range(1, 5), day=DAY + 1)], 8)
    one.close(None)
    assert merger(tmp_path).resume() == at(3)


def test_a_new_file_without_position_reads_everything(tmp_path: Path) -> None:
    """A day file that replaced a damaged one has no position: its ticks are in the stream."""
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5))], 3)
    one.close(at(5))
    path_of(tmp_path, "20261120").rename(tmp_path / "away")
    other = merger(tmp_path)
    store(other, [part("a", range(1, 5), day=DAY + 1)], 8)
    (prepared,) = other.prepare([part("a", [1])], at(9))
    prepared.prepared.batch.meta.clear()
    prepared.commit()
    other.close(None)
    assert merger(tmp_path).resume() is None


def test_sealed_days_do_not_hold_the_position_back(tmp_path: Path) -> None:
    """A finished day needs nothing any more; where all days are sealed, the newest position counts."""
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5))], 3)
    store(one, [part("a", range(1, 5), day=DAY + 1)], 8)
    one.union.seal(DAY, None)
    one.close(None)
    assert merger(tmp_path).resume() == at(8)
    again = merger(tmp_path)
    again.union.seal(DAY + 1, None)
    assert merger(tmp_path).resume() == at(8)


def two_days(root: Path) -> None:
    """A past day that waits for a collector, closed at position 5, and today's up to position 60."""
    one = merger(root)
    store(one, [part("a", range(1, 5), day=DAY - 1)], 3)
    one.note_whole(at(3))
    one.union.close(DAY - 1, at(5))
    for seq in range(6, 61):
        store(one, [part("a", [seq])], seq)
        one.note_whole(at(seq))
    one.close(None)


def test_a_past_day_that_waits_does_not_hold_the_position_back(tmp_path: Path) -> None:
    """Nothing came for it since; reading the days since again at each start could take longer than the stream keeps."""
    two_days(tmp_path)
    again = merger(tmp_path)
    assert again.resume() == at(59)  # the transaction of 60 cannot know that it succeeded
    store(again, [part("a", [61])], 61)
    again.note_whole(at(61))
    store(again, [part("a", [62])], 62)
    again.close(None)
    assert merger(tmp_path).resume() == at(61)


def test_a_past_day_that_is_restored_from_an_older_copy_counts_again(tmp_path: Path) -> None:
    """Its position is not the one that it was closed with."""
    one = merger(tmp_path)
    store(one, [part("a", range(1, 3), day=DAY - 1)], 2)
    one.close(None)
    copy = path_of(tmp_path, "20261119").read_bytes()
    two_days(tmp_path)
    path_of(tmp_path, "20261119").write_bytes(copy)
    assert merger(tmp_path).resume() == at(2)


def test_a_past_day_that_was_opened_again_has_its_own_position(tmp_path: Path) -> None:
    """A late tick of it was committed, and the process was killed: its WAL is there."""
    two_days(tmp_path)
    one = merger(tmp_path)
    one.resume()
    store(one, [part("a", [9], day=DAY - 1)], 61)
    store(one, [part("a", [63])], 63)
    one.union._abandon(DAY - 1)  # noqa: SLF001 - a kill
    assert merger(tmp_path).resume() == at(61)
    one.close(None)


def test_a_stream_that_is_read_again_from_an_earlier_place_settles_nothing(tmp_path: Path) -> None:
    """After a loss the positions are those of another stream."""
    two_days(tmp_path)
    one = merger(tmp_path)
    one.resume()
    one.note_whole(at(60))
    store(one, [part("a", [64])], 7)
    one.close(None)
    assert merger(tmp_path).resume() == at(5)


def disagree(root: Path) -> list[Part]:
    """Two collectors with private numbers, merged until that is found; returns all their messages."""
    whole = ticks(range(1, 601))
    other = renumbered(whole, lambda counter: counter + 7)
    parts = []
    for start in range(0, 600, 20):
        parts += [Part(DAY, "a", whole[start : start + 20]), Part(DAY, "b", other[start : start + 20])]
    one = merger(root)
    with pytest.raises(StartOverError):
        store_each(one, parts)
    return parts


def test_a_disagreement_gives_a_file_per_collector_and_a_union_of_one(tmp_path: Path) -> None:
    """After it was found, the stream is read again: the union has each trade once, from one collector."""
    parts = disagree(tmp_path)
    again = merger(tmp_path)
    assert again.resume() is None
    store_each(again, parts)
    again.close(None)
    with MergedReader(path_of(tmp_path, "20261120")) as union:
        assert [row.seq for row in union.ticks_by_key()] == [row[1] for row in ticks(range(1, 601))]
        assert union.chosen() == {"HK.00700": "a"}
        assert union.gaps(only_open=True) == []
    for name, first in (("a", 1), ("b", 8)):
        with MergedReader(path_of(tmp_path / "collectors" / name, "20261120")) as own:
            counters = [row.seq & 0xFFFFFFFF for row in own.ticks_by_key()]
            assert counters == list(range(first, first + 600))
    assert [path.name.partition("-")[0] for path in tmp_path.glob("*.mixed-*")] == ["20261120.db.mixed"]


def test_a_disagreement_is_remembered_until_its_file_is_removed(tmp_path: Path) -> None:
    """The choice of a collector holds over restarts, and what was found is there to read."""
    parts = disagree(tmp_path)
    one = merger(tmp_path)
    store(one, parts[:10], 10)
    one.close(at(10))
    two = merger(tmp_path)
    assert two.resume() == at(10)
    store(two, parts[10:], 60)
    two.close(at(60))
    with MergedReader(path_of(tmp_path, "20261120")) as union:
        assert [row.seq for row in union.ticks_by_key()] == [row[1] for row in ticks(range(1, 601))]
    facts = json.loads((tmp_path / DISAGREEMENT_NAME).read_text())
    assert (facts["symbol"], facts["sources"]) == ("HK.00700", ["a", "b"])
    (tmp_path / DISAGREEMENT_NAME).unlink()
    assert merger(tmp_path).disagreement is None


def test_an_unreadable_disagreement_stops_the_start(tmp_path: Path) -> None:
    """It must not be taken for an agreement."""
    (tmp_path / DISAGREEMENT_NAME).write_text("{")
    with pytest.raises(StoreError):
        merger(tmp_path)


def test_a_disagreement_reads_everything_again_although_other_days_are_further(tmp_path: Path) -> None:
    """The day before was sealed at noon of the mixed day: what came before is in the renamed file alone."""
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5), day=DAY - 1)], 1)
    store(one, [part("a", range(1, 5)), part("b", range(1, 5))], 2)
    one.union.seal(DAY - 1, at(3))
    one.close(at(3))
    (tmp_path / DISAGREEMENT_NAME).write_text("{}")
    for _ in range(2):  # also when it is killed before it has read anything
        again = merger(tmp_path)
        assert again.resume() is None
        again.close(None)
    assert len(list(tmp_path.glob("*.mixed-*"))) == 1


def test_a_disagreement_begins_although_an_old_day_cannot_be_read(tmp_path: Path) -> None:
    """It would be waited for at every start: nothing would be merged."""
    path_of(tmp_path, "20261112").write_bytes(b"nonsense" * 1000)
    (tmp_path / DISAGREEMENT_NAME).write_text("{}")
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5))], 3)
    one.close(None)
    assert path_of(tmp_path, "20261112").exists()


def test_a_collectors_own_day_that_was_removed_is_read_again(tmp_path: Path) -> None:
    """The union of that day is whole, and the collector's own file is not."""
    (tmp_path / DISAGREEMENT_NAME).write_text("{}")
    one = merger(tmp_path)
    store(one, [part("a", range(1, 5))], 3)
    path_of(tmp_path / "collectors" / "a", "20261120").unlink()
    with pytest.raises(StartOverError):
        store(one, [part("a", range(5, 9))], 4)
    one.close(None)
    assert merger(tmp_path).resume() is None


def test_a_choice_that_could_not_be_written_at_once_is_written_later(
    tmp_path: Path,
) -> None:
    """A full disk keeps the file of the union from being created: after that nothing is forgotten."""
    (tmp_path / DISAGREEMENT_NAME).write_text("{}")
    one = merger(tmp_path)
    messages = [part("a", range(1, 10)), part("a", range(20, 30)), part("b", range(1, 10))]
    path_of(tmp_path, "20261120").mkdir()  # no file can be made there
    with pytest.raises(ForeignFileError):
        store(one, messages, 3)
    path_of(tmp_path, "20261120").rmdir()
    store(one, messages, 3)
    one.close(None)
    with MergedReader(path_of(tmp_path, "20261120")) as union:
        assert union.chosen() == {"HK.00700": "a"}
    with MergedReader(path_of(tmp_path / "collectors" / "a", "20261120")) as own:
        assert [gap.missing for gap in own.gaps(only_open=True)] == [10]
