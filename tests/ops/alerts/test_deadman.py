"""Dead-man pings over real sockets: answered, refused, hanging, dripping; withheld when something is critical."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from tests.ops import conftest as ops
from tests.ops.alerts.conftest import LIMITS, wait_until

from hk_tick_collector.ops.alerts.deadman import DeadMan
from hk_tick_collector.ops.alerts.masking import host_of
from hk_tick_collector.ops.findings.health import check
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from tests.receiver import Receiver

    from hk_tick_collector.ops.live.status import LiveStatus

SECRET = "0b1c2d3e4f-secret"


@contextmanager
def pinging(url: str, status: LiveStatus, stats: Stats, *, ping_s: float = 20.0) -> Iterator[DeadMan]:
    """Pings ten times a second, with this live state coming in as often."""
    deadman = DeadMan(url, LIMITS, stats, every_s=0.1, ping_s=ping_s)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.02):
            deadman.update(status)

    beating = threading.Thread(target=beat)
    deadman.start()
    beating.start()
    yield deadman
    ended.set()
    beating.join()
    deadman.stop()


def test_it_pings_while_all_is_well(
    receiver: Callable[..., Receiver], make_status: ops.MakeStatus, lines: io.StringIO
) -> None:
    """By GET, again and again; one line in the log, without the secret part of the URL; no figure of a failure."""
    there, stats = receiver(), Stats()
    with pinging(f"http://127.0.0.1:{there.port}/{SECRET}?x=1", make_status(), stats):
        wait_until(lambda: len(there.pings) > 2)
    assert set(there.pings) == {f"/{SECRET}?x=1"}
    assert lines.getvalue().count("deadman_pinged") == 1
    assert f"to=http://127.0.0.1:{there.port}/***" in lines.getvalue()
    assert SECRET not in lines.getvalue()
    assert stats.deadman_failing_ms is None


def test_a_failure_is_a_warning_until_the_next_answer(
    receiver: Callable[..., Receiver], make_status: ops.MakeStatus, lines: io.StringIO
) -> None:
    """`status` gets the reason, the log one line; both without the secret part of the URL."""
    there, stats = receiver(*[503] * 10_000), Stats()
    seen: list[str] = []
    with pinging(f"http://127.0.0.1:{there.port}/{SECRET}", make_status(), stats):
        wait_until(lambda: stats.deadman_failing_ms)
        failing = make_status(deadman_failing_ms=ops.NOW_MS, deadman_error=stats.deadman_error)
        seen += [f"{found.severity.name} {found.code} {found.text}" for found in check(failing, ops.NOW_MS, LIMITS)]
        there.recover()
        wait_until(lambda: there.pings and stats.deadman_failing_ms is None)
    (line,) = seen
    assert line.startswith("WARNING deadman_failing ")
    assert line.endswith(": HTTP 503")
    assert lines.getvalue().count("deadman_failed") == 1
    assert SECRET not in lines.getvalue() + line


def test_nothing_is_sent_while_something_is_critical(
    receiver: Callable[..., Receiver], make_status: ops.MakeStatus, lines: io.StringIO
) -> None:
    """The watcher then raises its alarm, also if the finding is muted; the log says why there is no ping."""
    there = receiver()
    full = make_status(
        writer_trouble="disk_full",
        writer_detail="x",
        writer_trouble_since_ms=ops.NOW_MS,
        alerts_muted={"all": ops.NOW_MS + 3_600_000},
    )
    with pinging(f"http://127.0.0.1:{there.port}/", full, Stats()):
        wait_until(lambda: "deadman_withheld" in lines.getvalue())
        before = there.requests
    assert before == there.requests == 0
    assert "why=writer_disk_full" in lines.getvalue()


def test_a_server_that_hangs_delays_nothing(
    receiver: Callable[..., Receiver], make_status: ops.MakeStatus, lines: io.StringIO
) -> None:
    """The ping is given up after its time; there is never more than one."""
    there, stats = receiver(hangs=True), Stats()
    with pinging(f"http://127.0.0.1:{there.port}/{SECRET}", make_status(), stats, ping_s=0.2):
        wait_until(lambda: "earlier ping" in stats.deadman_error)
    assert there.requests == 1
    assert "deadman_failed" in lines.getvalue()


def test_a_server_that_drips_is_given_up(make_status: ops.MakeStatus) -> None:
    """One byte of the header now and then: each wait is short, the whole is limited."""
    server, stats = socket.create_server(("127.0.0.1", 0)), Stats()
    ended = threading.Event()

    def drip() -> None:
        peer, _ = server.accept()
        with peer, suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.05):
                peer.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    with pinging(f"http://127.0.0.1:{server.getsockname()[1]}/", make_status(), stats, ping_s=0.5):
        wait_until(lambda: stats.deadman_error == "no answer within 0.5 s" or "earlier" in stats.deadman_error)
    ended.set()
    dripping.join()
    server.close()


def test_a_redirect_is_not_followed(make_status: ops.MakeStatus, receiver: Callable[..., Receiver]) -> None:
    """The secret part of the URL goes to its own host only."""
    there, stats = receiver(*[302] * 10_000), Stats()
    with pinging(f"http://127.0.0.1:{there.port}/{SECRET}", make_status(), stats):
        wait_until(lambda: stats.deadman_error == "HTTP 302")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/s3cret-path", "http://no-such-host.invalid/s3cret-path"])
def test_a_network_that_is_away_is_told(url: str, make_status: ops.MakeStatus, lines: io.StringIO) -> None:
    """The reason of the operating system, without the secret part."""
    stats = Stats()
    with pinging(url, make_status(), stats):
        wait_until(lambda: "deadman_failed" in lines.getvalue())
    assert stats.deadman_error
    assert "s3cret" not in lines.getvalue() + stats.deadman_error


def test_a_collector_that_does_not_report_is_not_vouched_for(
    receiver: Callable[..., Receiver], make_status: ops.MakeStatus
) -> None:
    """A stopping one neither."""
    there = receiver()
    with pinging(f"http://127.0.0.1:{there.port}/", make_status(state="stopping"), Stats()):
        time.sleep(0.3)
    assert there.requests == 0


def test_the_label_shows_the_host_alone() -> None:
    """Neither user, password, path nor query."""
    assert host_of("https://me:pw@hc-ping.example:8443/uuid?x#y") == "https://hc-ping.example:8443/***"
    assert host_of("http://[::1]/uuid") == "http://[::1]/***"
