"""Days whose file lacks rows that we had are counted again, each once, and logged."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.collect.storing_state import StoringState
from hk_tick_collector.collect.writing.recount_days import RecountDays
from hk_tick_collector.errors import StoreError

if TYPE_CHECKING:
    from tests.collect.conftest import Journal

DAY = market.parse_day("20261120")


def test_days_with_a_new_file_and_days_that_lost_rows_are_counted_again(journal: Journal) -> None:
    """A loss of the spool may concern every open day, and is noticed once."""
    storing, fresh, asked = StoringState(), deque([DAY]), []

    def rebuild(day: int) -> bool:
        asked.append(day)
        return True

    recount = RecountDays(storing, SimpleNamespace(fresh_days=fresh), rebuild, lambda: [DAY, DAY + 1], list)  # type: ignore[arg-type]
    recount.check()
    assert (asked, len(journal.events("day_begun_afresh"))) == ([DAY], 1)
    storing.lost_rows += 5
    recount.check()
    recount.check()
    assert (asked, len(journal.events("day_recounted"))) == ([DAY, DAY, DAY + 1], 2)


def test_a_day_that_cannot_be_read_waits_and_delays_no_other(journal: Journal) -> None:
    """It is logged, and tried again after the others."""
    storing, broken = StoringState(lost_rows=1), [True]

    def rebuild(day: int) -> bool:
        if day == DAY and broken[0]:
            raise StoreError("no such file")
        return True

    recount = RecountDays(storing, SimpleNamespace(fresh_days=deque()), rebuild, lambda: [DAY, DAY + 1], list)  # type: ignore[arg-type]
    recount.check()
    assert [event.fields["day"] for event in journal.events("day_not_rebuilt")] == ["20261120"]
    broken[0] = False
    recount.check()
    assert [event.fields.get("day", "") or event.name for event in journal.events("day_recounted")]
    assert len(journal.events("day_recounted")) == 2


def test_an_unreadable_day_is_tried_every_second_and_logged_once_it_is_read(journal: Journal) -> None:
    """That it cannot be read was logged at the start; other days do not wait for it."""
    unread, asked = [DAY, DAY + 1], []

    def rebuild(day: int) -> bool:
        asked.append(day)
        if len(asked) <= 2:
            raise StoreError("not to be read")
        if day == DAY + 1 and len(asked) <= 4:
            return False
        unread.remove(day)
        return True

    fresh = SimpleNamespace(fresh_days=deque())
    recount = RecountDays(StoringState(), fresh, rebuild, list, lambda: unread)  # type: ignore[arg-type]
    for _ in range(6):
        recount.check()
    assert unread == []
    assert {event.fields["day"] for event in journal.events("day_resumed")} == {"20261120", "20261121"}
    assert not journal.events("day_not_rebuilt")


def test_a_day_that_must_wait_delays_no_other(journal: Journal) -> None:
    """Its rows are in the spool while its file cannot be written; meanwhile the other days are counted."""
    recount = RecountDays(
        StoringState(lost_rows=1),
        SimpleNamespace(fresh_days=deque()),  # type: ignore[arg-type]
        lambda day: day != DAY,
        lambda: [DAY, DAY + 1],
        list,
    )
    recount.check()
    recount.check()
    assert [event.fields["day"] for event in journal.events("day_recounted")] == ["20261121"]
