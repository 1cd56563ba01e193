"""The feed on a real socket, with a scripted OpenD: ticks are collected, whatever happens to other requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.collect.options import Waits
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb

from .scripted_opend import (
    CAP_S,
    KINDS,
    LATE,
    LATE_S,
    MUTE,
    REFUSED,
    SYMBOLS,
    TIMES,
    TRADED_S,
    WRONG,
    OpenD,
    Service,
    named,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message
    from tests.collect.conftest import Journal


@pytest.mark.parametrize("how", [LATE, MUTE, WRONG])
def test_subscribing_without_an_answer_ends_nothing(journal: Journal, tmp_path: Path, how: str) -> None:
    """OpenD gets the request and pushes: no tick is missing, and GetSubInfo proves the subscription."""

    async def story() -> None:
        async with Service(OpenD({messages.SUB: how}), tmp_path).up() as service:
            await service.until(lambda: service.state.subscribed == len(SYMBOLS))
            assert service.feed.subscribed.is_set()
            await service.until_ticks(5)
            service.assert_nothing_lost()

    run(story())
    assert named(journal, "Sub") >= 1
    assert journal.events("futu_disconnected") == []


def test_neither_sub_nor_sub_info_is_answered(journal: Journal, tmp_path: Path) -> None:
    """The pushes themselves show that the symbols are subscribed; the request is repeated on the same connection."""

    async def story() -> None:
        wrong = {messages.SUB: MUTE, messages.GET_SUB_INFO: MUTE}
        async with Service(OpenD(wrong), tmp_path).up() as service:
            await service.until(lambda: service.opend.asked.get(messages.SUB, 0) >= TIMES)
            await service.until(service.feed.subscribed.is_set)
            await service.until_ticks(5)
            service.opend.wrong.clear()
            await service.until(lambda: service.state.subscribed == len(SYMBOLS))
            service.assert_nothing_lost()

    run(story())
    assert journal.events("futu_disconnected") == []


def test_a_refused_sub_is_asked_again_on_the_same_connection(journal: Journal, tmp_path: Path) -> None:
    """A frequency limit passes; until then each symbol is named with OpenD's words."""

    async def story() -> None:
        async with Service(OpenD({messages.SUB: REFUSED}), tmp_path).up() as service:
            await service.until(lambda: set(service.state.refused) == set(SYMBOLS))
            service.opend.subscribed.clear()
            service.opend.wrong.clear()
            await service.until(lambda: service.state.subscribed == len(SYMBOLS))
            await service.until_ticks(5)
            assert service.state.refused == {}
            service.assert_nothing_lost()

    run(story())
    assert journal.events("symbols_refused")
    assert journal.events("futu_disconnected") == []


def test_ticks_are_collected_though_no_request_is_answered(journal: Journal, tmp_path: Path) -> None:
    """OpenD answers no request; the ticks are still collected."""

    async def story() -> None:
        wrong = dict.fromkeys((*KINDS, messages.GET_TICKER, messages.KEEP_ALIVE), MUTE)
        async with Service(OpenD(wrong), tmp_path).up() as service:
            await service.until_ticks(100)
            service.assert_nothing_lost()

    run(story())
    assert journal.events("futu_disconnected") == []


def test_opend_that_says_that_it_cannot_serve_is_waited_for(journal: Journal, tmp_path: Path) -> None:
    """Nothing is subscribed before OpenD reports that its program is ready."""

    class Starting(OpenD):
        ready = False

        def _reply(self, proto_id: int, body: bytes) -> Message:
            reply = super()._reply(proto_id, body)
            if isinstance(reply, pb.GetGlobalStateResponse) and not self.ready:
                reply.s2c.programStatus.type = 2
            return reply

    async def story() -> None:
        opend = Starting()
        async with Service(opend, tmp_path).up() as service:
            await service.until(lambda: opend.asked.get(messages.GET_GLOBAL_STATE, 0) >= TIMES)
            assert messages.SUB not in opend.asked
            assert service.state.program == "logging_in"
            opend.ready = True
            await service.until_ticks(5)
            service.assert_nothing_lost()

    run(story())


def test_a_late_answer_is_not_used_for_the_clock_difference(tmp_path: Path) -> None:
    """An answer after seconds does not show the difference of two clocks: no false `clock_drift`."""

    async def story() -> None:
        waits = Waits(answer_s=CAP_S, first_state_s=0.01, state_every_s=0.01)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hk_tick_collector.collect.connection.session._ROUND_TRIP_MOST_S", LATE_S / 2)
            opend = OpenD({messages.GET_GLOBAL_STATE: LATE})
            async with Service(opend, tmp_path, waits=waits).up() as service:
                await service.until(lambda: service.state.state_known)
                assert service.state.opend_time_ms == TRADED_S * 1000
                assert service.state.drift_s is None
                opend.wrong.clear()
                await service.until(lambda: service.state.drift_s is not None)

    run(story())


def test_an_old_state_is_forgotten(tmp_path: Path) -> None:
    """OpenD's state is forgotten when it has not answered for a minute (shortened here)."""

    async def story() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hk_tick_collector.collect.connection.session.STATE_STALE_S", 0.3)
            async with Service(OpenD(), tmp_path).up() as service:
                await service.until(lambda: service.state.state_known)
                service.opend.wrong[messages.GET_GLOBAL_STATE] = MUTE
                await service.until(lambda: not service.state.state_known)
                assert (service.state.program, service.state.opend_time_ms) == ("", None)
                await service.until_ticks(5)
                service.assert_nothing_lost()

    run(story())
