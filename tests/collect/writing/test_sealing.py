"""Finished days are sealed while today's ticks are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.collect.conftest import wait_until

from .days import TODAY, of_old_days, of_today

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collect.conftest import Journal, MakeRig

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]


def test_a_day_is_not_sealed_before_its_waiting_ticks_are_stored(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """Forty finished days may be sealed while their late ticks wait: all are stored, none is rejected."""
    rig = make_rig()
    rig.put(of_old_days(tick, 40))
    rig.writer.start()
    rig.wait_stored(40)
    rig.writer.seal_before = TODAY
    rig.put([(*row[:1], 2, *row[2:]) for row in of_old_days(tick, 40)])
    rig.wait_stored(80)
    wait_until(lambda: len(journal.events("day_sealed")) == 40, "all sealed, one after the other")
    assert rig.stats.sealed_day == 0
    assert not journal.events("day_seal_failed")


def test_one_bad_file_does_not_prevent_other_days_from_being_sealed(
    make_rig: MakeRig, tick: MakeTick, journal: Journal
) -> None:
    """A directory, a text file and a file of a newer version among finished days: each is logged once, and `status` has
    the reason; the other days are sealed. After its removal a file is no longer a finding.
    """
    rig = make_rig()
    rig.put([*of_old_days(tick, 6), *of_today(tick, 1)])
    rig.writer.start()
    rig.wait_stored(7)
    bad = [rig.data_root / f"2026111{n}.db" for n in (7, 9)]
    for path in bad:
        path.rename(path.with_suffix(".moved"))
        for part in path.parent.glob(f"{path.name}-*"):
            part.unlink()
    bad[0].mkdir()
    bad[1].write_text("notes\n")
    rig.writer.seal_before = TODAY
    wait_until(lambda: len(journal.events("day_sealed")) == 4, f"four sealed {journal.getvalue()}")
    wait_until(lambda: set(rig.stats.not_sealed) == {path.name for path in bad}, "both told")
    assert sorted(event.fields["file"] for event in journal.events("day_seal_failed")) == [path.name for path in bad]
    rig.put(of_today(tick, 1, first=5))
    rig.wait_stored(8)
