"""What the stream must still hold is noted and read back; a loss behind a connection that stays is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.publishing.conftest import Publishing, day_of, ticks

from hk_tick_collector.jetstream.anchor import Anchor
from hk_tick_collector.jetstream.engine import ask
from hk_tick_collector.publishing.anchors import Anchors

if TYPE_CHECKING:
    from hk_tick_collector.jetstream.connect import Connection

TODAY = day_of()


def test_noted_anchors_come_back() -> None:
    """The last one and a limited number before it, whatever else the file holds."""
    anchors = Anchors({})
    assert anchors.to_note == {"anchor": "", "anchors": ""}
    for seq in range(1, 20):
        anchors.acknowledged(Anchor(seq, f"a.20261120.x.{seq}"))
        anchors.keep()
        anchors.keep()
    anchors.acknowledged(Anchor(20, "a.20261120.x.20"))
    anchors.acknowledged(Anchor(3, "a.20261120.x.21"))  # after a loss
    noted = anchors.to_note
    assert noted["anchor"] == "20 a.20261120.x.20"
    assert [word for word in noted["anchors"].split() if word.isdigit()] == ["14", "15", "16", "17", "18", "19"]
    assert Anchors(noted).to_note == noted
    anchors.forget()
    assert anchors.to_note == {"anchor": "", "anchors": ""}


@pytest.mark.parametrize("noted", ["x", "1", "x y", "², a.1"])
def test_what_is_not_an_anchor_is_passed_over(noted: str) -> None:
    """Another program wrote it."""
    assert Anchors({"anchor": noted}).to_note["anchors"] == ""


def test_a_loss_behind_a_connection_that_stays_is_noticed(publishing: Publishing) -> None:
    """The stream is deleted and made again while ticks keep coming: the last message is one of after that."""
    running = publishing.start()
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 5)

    async def replace(connection: Connection) -> None:
        found = await ask(connection, "STREAM.INFO.HK_TICKS")
        await ask(connection, "STREAM.DELETE.HK_TICKS")
        await ask(connection, "STREAM.CREATE.HK_TICKS", found["config"])

    publishing.ask(replace)
    for seq in range(5, 9):
        publishing.collector.add(TODAY, ticks("HK.00700", [seq]))
    publishing.wait_streamed(running, lambda found: len(set(found.rows(TODAY))) == 9)
    assert running.events("publish_lost_data")
