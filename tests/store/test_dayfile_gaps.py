"""Gaps and rules in a day file: every figure that is kept beside the rows equals one that is counted from them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import apsw
import pytest
from tests.store.other_readers import query

from hk_tick_collector.errors import SchemaChangedError
from hk_tick_collector.model import GAP_HEALED, GAP_OPEN, Gap, RuleChange
from hk_tick_collector.store.dayfile import Batch
from hk_tick_collector.store.query import DayReader

from .conftest import NOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    from .conftest import OpenDay

    MakeTick = Callable[..., TickRow]

SYMBOLS: Final = ("HK.00005", "HK.00700")
# What the contract says `expected` is: rows, ticks missing in open gaps, and ticks that came and are not in this file.
EXPECTED: Final = """
    SELECT symbol, rows + (SELECT ifnull(sum(missing), 0) FROM gaps WHERE gaps.symbol = symbols.symbol
        AND status = 'open') + (SELECT count(*) FROM gaps WHERE gaps.symbol = symbols.symbol
        AND status = 'healed' AND cause IN ('rejected', 'other_day'))
    FROM symbols WHERE rule = 'counter' ORDER BY symbol
"""


def gap(number: int, missing: int | None, symbol: str = SYMBOLS[1], *, cause: str = "push_lost") -> Gap:
    """A gap that is open; with 0 one that is filled."""
    is_open = missing != 0
    status, closed_ms = (GAP_OPEN, None) if is_open else (GAP_HEALED, NOW_MS)
    return Gap(symbol, 1, 9, NOW_MS, NOW_MS, missing, cause, status, NOW_MS, closed_ms, number)


def figures(path: Path) -> tuple[object, ...]:
    """The open gaps and what they miss, counted from the table."""
    return query(path, "SELECT count(*), ifnull(sum(missing), 0) FROM gaps WHERE status = 'open'")[0]


def of_symbol(number: int, missing: int | None) -> Gap:
    """A gap of one symbol for ever. Those from 5 on are marks of ticks that came and are not stored: never open."""
    mark = {5: "rejected", 6: "other_day"}.get(number, "")
    return gap(number, 0 if mark else missing, SYMBOLS[number % 2], cause=mark or "push_lost")


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_of_gaps_are_those_of_their_rows(open_day: OpenDay, path: Path, tick: MakeTick, seed: int) -> None:
    """However gaps open, grow, shrink, close and open again: the counts that `status` shows and `expected` of each
    symbol agree with the rows of `gaps`. Exactly the gaps that a transaction opened or closed are reported.
    """
    random, day = Random(seed), open_day(path)
    rules = [RuleChange(0, symbol, "counter", 0) for symbol in SYMBOLS]
    day.write(Batch(rows=[tick(symbol, 1) for symbol in SYMBOLS], rules=rules), NOW_MS)
    for _ in range(25):
        sizes = random.choices([None, 0, 0, 1, 2, 7], k=random.randrange(5))
        gaps = [of_symbol(random.randrange(1, 7), missing) for missing in sizes]
        before = {row[0]: row[1] for row in query(path, "SELECT id, status FROM gaps")}
        written = day.write(Batch(gaps=gaps), NOW_MS)
        last = {each.id: each for each in gaps}
        turned = [each for each in last.values() if each.status != before.get(each.id, GAP_HEALED)]
        assert list(written.gaps) == turned
        assert (day.gaps_open, day.gaps_missing) == figures(path)
        assert query(path, "SELECT symbol, expected FROM symbols ORDER BY symbol") == query(path, EXPECTED)
    day.abandon()
    again = open_day(path)
    assert (again.gaps_open, again.gaps_missing) == figures(path)


def test_a_rule_waits_for_the_first_tick_of_its_symbol(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """What was judged of a symbol whose ticks are all still missing is written with its first one."""
    day = open_day(path)
    day.write(Batch(rules=[RuleChange(0, "HK.00700", "counter", 5), RuleChange(0, "HK.00005", "none", 0)]), NOW_MS)
    day.write(Batch(gaps=[gap(1, 3)], rules=[RuleChange(0, "HK.00005", "counter", 0)]), NOW_MS)
    day.write(Batch(rows=[tick("HK.00700", 9)]), NOW_MS)
    rules = "SELECT symbol, rule, run_seq, expected FROM symbols"
    assert query(path, rules) == [("HK.00700", "counter", 5, 4)]
    day.write(Batch(rows=[tick("HK.00005", 9)], rules=[RuleChange(0, "HK.00700", "none", 0)]), NOW_MS)
    assert query(path, f"{rules} ORDER BY symbol") == [("HK.00005", "counter", 0, 1), ("HK.00700", "none", 0, None)]


def test_a_rule_whose_commit_failed_still_waits(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """A batch that fails and is tried again leaves the same as one that succeeds at once."""
    day = open_day(path)
    bad = (*tick("HK.00700", 2)[:3], None, *tick("HK.00700", 2)[4:])
    with pytest.raises(apsw.ConstraintError):
        day.write(Batch(rows=[bad], gaps=[gap(1, 3)], rules=[RuleChange(0, "HK.00700", "counter", 0)]), NOW_MS)  # type: ignore[list-item]
    assert (day.gaps_open, day.gaps_missing) == figures(path) == (0, 0)
    day.write(Batch(gaps=[gap(1, 3)], rules=[RuleChange(0, "HK.00700", "counter", 0)]), NOW_MS)
    with pytest.raises(apsw.ConstraintError):
        day.write(Batch(rows=[tick("HK.00700", 1), bad], gaps=[gap(1, 0)]), NOW_MS)  # type: ignore[list-item]
    assert (day.gaps_open, day.gaps_missing) == figures(path) == (1, 3)
    day.write(Batch(rows=[tick("HK.00700", 1)]), NOW_MS)
    assert query(path, "SELECT rule, expected FROM symbols") == [("counter", 4)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE gaps SET missing = -1", "20261120.db: the sum of gaps.missing is -1"),
        ("UPDATE gaps SET missing = 9007199254740992", "20261120.db: the sum of gaps.missing is 9007199254740992"),
        (
            "INSERT INTO gaps SELECT symbol, from_seq, to_seq, 0, 0, -5, cause, status, 0, NULL, 7 FROM gaps",
            "20261120.db: the sum of gaps.missing is 995",
        ),
        ("UPDATE symbols SET last_ts_ms = 4102444800000", "20261120.db: symbols.last_ts_ms is 4102444800000"),
    ],
)
def test_figures_written_by_another_program_are_refused(
    open_day: OpenDay, path: Path, tick: MakeTick, change: str, told: str
) -> None:
    """A file in which another program changed figures is named, with its figure and a remedy, before a tick goes in."""
    day = open_day(path)
    day.write(Batch(rows=[tick("HK.00700", 1)], gaps=[gap(1, 1000)]), NOW_MS)
    day.abandon()
    other = apsw.Connection(str(path))
    other.execute(change)
    other.close()
    with pytest.raises(SchemaChangedError) as caught:
        open_day(path)
    assert str(caught.value) == told
    assert "docs/sqlite-wal.md" in caught.value.hint


def test_the_largest_figures_of_ours_are_taken(open_day: OpenDay, path: Path, tick: MakeTick) -> None:
    """A gap of nearly the whole range of a sequence, a gap without missing ticks, and a tick of the last millisecond of
    2099 do not show that another program changed the file.
    """
    day = open_day(path)
    gaps = [gap(1, 2**53 - 1), gap(2, 0)._replace(status=GAP_OPEN, closed_ms=None)]
    day.write(Batch(rows=[tick("HK.00700", 1, 4_102_444_799_999)], gaps=gaps), NOW_MS)
    day.abandon()
    again = open_day(path)
    assert (again.gaps_open, again.gaps_missing, again.newest_ts_ms) == (2, 2**53 - 1, 4_102_444_799_999)
    with DayReader(path) as reader:
        assert [each.missing for each in reader.gaps()] == [2**53 - 1, 0]
