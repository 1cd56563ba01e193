"""OpenD's notices: known at once, few log lines, at most one reaction a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hk_tick_collector.collect.connection.notices import Notices
from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.opend.messages import Notice

if TYPE_CHECKING:
    from tests.collect.conftest import Journal

LOST = Notice("quote_link_lost", healthy=False, detail="")
BACK = Notice("quote_link_up", healthy=True, detail="")
KICKED = Notice("kicked_out", healthy=False, detail="elsewhere")
NO_RIGHT = Notice("quote_right_none", healthy=False, detail="")
RIGHT = Notice("quote_right_level2", healthy=True, detail="")


class Desk:
    """Notices, and what they led to; time stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.opend = OpenDState()
        self.led_to: list[str] = []
        self.notices = Notices(self.opend, self.led_to.append, lambda: self.led_to.append("look"), lambda: self.now_s)

    def note(self, *notices: Notice) -> None:
        """Takes them all."""
        for notice in notices:
            self.notices.note(notice)


def test_trouble_is_known_until_opend_says_that_it_is_over() -> None:
    """A right is restored only for itself; when the last trouble ends, missed ticks are requested."""
    desk = Desk()
    desk.note(KICKED, NO_RIGHT)
    assert desk.opend.trouble == {"kicked_out": "elsewhere", "quote_right_none": ""}
    desk.opend.was_unready = True
    desk.notices.serving()
    assert (desk.opend.trouble, desk.led_to) == ({"quote_right_none": ""}, ["kicked_out"])
    desk.note(RIGHT)
    assert (desk.opend.trouble, desk.led_to) == ({}, ["kicked_out", "look"])


def test_a_ready_state_does_not_end_a_kick_out() -> None:
    """OpenD may go on to report that it is ready. Ticks that come after that report end the kick-out."""
    desk = Desk()
    desk.note(KICKED, LOST)
    desk.opend.received += 3  # ticks on their way
    desk.notices.serving()
    desk.notices.serving()
    assert (desk.opend.trouble, desk.led_to) == ({"kicked_out": "elsewhere"}, ["kicked_out"])
    desk.opend.received += 1
    desk.notices.serving()
    assert (desk.opend.trouble, desk.led_to) == ({}, ["kicked_out", "look"])


def test_a_new_connection_begins_without_the_kick_out() -> None:
    """It may be another OpenD: its own state decides."""
    desk = Desk()
    desk.note(KICKED)
    desk.notices.end()
    desk.notices.serving()
    assert desk.opend.trouble == {}


def test_ticks_on_a_new_connection_show_that_the_quote_right_is_back() -> None:
    """OpenD does not report that after its restart. Ticks of the same connection may have been on their way."""
    desk = Desk()
    desk.note(NO_RIGHT)
    for _ in range(3):
        desk.opend.received += 100
        desk.notices.serving()
    assert list(desk.opend.trouble) == ["quote_right_none"]
    desk.notices.end()
    desk.notices.serving()
    desk.notices.serving()
    assert list(desk.opend.trouble) == ["quote_right_none"], "no tick yet"
    desk.opend.received += 1
    desk.notices.serving()
    assert (desk.opend.trouble, desk.opend.trouble_since_ms) == ({}, {})
    assert desk.led_to == ["quote_right_none", "look"]
    desk.now_s += 10
    desk.note(LOST, BACK)
    assert desk.led_to == ["quote_right_none", "look", "quote_link_lost", "look"], "the next interruption ends"


def test_a_quote_right_that_is_lost_again_is_trouble_of_the_new_connection() -> None:
    """OpenD reports it on the new connection too: ticks do not end it there."""
    desk = Desk()
    desk.note(NO_RIGHT)
    desk.notices.end()
    desk.notices.serving()
    desk.note(NO_RIGHT)
    desk.opend.received += 100
    desk.notices.serving()
    assert list(desk.opend.trouble) == ["quote_right_none"]


def test_a_flood_of_notices_is_a_few_lines_a_minute(journal: Journal) -> None:
    """The first five of a kind have a line each, the others a count, also if no more come."""
    desk = Desk()
    for _ in range(10_000):
        desk.note(KICKED, Notice("used_quota", healthy=True, detail="subscriptions=7"))
    desk.note(NO_RIGHT)
    desk.notices.log_due()
    lines = [event.fields["kind"] for event in journal.events("opend_notice")]
    assert lines == ["kicked_out", "used_quota"] * 5 + ["quote_right_none"]
    assert journal.events("opend_notices") == []
    desk.now_s += 61
    desk.notices.log_due()
    told = {event.fields["kind"]: event.fields["repeats"] for event in journal.events("opend_notices")}
    assert told == {"kicked_out": "9995", "used_quota": "9995"}
    desk.note(KICKED)
    assert len(journal.events("opend_notice")) == 12


def test_the_number_of_remembered_kinds_is_bounded(journal: Journal) -> None:
    """A notice with a new number each time is neither logged nor remembered each time."""
    desk = Desk()
    for number in range(10_000):
        desk.note(Notice(f"program_state_{number}", healthy=False, detail=""))
    assert len(desk.opend.trouble) == 30
    assert len(journal.events("opend_notice")) == 35
    assert desk.led_to == ["program_state_0"]


def test_repeated_losses_and_returns_cause_one_check_a_second() -> None:
    """Ticks may be missed between two checks; the last check comes after the last notice."""

    async def story() -> None:
        desk = Desk()
        for _ in range(1_000):
            desk.note(LOST, BACK)
        assert desk.led_to == ["quote_link_lost", "look", "quote_link_lost"]
        desk.now_s += 1
        await until_looked(desk)
        desk.notices.end()

    async def until_looked(desk: Desk) -> None:
        while desk.led_to[-1] != "look":  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 300))


def test_a_connection_that_ended_is_not_checked() -> None:
    """Its requests are repeated on the next connection anyway."""

    async def story() -> None:
        desk = Desk()
        desk.note(LOST, BACK, LOST, BACK)
        desk.notices.end()
        await asyncio.sleep(1.2)  # longer than the look would have waited
        assert desk.led_to == ["quote_link_lost", "look", "quote_link_lost"]

    asyncio.run(story())
