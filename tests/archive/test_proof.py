"""A day is `complete` only with proof: of each symbol by itself, of the ledger, and by figures that fit their word.

Certificate and `quality` give the same answer, because one module finds it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.archive.conftest import open_ms

from hk_tick_collector import market
from hk_tick_collector.archive.facts import read_facts
from hk_tick_collector.archive.proof import COMPLETE, GAPS_KNOWN, NOT_PROVABLE
from hk_tick_collector.model import WITHOUT_BOTH
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.places import DayLocation
from hk_tick_collector.quality.verdict import judge

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDay

    from hk_tick_collector.archive.proof import Proof

DAY = "20261120"


def proof_of(path: Path, *statements: str) -> Proof:
    """What a day file proves after these statements: the same to a certificate and to `quality`."""
    path.chmod(0o640)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA ignore_check_constraints = on")
        for statement in statements:
            db.execute(statement)
    facts = read_facts(path)
    place = DayLocation(path.stem, path, None)
    judged_facts = list(read_day(place, open_ms(path.stem) + market.DAY_MS))[-1]
    assert isinstance(judged_facts, DayFacts)
    judged = judge(judged_facts, 2.0)
    assert judged.standing == facts.proof.standing
    assert set(facts.proof.doubts) <= {each.code for each in judged.findings + judged.notes}
    return facts.proof


def gap(symbol: str, missing: int | None, status: str = "open", cause: str = "disconnected") -> str:
    size = "NULL" if missing is None else str(missing)
    return (
        "INSERT INTO gaps (symbol, from_seq, to_seq, missing, cause, status, opened_ms)"
        f" VALUES ('{symbol}', 1, 2, {size}, '{cause}', '{status}', 1)"
    )


def test_a_day_of_the_collector_is_complete(make_day: MakeDay) -> None:
    """Nothing is doubted of a day as the collector leaves it."""
    proof = proof_of(make_day(DAY))
    assert (proof.standing, proof.doubts) == (COMPLETE, {})


ANOTHER = "SELECT session, 'HK.1', at_ms, 0, 0, 0, 0, 0, 0, 9, 9, '{explained}' FROM reconciliation LIMIT 1"
LACKING = "UPDATE symbols SET expected = expected + 5 WHERE symbol = 'HK.00700'"


def test_a_surplus_of_one_symbol_hides_nothing_of_another(make_day: MakeDay) -> None:
    """Five ticks of HK.00700 are missing; gaps and closed gaps of HK.00005 account for none of them."""
    known = proof_of(make_day(DAY), LACKING, gap("HK.00700", 5))
    assert (known.standing, known.doubts) == (GAPS_KNOWN, {})
    other = proof_of(make_day("20261119"), LACKING, gap("HK.00005", 5))
    assert (other.standing, other.not_explained) == (NOT_PROVABLE, {"HK.00700": 5})
    negative = proof_of(make_day("20261115"), LACKING, gap("HK.00700", 5), gap("HK.00005", -3))
    assert negative.doubts == {"gaps_of_unknown_size": 1}
    elsewhere = [gap("HK.00005", 0, "healed", "other_day") for _ in range(5)]
    assert proof_of(make_day("20261118"), LACKING, *elsewhere).not_explained == {"HK.00700": 5}
    here = [gap("HK.00700", 0, "healed", "other_day") for _ in range(5)]
    assert proof_of(make_day("20261117"), LACKING, *here).standing == GAPS_KNOWN
    above = "UPDATE symbols SET expected = expected - 5 WHERE symbol = 'HK.00005'"
    assert proof_of(make_day("20261116"), LACKING, above).doubts == {"above_complete": 1, "not_explained": 5}


@pytest.mark.parametrize(
    ("doubt", "statement"),
    [
        ("no_rule", "UPDATE symbols SET expected = NULL WHERE symbol = 'HK.00700'"),
        ("no_rule", "UPDATE symbols SET rule = 'none' WHERE symbol = 'HK.00700'"),
        ("no_rule", "UPDATE symbols SET rule = '' WHERE symbol = 'HK.00700'"),
        ("no_rule", "UPDATE symbols SET rule = 'guessed' WHERE symbol = 'HK.00700'"),
        ("gaps_of_unknown_size", gap("HK.00700", None)),
        ("gaps_of_unknown_size", gap("HK.00700", 0)),
        ("not_explained", gap("HK.00700", 3, "healed")),
        ("not_explained", gap("HK.00700", 3, "lost")),
        ("ledger_differs", "UPDATE ledger SET duplicate = -3, received = received - 3"),
        ("ledger_differs", "UPDATE ledger SET received = received + 1"),
        ("ledger_differs", "UPDATE ledger SET stored = stored - 1, received = received - 1"),
        ("ledger_differs", "DELETE FROM ledger"),
        ("not_compared", "DELETE FROM reconciliation"),
        ("not_compared", "UPDATE reconciliation SET session = 'lunch'"),
        ("not_compared", "UPDATE reconciliation SET session = 'Close'"),
        ("no_answer", "DELETE FROM reconciliation WHERE symbol = 'HK.00700'"),
        ("no_answer", "UPDATE reconciliation SET explained = 'no_answer', official_volume = NULL"),
        ("totals_differ", "UPDATE reconciliation SET explained = 'unexplained' WHERE symbol = 'HK.00700'"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = 'all_fine' WHERE symbol = 'HK.00700'"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = ''"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = 'gap'"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = 'rejected'"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = 'not_traded'"),
        ("totals_not_shown", "UPDATE reconciliation SET official_volume = official_volume + 1"),
        ("totals_not_shown", "UPDATE reconciliation SET official_volume = NULL"),
        ("totals_not_shown", "UPDATE reconciliation SET explained = 'match_without_late', late_volume = 1"),
        ("totals_not_shown", "UPDATE reconciliation SET volume = 9e15, official_volume = 9e15"),
        ("totals_not_shown", "UPDATE reconciliation SET at_ms = at_ms - 86400000"),
        ("totals_not_shown", f"INSERT INTO reconciliation {ANOTHER.format(explained='match')}"),
    ],
)  # fmt: skip
def test_each_value_that_proves_nothing(make_day: MakeDay, doubt: str, statement: str) -> None:
    """None of these days is `complete`, and the certificate says which figure is the reason."""
    proof = proof_of(make_day(DAY), statement)
    assert (proof.standing, list(proof.doubts)) == (NOT_PROVABLE, [doubt])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reconciliation SET explained = 'turnover', official_turnover = 9",
        "UPDATE reconciliation SET explained = 'match_without_odd_lots', volume = 9, odd_lot_volume = 8",
        "UPDATE reconciliation SET explained = 'match_without_late', volume = 9, late_volume = 8",
        f"UPDATE reconciliation SET volume = 4, odd_lot_volume = 2, late_volume = 1, explained = '{WITHOUT_BOTH}'",
        f"INSERT INTO reconciliation {ANOTHER.format(explained='not_traded')}",
    ],
)
def test_each_result_that_proves(make_day: MakeDay, statement: str) -> None:
    """Every way in which OpenD's totals agree with ours, if the figures show it."""
    assert proof_of(make_day(DAY), statement).standing == COMPLETE


def test_ticks_that_were_dropped_are_missing_in_gaps(make_day: MakeDay) -> None:
    """With open gaps the sequences say which ticks were dropped, or waiting when a run was killed."""
    dropped = "UPDATE ledger SET dropped = 3, waiting = 2, received = received + 5"
    proof = proof_of(make_day(DAY), LACKING, gap("HK.00700", 5, cause="dropped"), dropped)
    assert (proof.standing, proof.doubts) == (GAPS_KNOWN, {})


@pytest.mark.parametrize("name", ["waiting", "dropped"])
def test_ticks_that_a_killed_run_left_waiting_need_a_witness(make_day: MakeDay, name: str) -> None:
    """They were received again if OpenD's totals match for each symbol; without any witness nothing shows it."""
    left = f"UPDATE ledger SET {name} = 3, received = received + 3"
    assert proof_of(make_day(DAY), left).standing == COMPLETE
    silent = proof_of(make_day("20261119"), left, "DELETE FROM reconciliation")
    assert list(silent.doubts) == ["ledger_differs", "not_compared"]
    other = "UPDATE reconciliation SET explained = 'turnover' WHERE symbol = 'HK.00700'"
    assert list(proof_of(make_day("20261118"), left, other).doubts) == ["ledger_differs"]
