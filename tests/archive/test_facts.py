"""The verdict of a day never says more than its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest
from tests.archive.conftest import open_ms

from hk_tick_collector.archive.facts import demand_sealed, read_facts
from hk_tick_collector.archive.proof import COMPLETE, GAPS_KNOWN, NOT_PROVABLE
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import Gap

if TYPE_CHECKING:
    from tests.archive.conftest import MakeDay

DAY = "20261120"


def gap(missing: int | None, status: str = "open", cause: str = "disconnect") -> Gap:
    at_ms = open_ms(DAY)
    low, high = (at_ms // 1000) << 32 | 300, (at_ms // 1000) << 32 | 302
    return Gap("HK.00700", low, high, at_ms, at_ms, missing, cause, status, at_ms, None, 1)


def test_complete_needs_the_comparison_after_the_close(make_day: MakeDay) -> None:
    """A sequence does not show that ticks came after its last one; OpenD's totals after the close do."""
    assert read_facts(make_day(DAY)).proof.standing == COMPLETE
    assert read_facts(make_day("20261119", session="lunch")).proof.standing == NOT_PROVABLE
    assert read_facts(make_day("20261118", session="")).proof.standing == NOT_PROVABLE


def test_complete_needs_the_comparison_of_every_symbol(make_day: MakeDay) -> None:
    """A symbol that was removed from the settings during the day has ticks, and was not compared after the close."""
    path = make_day(DAY)
    path.chmod(0o640)
    with apsw.Connection(str(path)) as db:
        db.execute("DELETE FROM reconciliation WHERE symbol = 'HK.00700'")
    facts = read_facts(path)
    assert (facts.proof.not_compared, facts.proof.standing) == (("HK.00700",), NOT_PROVABLE)


def test_gaps_of_known_and_unknown_size(make_day: MakeDay) -> None:
    """Known gaps are a verdict of their own; one of unknown size makes the day not provable."""
    known = read_facts(make_day(DAY, gaps=[gap(3)]))
    assert (known.proof.standing, known.missing, known.gaps.open) == (GAPS_KNOWN, 3, 1)
    assert read_facts(make_day("20261119", gaps=[gap(None)])).proof.standing == NOT_PROVABLE
    rejected = read_facts(make_day("20261118", gaps=[gap(0, "healed", "rejected")]))
    assert (rejected.proof.standing, rejected.gaps.rejected) == (GAPS_KNOWN, 1)


def test_a_day_without_ticks_proves_nothing(make_day: MakeDay) -> None:
    """0 rows are a verdict too, and no error."""
    facts = read_facts(make_day(DAY, 0))
    assert (facts.totals.rows, facts.proof.standing) == (0, NOT_PROVABLE)


def test_the_hash_of_the_gaps_can_be_computed_anew(make_day: MakeDay) -> None:
    """With sqlite3 and sha256sum, as docs/archive.md says."""
    import subprocess

    path = make_day(DAY, gaps=[gap(3)])
    sql = "SELECT * FROM gaps ORDER BY opened_ms, symbol, from_seq"
    command = f"sqlite3 '{path}' '{sql}' | sha256sum"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == read_facts(path).gaps.sha256


def test_a_day_that_is_not_sealed_is_refused(make_day: MakeDay) -> None:
    """Ticks may still come."""
    path = make_day(DAY, sealed=False)
    with pytest.raises(StoreError, match="20261120 is not sealed: ticks may still come"):
        demand_sealed(path, read_facts(path))


def test_the_file_of_another_day_is_refused(make_day: MakeDay) -> None:
    """A copy under another name: its ticks would be signed as those of a day on which they were not traded."""
    path = make_day(DAY)
    other = path.with_name("20261123.db")
    path.rename(other)
    with pytest.raises(StoreError, match="is the file of 20261120, not of 20261123"):
        demand_sealed(other, read_facts(other))
