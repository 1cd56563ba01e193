"""Connections one after the other."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector import market
from hk_tick_collector.opend import messages

from .scripted_opend import (
    MUTE,
    TRADED_S,
    OpenD,
    Service,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect.conftest import Journal


@pytest.mark.parametrize("after", [messages.INIT_CONNECT, messages.GET_GLOBAL_STATE, messages.SUB])
def test_useless_connections_are_repeated_with_growing_delay(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """OpenD accepts and closes at once, or after a request: the delay grows to its maximum, the log has few lines."""
    delays: list[tuple[float, float]] = []

    class Chance(random.Random):
        def uniform(self, a: float, b: float) -> float:
            delays.append((a, b))
            return a

    async def story() -> None:
        opend = OpenD()
        opend.ending = lambda proto_id: proto_id == after
        service = Service(opend, tmp_path, reconnect_min_delay_s=0.001, reconnect_max_delay_s=0.016)
        async with service.up():
            service.feed._random = Chance()  # noqa: SLF001 - what the delay is drawn from
            await service.until(lambda: len(delays) >= 12)
            opend.ending = lambda _: False
            monkeypatch.setattr("hk_tick_collector.collect.connection.feed._USEFUL_WITH_TICKS_S", 0.001)
            await service.until_ticks(3)
            opend.ending = lambda _: True
            known = len(delays)
            await service.until(lambda: len(delays) > known)
            assert delays[known] == (0.001, 0.001)  # this one was of use

    run(story())
    assert [high for _, high in delays[:6]] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.016]
    assert len(journal.events("futu_connected")) < 8
    assert len(journal.events("futu_disconnected")) < 8


def test_the_date_of_an_earlier_connection_rejects_no_tick(tmp_path: Path) -> None:
    """OpenD was away for three days, and does not answer GetGlobalState when it is back: its ticks are stored."""

    async def story() -> None:
        opend = OpenD()
        opend.pushing, opend.clock_s = False, TRADED_S - 3 * market.DAY_MS // 1000
        async with Service(opend, tmp_path).up() as service:
            await service.until(lambda: service.state.opend_time_ms and service.state.drift_s)
            opend.wrong[messages.GET_GLOBAL_STATE], opend.pushing = MUTE, True
            opend.ending = lambda _: True
            await service.until(lambda: not service.state.connected)
            opend.ending = lambda _: False
            await service.until_ticks(5)
            assert (service.state.opend_time_ms, service.state.drift_s) == (None, None)
            assert service.stats.rejected_total == 0

    run(story())
