"""Which losses make a day not OK: ticks that could be expected and are lost."""

from __future__ import annotations

import pytest

from hk_tick_collector.ops.findings.completeness import check_completeness, lost_ticks
from hk_tick_collector.store.query import Completeness, Incomplete

DAY = "20261120"


def of(rows: int, expected: int) -> Completeness:
    return Completeness(3, rows, expected, without_pattern=0, counted=min(rows, expected))


def lacking(missing: int, before_start: int = 0, above: int = 0) -> Incomplete:
    return Incomplete(missing, before_start, above, "HK.00005" if above else "", "HK.00700" if missing else "")


@pytest.mark.parametrize(
    ("complete", "incomplete", "healing", "code"),
    [
        (of(100_000, 100_000), lacking(0), 0, ""),
        (of(0, 0), lacking(0), 0, ""),
        (of(50_000, 100_000), lacking(50_000, before_start=50_000), 0, ""),
        (of(50_000, 100_000), lacking(50_000), 50_000, ""),
        (of(99_995, 100_000), lacking(5), 0, ""),
        (of(99_980, 100_000), lacking(20), 0, "incomplete"),
        (of(5_570, 100_000), lacking(94_430), 0, "incomplete"),
        (of(5, 100_000), lacking(99_995, before_start=99_990), 0, "incomplete"),
        (of(0, 0), lacking(7), 0, "incomplete"),
        (of(108, 100), lacking(0, above=1), 0, "above_complete"),
    ],
    ids=[
        *("whole", "no tick yet", "a first day that began at noon", "being backfilled", "five of 100,000"),
        *("twenty of 100,000", "5.57 %", "half of what came since the start", "nothing but gaps", "108 %"),
    ],
)
def test_a_real_loss_is_never_ok(complete: Completeness, incomplete: Incomplete, healing: int, code: str) -> None:
    """Below 99.99 % of the expected ticks, or above 100 %, the day has a finding; otherwise none."""
    findings = check_completeness(DAY, complete, incomplete, healing)
    assert [finding.code for finding in findings] == ([code] if code else [])


def test_the_text_has_the_share_the_number_and_the_symbol() -> None:
    """The share of the expected ticks, how many are lost, and of which symbol most."""
    (finding,) = check_completeness(DAY, of(900, 2000), lacking(1100, before_start=1000), 0)
    assert finding.text.startswith("20261120 is 90.00% complete: 100 ticks are lost, most of them of HK.00700")
    assert finding.remedy == "hk-tick-collector gaps --open"


def test_what_is_being_imported_is_not_lost() -> None:
    """The predecessor's file may have them; a number above the sequence's count is still reported."""
    assert check_completeness(DAY, of(21, 100), lacking(79), 0, importing=True) == []
    (finding,) = check_completeness(DAY, of(108, 100), lacking(0, above=1), 0, importing=True)
    assert finding.code == "above_complete"


def test_a_small_loss_is_still_counted() -> None:
    """It is shown on the line that says OK."""
    assert lost_ticks(lacking(12, before_start=5), 4) == 3
    assert lost_ticks(lacking(12, before_start=5), 40) == 0
