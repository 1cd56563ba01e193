"""The heartbeat: duties, the live state, systemd's watchdog, once a second."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.collect.conftest import CAP_S
from tests.live_state import live_state

from hk_tick_collector.collect.opend_state import OpenDState
from hk_tick_collector.collect.reporting.heartbeat import Heartbeat
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.live.status import LiveStatus, read_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collect.conftest import Journal


class Rig:
    """A heartbeat with recorders instead of real parts."""

    def __init__(self, path: Path, *duties: Callable[[], object]) -> None:
        self.noted: list[str] = []
        self.opend = OpenDState()
        note = self.noted.append
        lines = SimpleNamespace(log=lambda: note("health"), health=dict, trouble=dict)
        self.alive = asyncio.Event()
        notifier = SimpleNamespace(alive=self._alive, status=lambda _: None, ready=lambda: note("ready"))
        options = SimpleNamespace(health_interval_s=3600.0, status_path=path)
        neighbours: tuple[Any, ...] = (
            options,
            SimpleNamespace(take=lambda state: live_state(state=state)),
            lines,
            SimpleNamespace(log_due=lambda: None),
            self.opend,
            notifier,
            duties,
        )
        self.heartbeat = Heartbeat(*neighbours)

    def _alive(self) -> None:
        self.noted.append("alive")
        self.alive.set()

    async def beat(self) -> None:
        """Beats once."""
        self.alive = asyncio.Event()  # of this loop
        beating = asyncio.create_task(self.heartbeat.run())
        await self.alive.wait()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


def test_a_duty_that_fails_ends_the_service(tmp_path: Path) -> None:
    """A writer that is gone or stuck: systemd starts the service again."""

    def dead() -> None:
        raise StoreError("the writer thread has ended")

    with pytest.raises(StoreError, match="has ended"):
        asyncio.run(Rig(tmp_path / "status.json", dead).heartbeat.run())


def test_duties_come_before_each_beat_while_the_service_runs(tmp_path: Path) -> None:
    """In order; a stopping service has none left."""
    rig = Rig(tmp_path / "status.json", lambda: rig.noted.append("first"), lambda: rig.noted.append("second"))

    async def told(state: str) -> list[str]:
        rig.noted.clear()
        rig.heartbeat.state = state
        await rig.beat()
        return rig.noted

    assert asyncio.run(told("running")) == ["first", "second", "alive"]
    assert asyncio.run(told("stopping")) == ["alive"]


def test_systemd_is_told_ready_once_symbols_are_subscribed(tmp_path: Path) -> None:
    """Once."""
    rig = Rig(tmp_path / "status.json")

    asyncio.run(rig.beat())
    assert "ready" not in rig.noted
    rig.opend.serving.set()
    for _ in range(2):
        asyncio.run(rig.beat())
    assert rig.noted.count("ready") == 1


def test_each_beat_writes_the_live_state_and_calls_the_listeners(tmp_path: Path) -> None:
    """A failed write is logged, and the listeners are still called."""
    rig = Rig(tmp_path / "status.json")
    heard: list[LiveStatus] = []
    rig.heartbeat.listeners.append(heard.append)
    rig.heartbeat.beat()
    rig.heartbeat.leave(time.monotonic() + CAP_S)
    status = read_status(tmp_path / "status.json")
    assert status is not None
    assert (status.state, len(heard)) == ("running", 1)


def test_a_live_state_that_cannot_be_written_is_logged_once_a_minute(tmp_path: Path, journal: Journal) -> None:
    """A directory in its place: collection continues."""
    (tmp_path / "status.json").mkdir()
    rig = Rig(tmp_path / "status.json")
    for _ in range(2):
        rig.heartbeat.beat()
        rig.heartbeat.leave(time.monotonic() + CAP_S)
    assert len(journal.events("status_not_written")) == 1
