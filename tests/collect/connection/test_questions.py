"""Requests that OpenD does not answer end nothing, and are logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.opend import messages

from .scripted_opend import (
    EMPTY,
    HOWS,
    KINDS,
    LATE,
    MUTE,
    REFUSED,
    SYMBOLS,
    TIMES,
    WRONG,
    OpenD,
    Service,
    named,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect.conftest import Journal


@pytest.mark.parametrize("how", [REFUSED, LATE, MUTE, WRONG, EMPTY])
@pytest.mark.parametrize("proto_id", [proto_id for proto_id in KINDS if proto_id != messages.SUB])
def test_a_request_without_an_answer_ends_nothing(journal: Journal, tmp_path: Path, proto_id: int, how: str) -> None:
    """From the start: subscribed anyway, one connection, no tick missing; logged once, and repeated."""

    async def story() -> None:
        async with Service(OpenD({proto_id: how}), tmp_path).up() as service:
            await service.until(lambda: service.opend.asked.get(proto_id, 0) >= TIMES)
            await service.until_ticks(10)
            await service.until(lambda: service.state.subscribed == len(SYMBOLS))
            assert service.feed.subscribed.is_set()
            assert KINDS[proto_id] in service.stats.questions_failed
            assert service.stats.skipped_messages == 0
            service.assert_nothing_lost()

    run(story())
    assert named(journal, KINDS[proto_id]) == 1
    assert journal.events("futu_disconnected") == []
    assert len(journal.events("futu_connected")) == 1


@pytest.mark.parametrize(
    ("proto_id", "how"),
    [
        *((proto_id, how) for proto_id in (messages.GET_GLOBAL_STATE, messages.GET_SUB_INFO) for how in HOWS),
        (messages.GET_TICKER, REFUSED),
        (messages.GET_TICKER, WRONG),
    ],
)
def test_a_request_that_fails_later_ends_nothing(journal: Journal, tmp_path: Path, proto_id: int, how: str) -> None:
    """Answers stop and return: both are logged, and no tick is missing."""

    async def story() -> None:
        async with Service(OpenD(), tmp_path).up() as service:
            opend = service.opend
            await service.until_ticks(5)
            opend.wrong[proto_id] = how
            if proto_id == messages.GET_TICKER:
                service._parts[1].request_checks(SYMBOLS)  # noqa: SLF001 - the backfiller
                await service.until(lambda: journal.events("backfill_failed"))
            else:
                await service.until(lambda: named(journal, KINDS[proto_id]))
                asked = opend.asked[proto_id]
                await service.until(lambda: opend.asked[proto_id] >= asked + TIMES)
            del opend.wrong[proto_id]
            if proto_id != messages.GET_TICKER:
                await service.until(lambda: journal.events("question_answered"))
            await service.until_ticks(5)
            await service.until(lambda: not service.stats.questions_failed)
            service.assert_nothing_lost()

    run(story())
    assert journal.events("futu_disconnected") == []
    assert named(journal, KINDS.get(proto_id, "")) <= 1


@pytest.mark.parametrize("proto_id", [messages.GET_SUB_INFO, messages.REQUEST_TRADE_DATE])
def test_a_question_that_ends_the_connection_is_left_out(journal: Journal, tmp_path: Path, proto_id: int) -> None:
    """An OpenD that closes the connection in place of an answer: after three times it is not asked, and ticks come."""
    opend = OpenD({proto_id: MUTE})
    opend.ending = lambda asked: asked == proto_id

    async def story() -> None:
        service = Service(opend, tmp_path)
        async with service.up():
            await service.until(lambda: named(journal, KINDS[proto_id]))
            await service.until_ticks(50)
        assert (opend.connections, opend.asked[proto_id]) == (4, 3)

    run(story())
