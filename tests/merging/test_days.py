"""The union of collectors in one directory: rows, gaps, witnesses, conflicts, and the position in the stream."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.merging.feeds import DAY, NOW_MS, at, part, tick, ticks

from hk_tick_collector import cli, market
from hk_tick_collector.jetstream.message import SumsMessage
from hk_tick_collector.merging.days import MergedDays
from hk_tick_collector.merging.parts import CAUSE_NO_SOURCE, Part, StartOverError
from hk_tick_collector.model import Tick
from hk_tick_collector.store.dayfile import StoreOptions, seal
from hk_tick_collector.store.merged_rows import MergedReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.merging.days import Stored


def now_ms() -> int:
    return NOW_MS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def days(root: Path) -> Iterator[MergedDays]:
    made = open_days(root)
    yield made
    made.close_all(None)


def open_days(root: Path) -> MergedDays:
    return MergedDays(root, StoreOptions(synchronous="OFF"), "test", now_ms)


def store(days: MergedDays, parts: Sequence[Part], stream_seq: int) -> list[Stored]:
    return [days.commit(each) for each in days.prepare(parts, at(stream_seq))]


def reader(days: MergedDays, day: int = DAY) -> MergedReader:
    return MergedReader(days.path(day))


def test_two_collectors_give_each_tick_once(days: MergedDays) -> None:
    """The same ticks from both, received at other times, are one set; the ledger balances and nothing is a conflict."""
    store(days, [part("a", range(1, 101))], 1)
    (second,) = store(days, [part("b", range(51, 151), recv_ms=40)], 2)
    assert (second.written.stored, second.written.duplicate, second.written.conflicts) == (50, 50, ())
    with reader(days) as found:
        assert [each.seq for each in found.ticks_by_key()] == [row[1] for row in ticks(range(1, 151))]
        run = found.ledger()[-1]
        assert run.received == run.stored + run.duplicate == 200
        assert found.gaps() == []
        assert found.miscounted() == []


def test_a_gap_of_one_is_filled_by_the_other_who_is_named(days: MergedDays) -> None:
    """A gap is open until some collector has the ticks; the row then says who brought the last of them."""
    store(days, [part("a", [*range(1, 11), *range(21, 31)])], 1)
    with reader(days) as found:
        (gap,) = found.gaps()
        assert (gap.status, gap.missing, gap.cause) == ("open", 10, CAUSE_NO_SOURCE)
        assert found.witnesses() == {}
    store(days, [part("b", range(11, 16))], 2)
    store(days, [part("c", range(16, 21))], 3)
    with reader(days) as found:
        (gap,) = found.gaps()
        assert (gap.status, gap.missing) == ("healed", 0)
        assert found.witnesses() == {gap.id: "c"}
        (count,) = found.symbols()
        assert (count.rows, count.expected) == (30, 30)


def test_ticks_that_no_collector_has_stay_a_gap(days: MergedDays) -> None:
    """Both miss 11 to 15; each misses more, which the other has. What remains is what no one has."""
    store(days, [part("a", [*range(1, 6), *range(16, 31)]), part("b", [*range(1, 11), *range(21, 31)])], 1)
    with reader(days) as found:
        (gap,) = found.gaps(only_open=True)
        low, high = gap.from_seq or 0, gap.to_seq or 0
        assert (low & 0xFFFFFFFF, high & 0xFFFFFFFF, gap.missing) == (11, 15, 5)
        assert found.completeness().expected == 30


def test_any_order_and_repetition_gives_the_same_file(tmp_path: Path) -> None:
    """Parts of three collectors in twenty orders, each sent twice: always the same ticks and no open gap."""
    whole = ticks(range(1, 401))
    for seed in range(20):
        random = Random(seed)
        parts = []
        for source in ("a", "b", "c"):
            has = [row for number, row in enumerate(whole) if (number // 40) % 3 != "abc".index(source)]
            parts += [Part(DAY, source, has[start : start + 25]) for start in range(0, len(has), 25)] * 2
        random.shuffle(parts)
        root = tmp_path / str(seed)
        root.mkdir()
        days = open_days(root)
        for number in range(0, len(parts), 4):
            store(days, parts[number : number + 4], number + 1)
        with reader(days) as found:
            assert [tuple(each) for each in found.ticks_by_key()] == whole
            assert found.gaps(only_open=True) == []
            (count,) = found.symbols()
            assert (count.rows, count.expected) == (400, 400)
        days.close_all(None)


def test_the_same_key_with_other_content_is_kept_beside(days: MergedDays) -> None:
    """The first stays in `ticks`; the other one is in `conflicts`, whole and with its source, once."""
    store(days, [part("a", range(1, 11))], 1)
    other = Tick(*tick(5))._replace(volume=999, price=1.0)
    (stored,) = store(days, [Part(DAY, "b", [tuple(other), *ticks([11])])], 2)  # type: ignore[list-item]
    assert (stored.written.stored, len(stored.written.conflicts)) == (1, 1)
    store(days, [Part(DAY, "b", [tuple(other)])], 3)  # type: ignore[list-item]
    with reader(days) as found:
        assert list(found.conflicts()) == [("b", other)]
        assert found.tick(other.symbol, other.seq) == Tick(*tick(5))
        assert len(list(found.ticks_by_key())) == 11


def test_the_source_of_a_conflict_is_right_among_equal_rows(days: MergedDays) -> None:
    """Three collectors in one transaction: two agree, one differs, and it is the one that is named."""
    wrong = tuple(Tick(*tick(5))._replace(volume=1))
    store(days, [part("a", [5]), part("b", [5]), Part(DAY, "c", [wrong])], 1)  # type: ignore[list-item]
    with reader(days) as found:
        assert [source for source, _ in found.conflicts()] == ["c"]


def test_the_position_is_committed_with_the_ticks(days: MergedDays, root: Path) -> None:
    """A merge that is killed after any commit reads on exactly where its file ends."""
    store(days, [part("a", range(1, 11))], 7)
    assert open_days(root).positions().unsealed == {DAY: at(7)}


def test_a_failed_commit_may_be_repeated(days: MergedDays) -> None:
    """The same transaction twice, as after a COMMIT that returned an error and yet happened: nothing is counted twice
    in ticks, gaps or expected counts."""
    (prepared,) = days.prepare([part("a", [*range(1, 6), *range(8, 11)])], at(1))
    days.commit(prepared)
    days.close(DAY, None)
    days.commit(prepared)
    with reader(days) as found:
        (count,) = found.symbols()
        assert (count.rows, count.expected) == (8, 10)
        assert [gap.missing for gap in found.gaps()] == [2]


def test_gaps_are_known_after_a_restart(days: MergedDays, root: Path) -> None:
    """The next process reads gaps and counters from the file, and fills the same row."""
    store(days, [part("a", [*range(1, 6), *range(9, 11)])], 1)
    days.close_all(at(1))
    again = open_days(root)
    store(again, [part("b", range(6, 9))], 2)
    with reader(again) as found:
        assert [(gap.status, gap.missing) for gap in found.gaps()] == [("healed", 0)]
        assert found.gaps()[0].id in found.witnesses()
    again.close_all(at(2))
    assert open_days(root).positions().unsealed == {DAY: at(2)}


def test_a_restart_that_reads_everything_again_changes_nothing(days: MergedDays, root: Path) -> None:
    """The whole stream again into a file that has it: only duplicates, and no gap opens."""
    parts = [part("a", [*range(1, 51), *range(61, 101)]), part("b", range(1, 101))]
    store(days, parts, 1)
    days.close_all(at(1))
    again = open_days(root)
    (stored,) = store(again, parts, 1)
    assert (stored.written.stored, stored.written.duplicate) == (0, 190)
    with reader(again) as found:
        assert found.gaps(only_open=True) == []
    again.close_all(None)


def test_days_are_files_of_their_own(days: MergedDays) -> None:
    """Ticks of two days in one batch go to two files, each with the position."""
    store(days, [part("a", range(1, 4)), part("a", range(1, 3), day=DAY + 1)], 9)
    days.close_all(None)
    assert days.positions().unsealed == {DAY: at(9), DAY + 1: at(9)}
    with reader(days, DAY + 1) as found:
        assert len(list(found.ticks_by_key())) == 2


def test_a_late_tick_of_a_sealed_day_is_given_back(days: MergedDays) -> None:
    """A sealed file is never changed: what it has is a duplicate, what it lacks is returned to be logged whole."""
    store(days, [part("a", range(1, 11))], 1)
    assert days.seal(DAY, at(1))
    (stored,) = store(days, [part("b", range(5, 13))], 2)
    assert (stored.written.stored, stored.written.duplicate) == (0, 6)
    assert [row[1] for row in stored.late] == [row[1] for row in ticks([11, 12])]


def test_a_file_that_was_removed_is_noticed(days: MergedDays) -> None:
    """Another program removed the day file: the stream must be read again from the position of what is there."""
    store(days, [part("a", range(1, 11))], 1)
    days.path(DAY).rename(days.path(DAY).with_suffix(".moved"))
    with pytest.raises(StartOverError):
        store(days, [part("a", [11])], 2)


def test_sources_are_remembered(days: MergedDays, root: Path) -> None:
    """Who sent ticks of a day, and whose own file is sealed, is in the file: sealing needs it after a restart."""
    store(days, [part("a", [1]), part("b", [2])], 1)
    days.note_sums(DAY, SumsMessage("a", market.day_name(DAY), NOW_MS, True, {"HK.00700": (1, 1)}), is_over=True)
    days.close_all(at(1))
    assert open_days(root).sources(DAY) == {"a": str(NOW_MS), "b": "open"}


def test_a_merged_day_is_an_ordinary_day_file(days: MergedDays) -> None:
    """Sealing checks it, and it is then one plain file."""
    store(days, [part("a", range(1, 11))], 1)
    days.close(DAY, at(1))
    assert seal(days.path(DAY), NOW_MS, StoreOptions())
    assert {path.name for path in days.root.iterdir()} == {f"{market.day_name(DAY)}.db"}


def test_gaps_names_the_witness(
    days: MergedDays, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb says who filled a gap of a merged day, in the table and as JSON."""
    store(days, [part("a", [*range(1, 6), *range(9, 11), *range(13, 15)])], 1)
    store(days, [part("host-2", range(6, 9))], 2)
    monkeypatch.setenv("DATA_ROOT", str(days.root))
    assert cli.main(["gaps", "--day", market.day_name(DAY)]) == 0
    assert "no_source, host-2 had it" in capsys.readouterr().out
    assert cli.main(["gaps", "--day", market.day_name(DAY), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["gaps"]
    assert [(gap["status"], gap.get("witness")) for gap in found] == [("healed", "host-2"), ("open", None)]
