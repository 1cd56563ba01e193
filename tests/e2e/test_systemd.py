"""Messages to systemd from the real `run`, on a socket like systemd's."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start

CAP_S = 300.0


class Systemd:
    """Receives the service's messages."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.address = str(listener.getsockname())
        self.heard: list[str] = []

    def wait_for(self, *words: str) -> str:
        """The first message from the start on that contains all of these words."""
        deadline_s = time.monotonic() + CAP_S
        found = [message for message in self.heard if all(each in message for each in words)]
        while not found:
            assert time.monotonic() < deadline_s, f"no {words!r} in {self.heard}"
            message = self._listener.recv(4096).decode()
            self.heard.append(message)
            found = [message] if all(each in message for each in words) else []
        return found[0]


@pytest.fixture
def systemd(workdir: Path) -> Iterator[Systemd]:
    """A notification socket like systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(workdir / "notify"))
        listener.settimeout(CAP_S)
        yield Systemd(listener)


def test_systemctl_status_shows_the_health_line(start: Start, systemd: Systemd) -> None:
    """READY when subscribed, the health line as status, and at a stop the time that is set for it."""
    settings = {"NOTIFY_SOCKET": systemd.address, "STOP_FLUSH_TIMEOUT_SEC": "40"}
    collector = start.run(start.simulate().port, settings)
    systemd.wait_for("READY=1")
    line = systemd.wait_for("STATUS=health connected=True", "subscribed=3/3")
    for field in ("persisted_rows_per_min=", "lag_s=", "queue_rows=", "gaps_open=", "market="):
        assert field in line
    assert "link=" not in line
    assert collector.stop() == 0
    stopping = dict(part.split("=") for part in systemd.wait_for("STOPPING=1").splitlines())
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 40_000_000


def test_ready_and_alive_without_opend(start: Start, systemd: Systemd, free_port: int) -> None:
    """The start is limited in time, the watchdog is served, and the status says why there is no connection."""
    start.run(free_port, {"NOTIFY_SOCKET": systemd.address})
    assert "STATUS=health connected=False" in systemd.wait_for('link="no TCP connection')
    systemd.wait_for("WATCHDOG=1")
    assert not any("READY=1" in message for message in systemd.heard)
    systemd.wait_for("READY=1")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"MAX_WAIT_MS": "soon"}, "MAX_WAIT_MS=soon (from environment) is not a whole number: allowed is 1 to"),
        ({"WATCHDOG_STALL": "60"}, "unknown setting WATCHDOG_STALL (from environment): the nearest that exists is"),
        ({"DATA_ROOT": "/nowhere/HK"}, "DATA_ROOT=/nowhere/HK"),
    ],
)
def test_a_start_that_cannot_work_reports_its_reason(
    start: Start, systemd: Systemd, settings: dict[str, str], why: str
) -> None:
    """Exit code 2, after which systemd does not try again, and the log's last line as status."""
    collector = start.run(11111, {"NOTIFY_SOCKET": systemd.address, **settings})
    assert collector.finish() == 2
    assert systemd.wait_for("STATUS=").startswith(f"STATUS={why}")
    assert why in collector.output


def test_a_second_collector_reports_its_reason(start: Start, systemd: Systemd) -> None:
    """The holder of DATA_ROOT is the status, and systemd may try again."""
    port = start.simulate().port
    first = start.run(port)
    first.wait_for("started")
    second = start.run(port, {"NOTIFY_SOCKET": systemd.address})
    assert second.finish() == 1
    assert f"pid {first.pid}" in systemd.wait_for("STATUS=")
