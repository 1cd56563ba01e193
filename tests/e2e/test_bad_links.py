"""An OpenD that is missing, killed, mute or another program: reported, survived, and SIGTERM always works."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.descriptors import count_kept, resident_kib
from tests.scripted_opend import accepted, frame

from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.ops.findings.health import Finding, Limits, check
from hk_tick_collector.ops.live.status import STATUS_NAME, read_status

from .conftest import PROGRAM, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Collector, Proxy, Start

RECONNECTS: Final = 20
QUICK: Final = {"RECONNECT_MIN_DELAY": "0.01", "RECONNECT_MAX_DELAY": "0.05"}


def keys(ticks: list[tuple[object, ...]]) -> set[tuple[object, ...]]:
    """All fields of a tick that the truth file has."""
    return {tuple(tick[:8]) for tick in ticks}


LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=0, queue_warn_rows=50_000)


def wait_finding(collector: Collector, code: str, words: str = "") -> Finding:
    """A finding of `status`, as soon as it appears with these words."""
    found: dict[str, Finding] = {}

    def there() -> bool:
        status = read_status(collector.data_root / STATUS_NAME)
        if status and status.pid == collector.pid:
            found.update({each.code: each for each in check(status, time.time_ns() // 1_000_000, LIMITS)})
        return code in found and words in found[code].text

    wait_until(there, lambda: f"finding {code} {words}; there was {found} in\n{collector.output}")
    return found[code]


# --- absent and back ---


def test_without_opend_the_service_reports_and_stops(start: Start, free_port: int) -> None:
    """Health lines come from the start, the cause is logged once, and SIGTERM works at once."""
    collector = start.run(free_port)
    health = collector.wait_for("health", count=2).fields
    assert (health["connected"], health["persisted_rows_per_min"]) == ("False", "0")
    told = collector.wait_for("futu_disconnected")
    assert told.level == "WARNING"
    assert f"127.0.0.1:{free_port}" in told.fields["reason"]
    assert len(collector.events("futu_disconnected")) == 1
    assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"


def test_when_opend_appears_collecting_begins_by_itself(start: Start, free_port: int) -> None:
    """The first tick is stored soon after OpenD starts; the bench measures how soon."""
    collector = start.run(free_port)
    collector.wait_for("futu_disconnected")
    opend = start.simulate("--rate", "200", port=free_port)
    started_s = time.monotonic()
    collector.wait_stored(1)
    waited_s = time.monotonic() - started_s
    print(f"first tick stored {waited_s:.2f} s after OpenD listened")
    assert collector.stop() == 0
    assert keys([*collector.ticks()]) <= keys([*opend.truth()])


def test_the_collector_reconnects_to_a_killed_opend(start: Start, free_port: int) -> None:
    """Killed and started again on its port, with another connection id: reported, reconnected, stored."""
    first = start.simulate("--rate", "500", port=free_port)
    collector = start.run(free_port, QUICK)
    collector.wait_stored(100)
    first.kill()
    assert collector.wait_for("futu_disconnected").fields["reason"]
    assert collector.wait_for("health", connected="False")
    assert "futu-opend" in wait_finding(collector, "opend_away").remedy
    second = start.simulate("--rate", "500", port=free_port)
    collector.wait_for("futu_connected", count=2)
    second.wait_made(100)
    before = collector.stored()
    collector.wait_stored(before + 100)
    assert collector.stop() == 0
    assert keys([*collector.ticks()]) <= keys([*first.truth()]) | keys([*second.truth()])


def test_reconnecting_leaks_nothing(start: Start, start_proxy: Callable[[int], Proxy]) -> None:
    """Twenty cuts in the middle of the stream: the same descriptors, no growing memory, no old byte in the data."""
    opend = start.simulate("--rate", "2000")
    proxy = start_proxy(opend.port)
    collector = start.run(proxy.port, QUICK)
    collector.wait_for("subscribed")
    collector.wait_stored(500)
    kept, before_kib = count_kept(collector.pid), resident_kib(collector.pid)
    for cut in range(1, RECONNECTS + 1):
        proxy.cut()
        collector.wait_for("subscribed", count=cut + 1)
    before = collector.stored()
    collector.wait_stored(before + 500)
    wait_until(lambda: count_kept(collector.pid) <= kept, "no more descriptors than before")
    assert resident_kib(collector.pid) < before_kib + 16 * 1024
    unstable = wait_finding(collector, "link_unstable")
    assert "futu_disconnected" in unstable.remedy
    assert collector.stop() == 0
    assert len(collector.events("subscribed")) == RECONNECTS + 1
    assert "Traceback" not in collector.output
    assert keys([*collector.ticks()]) <= keys([*opend.truth()])


# --- something else on the port ---


class WebServer(BaseHTTPRequestHandler):
    """A program that often listens on a port."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stays quiet."""


@pytest.fixture
def web_port() -> Iterator[int]:
    """A port that serves HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), WebServer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_web_server_on_the_port_is_named(start: Start, web_port: int) -> None:
    """One clear line with a hint, tried again, no traceback, and SIGTERM works."""
    collector = start.run(web_port)
    told = collector.wait_for("futu_disconnected").fields
    assert "FUTU_PORT" in told["hint"]
    assert "FUTU_PORT" in wait_finding(collector, "opend_away", "FT").text
    collector.wait_for("health", connected="False")
    assert collector.stop() == 0
    assert collector.shutdown()["received"] == "0"


def test_a_mute_port_is_given_up(start: Start) -> None:
    """A port that accepts and sends nothing is given up after ten seconds, with the reason; health lines continue."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        collector = start.run(mute.getsockname()[1])
        collector.wait_for("health", count=2, connected="False")
        told = collector.wait_for("futu_disconnected")
        assert "did not answer" in told.fields["reason"]
        assert wait_finding(collector, "opend_away", "did not answer").remedy
        assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"


# --- accepted, and of no use ---


class Fickle(socketserver.BaseRequestHandler):
    """An OpenD that accepts, reports that the market trades, and closes before anything else."""

    def handle(self) -> None:
        """One connection, until it is closed after the first answer to GetGlobalState."""
        for reply in (accepted(), trading()):
            header = self.request.recv(HEADER_BYTES, socket.MSG_WAITALL)
            if len(header) < HEADER_BYTES:
                return
            _, proto_id, _, _, serial, length, _, _ = HEADER.unpack(header)
            self.request.recv(length, socket.MSG_WAITALL)
            self.request.sendall(frame(proto_id, serial, reply))


class FickleServer(socketserver.ThreadingTCPServer):
    """Counts its connections."""

    daemon_threads = True
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more."""
        self.connections += 1
        super().process_request(request, client_address)


def trading() -> pb.GetGlobalStateResponse:
    """The body of OpenD's report that the morning session trades."""
    s2c: dict[str, Any] = dict.fromkeys(("marketUS", "marketSH", "marketSZ", "marketHKFuture"), 0)
    s2c |= {"marketHK": 3, "qotLogined": True, "trdLogined": True, "serverVer": 1, "serverBuildNo": 1}
    return pb.GetGlobalStateResponse(retType=0, s2c={**s2c, "time": time.time_ns() // 10**9})


@pytest.fixture
def fickle() -> Iterator[FickleServer]:
    """Such an OpenD."""
    with FickleServer(("127.0.0.1", 0), Fickle) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_opend_that_accepts_and_closes_is_critical(start: Start, fickle: FickleServer) -> None:
    """Reconnections are slow, the log has few of them, and `status` says that nothing is stored."""
    quick = {"LAG_CRITICAL_SEC": "3", "RECONNECT_MIN_DELAY": "0.02", "RECONNECT_MAX_DELAY": "0.4"}
    collector = start.run(fickle.server_address[1], quick)
    wait_until(lambda: fickle.connections >= 20, "20 connections")
    status = {}

    def critical() -> bool:
        environ = {**os.environ, "DATA_ROOT": str(collector.data_root), **quick}
        done = subprocess.run([*PROGRAM, "status"], check=False, env=environ, capture_output=True, text=True)
        status["line"] = done.stdout.partition("\n")[0]
        return done.returncode == 2 and "no tick has been stored for" in done.stdout

    wait_until(critical, lambda: f"critical; it was {status} with\n{collector.output}")
    assert status["line"].startswith("CRITICAL")
    assert len(collector.events("futu_connected")) < 12
    assert len(collector.events("futu_disconnected")) < 12
    assert collector.stop() == 0


# --- refused ---


def test_refused_symbols_and_a_short_quota_are_named(start: Start) -> None:
    """An unknown symbol and those beyond the quota: each by name with OpenD's text; the others are collected."""
    symbols = "HK.00001,HK.00005,HK.00700,HK.09988"
    opend = start.simulate("--rate", "300", "--quota", "2", "--refuse", "HK.00005", symbols=symbols)
    collector = start.run(opend.port, {"FUTU_SYMBOLS": symbols})
    refused = [collector.wait_for("symbols_refused", count=count) for count in (1, 2)]
    assert [event.level for event in refused] == ["ERROR", "ERROR"]
    words = {event.fields["symbols"]: event.fields["reason"] for event in refused}
    assert set(words) == {"HK.00005", "HK.09988"}
    assert "quota" in words["HK.09988"].lower()
    assert "quota" in wait_finding(collector, "symbols_refused").text
    subscribed = collector.wait_for("subscribed").fields
    assert (subscribed["symbols"], subscribed["refused"]) == ("2", "2")
    assert subscribed["quota_remaining"] in {"0", "unknown"}  # unknown while OpenD's answer is late
    collector.wait_stored(100)
    assert collector.wait_for("health", connected="True", subscribed="2/4")
    assert collector.stop() == 0
    assert {tick.symbol for tick in collector.ticks()} == {"HK.00001", "HK.00700"}
