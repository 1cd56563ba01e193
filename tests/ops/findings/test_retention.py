"""When the disk will be full, and which days may be moved: computed from sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from hk_tick_collector.ops.findings import retention
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.store.inventory import GOOD, NO_SNAPSHOT, Kept, KeptDay

MB: Final = 2**20
TODAY: Final = "20261120"


def day(name: str, snapshot: str = GOOD, *, sealed: bool = True) -> KeptDay:
    return KeptDay(name, 300 * MB, sealed, 1, "", snapshot, 200 * MB)


def kept(*days: KeptDay, free_mb: int = 100_000, same_disk: bool = True) -> Kept:
    return Kept(list(days), [], 0, 0, 0, [], 200_000 * MB, free_mb * MB, same_disk, Path("/data"), [], [], 0, "")


def test_the_growth_is_that_of_finished_days() -> None:
    """Today's unfinished file does not count; snapshots count if they share the disk."""
    days = (day("20261118"), day("20261119"), day(TODAY, NO_SNAPSHOT)._replace(size_bytes=1))
    assert retention.forecast(kept(*days), TODAY, 2048 * MB) == (500 * MB, 195)
    assert retention.forecast(kept(*days, same_disk=False), TODAY, 2048 * MB) == (300 * MB, 326)
    assert retention.forecast(kept(days[-1]), TODAY, 2048 * MB) == (None, None)


@pytest.mark.parametrize(
    ("free_mb", "code", "severity"),
    [
        (8000, "", Severity.OK),  # eleven days
        (6500, "disk_fills", Severity.WARNING),
        (2500, "disk_fills", Severity.CRITICAL),
        (2000, "disk", Severity.WARNING),
        (500, "disk", Severity.CRITICAL),
    ],
)
def test_a_disk_that_will_be_full_is_reported_in_time(free_mb: int, code: str, severity: Severity) -> None:
    """Ten trading days before, a warning; two days before, critical; below the minimum, at once."""
    found = retention.check(kept(day("20261119"), free_mb=free_mb), TODAY, 2048 * MB)
    assert [(finding.code, finding.severity) for finding in found] == ([(code, severity)] if code else [])


def test_only_what_is_safe_may_move() -> None:
    """Sealed, with a good snapshot, older than the latest twenty trading days."""
    old = [day("20261001"), day("20261002", NO_SNAPSHOT), day("20261005", sealed=False), day("20261006")]
    recent = [day(f"202611{number:02}") for number in range(1, 21)]
    assert retention.movable(kept(*old, *recent), "20261121") == [old[0], old[3]]


def test_yesterday_need_not_be_sealed_and_today_needs_no_snapshot() -> None:
    """A day is sealed the next morning, its snapshot taken in the evening; of many days the first few are listed."""
    fine = kept(day("20261119", sealed=False), day(TODAY, NO_SNAPSHOT, sealed=False))
    assert retention.check(fine, TODAY, MB) == []
    found = retention.check(kept(*(day(f"202611{n:02}", sealed=False) for n in range(10, 20))), TODAY, MB)
    (text,) = [finding.text for finding in found]
    assert text.startswith("20261110, 20261111, 20261112 and 6 more days not sealed yet: ")


def test_renamed_damaged_files_are_named() -> None:
    """The newest damaged file by name, with the size of all."""
    found = retention.check(kept()._replace(damaged=[Path("a"), Path("b")], damaged_bytes=7 * MB), TODAY, MB)
    (finding,) = found
    assert finding.text.startswith("2 damaged day files are kept under another name, 7 MB: b; ")
