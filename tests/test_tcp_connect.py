"""A host with several addresses: the first that answers is used, and no socket stays open."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvloop
from tests.scripted_opend import accepted, frame

from hk_tick_collector import tcp_connect
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES
from hk_tick_collector.ops.doctor.opend import check_answers
from hk_tick_collector.ops.doctor.opend_probe import Answers, ask
from hk_tick_collector.tcp_connect import Address, Resolver, connect

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

CAP_S: Final = 300.0  # ends only a test that would wait for ever
RUNNERS: Final = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@contextmanager
def swallowing(port: int, host: str = "127.0.0.2") -> Iterator[None]:
    """An address where packets get no answer: its queue of connections is full."""
    with ExitStack() as stack:
        stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((host, port))
        yield


@contextmanager
def answering(host: str = "127.0.0.3") -> Iterator[int]:
    """An address that accepts connections; its port."""
    with socket.create_server((host, 0)) as server:
        yield server.getsockname()[1]


def resolves_to(*hosts: str) -> tcp_connect.Resolve:
    """A name server that returns these addresses for every name."""

    async def resolve(_: str, port: int) -> list[Address]:
        return [Address(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)) for host in hosts]

    return resolve


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


async def where(coroutine: Coroutine[Any, Any, tcp_connect.Reached]) -> tuple[str, str, dict[str, str]]:
    """The address that was reached, the peer of the socket, the failures; the socket is closed."""
    async with asyncio.timeout(CAP_S):
        reached = await coroutine
    with reached.socket:
        return reached.address, reached.socket.getpeername()[0], reached.failed


@RUNNERS
def test_an_address_without_an_answer_causes_a_short_delay(run: Any) -> None:
    """The second address is used although the first has not failed yet; no socket of the first attempt stays open."""
    with answering() as port, swallowing(port):
        before = sockets()
        found = run(where(connect("opend.test", port, resolves_to("127.0.0.2", "127.0.0.3"))))
        assert found == ("127.0.0.3", "127.0.0.3", {})
        assert sockets() == before


@RUNNERS
def test_an_address_that_refuses_causes_no_delay(run: Any) -> None:
    """The next address is tried at once, and the refusal is reported."""
    with answering() as port:
        found = run(where(connect("opend.test", port, resolves_to("127.0.0.2", "127.0.0.3"))))
    assert found == ("127.0.0.3", "127.0.0.3", {"127.0.0.2": "Connection refused"})


@RUNNERS
def test_doctor_checks_every_address(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` reports each address that does not answer, at any place in the list."""
    monkeypatch.setattr(tcp_connect, "ADDRESS_LIMIT_S", 1.0)
    hosts = ("127.0.0.4", "127.0.0.3", "127.0.0.2")
    with answering() as port, swallowing(port):
        before = sockets()
        found = run(where(connect("opend.test", port, resolves_to(*hosts), all_addresses=True)))
        assert found[:2] == ("127.0.0.3", "127.0.0.3")
        assert found[2] == {"127.0.0.4": "Connection refused", "127.0.0.2": "no answer within 1 s"}
        assert sockets() == before


@RUNNERS
def test_when_no_address_answers_each_is_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what was wrong with which address; for a single address it says the cause alone."""
    monkeypatch.setattr(tcp_connect, "ADDRESS_LIMIT_S", 0.3)
    with answering() as port:
        pass
    with swallowing(port):
        with pytest.raises(OpenDError) as told:
            run(connect("opend.test", port, resolves_to("127.0.0.2", "127.0.0.4")))
        assert "127.0.0.2: no answer within 0.3 s" in str(told.value)
        assert "127.0.0.4: Connection refused" in str(told.value)
    with pytest.raises(OpenDError, match=rf"127.0.0.4:{port} \(Connection refused\)"):
        run(connect("127.0.0.4", port, Resolver()))


@RUNNERS
def test_a_stop_while_connecting_leaves_no_socket(run: Any) -> None:
    """The service stops while it tries addresses."""

    async def story(port: int) -> None:
        before = sockets()
        attempt = asyncio.create_task(connect("opend.test", port, resolves_to("127.0.0.2", "127.0.0.5")))
        while sockets() <= before:  # noqa: ASYNC110 - nothing tells of a socket that was made
            await asyncio.sleep(0.001)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        assert sockets() == before

    with answering() as port, swallowing(port), swallowing(port, "127.0.0.5"):
        run(story(port))


def test_an_address_that_was_no_opend_comes_last() -> None:
    """An address that accepts connections but is not OpenD does not keep the collector from the other addresses."""
    with answering("127.0.0.2") as port, socket.create_server(("127.0.0.3", port)):
        resolve = resolves_to("127.0.0.2", "127.0.0.3")
        assert asyncio.run(where(connect("opend.test", port, resolve)))[0] == "127.0.0.2"
        assert asyncio.run(where(connect("opend.test", port, resolve, last={"127.0.0.2"})))[0] == "127.0.0.3"


def test_ipv6_and_ipv4_addresses_alternate() -> None:
    """If all IPv6 addresses of a host are dead, the first IPv4 address is the second to be tried."""
    tried: list[str] = []

    async def attempt(address: Address) -> socket.socket:
        tried.append(address.where[0])
        raise ConnectionRefusedError(111, "refused")

    hosts = ("::1", "::2", "::3", "127.0.0.2", "127.0.0.3", "::1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tcp_connect, "_attempt", attempt)
        with pytest.raises(OpenDError):
            asyncio.run(connect("opend.test", 1, resolves_to(*hosts)))
    assert tried == ["::1", "127.0.0.2", "::2", "127.0.0.3", "::3"]


@RUNNERS
def test_a_name_server_that_hangs_is_named_and_asked_once(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookup has a time limit; while one still runs, the next attempt waits for it and uses its answer."""
    monkeypatch.setattr(tcp_connect, "LOOKUP_LIMIT_S", 0.05)
    answer, asked = threading.Event(), list[str]()

    def lookup(host: str, port: int) -> list[Address]:
        asked.append(host)
        answer.wait(CAP_S)
        return [Address(socket.AF_INET, ("127.0.0.3", port))]

    async def story(port: int) -> None:
        resolver = Resolver(lookup)
        for _ in range(3):
            with pytest.raises(OpenDError, match="not resolved within"):
                await connect("opend.test", port, resolver)
        answer.set()
        monkeypatch.setattr(tcp_connect, "LOOKUP_LIMIT_S", CAP_S)
        assert (await where(connect("opend.test", port, resolver)))[0] == "127.0.0.3"

    with answering() as port:
        run(story(port))
    assert asked == ["opend.test"]


def test_a_name_that_is_not_known_is_looked_up_again() -> None:
    """If a name server answers that the name does not exist, the next attempt asks again."""
    answers: list[list[Address] | OSError] = [
        socket.gaierror(-2, "Name or service not known"),
        [Address(socket.AF_INET, ("127.0.0.3", 0))],
    ]

    def lookup(_: str, port: int) -> list[Address]:
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return [address._replace(where=(address.where[0], port)) for address in found]

    async def story(port: int) -> None:
        resolver = Resolver(lookup)
        with pytest.raises(OpenDError, match="Name or service not known"):
            await connect("opend.test", port, resolver)
        assert (await where(connect("opend.test", port, resolver)))[0] == "127.0.0.3"

    with answering() as port:
        asyncio.run(story(port))


def test_a_name_server_that_hangs_does_not_hold_up_the_end() -> None:
    """A process can exit although its lookup never ends."""
    script = (
        "import asyncio, threading\n"
        "from hk_tick_collector import tcp_connect\n"
        "tcp_connect.LOOKUP_LIMIT_S = 0.05\n"
        "resolver = tcp_connect.Resolver(lambda *_: threading.Event().wait())\n"
        "asyncio.run(tcp_connect.connect('opend.test', 1, resolver))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=CAP_S)
    assert "was not resolved within" in done.stderr


@pytest.mark.parametrize(
    ("unreachable", "outcome"),
    [({}, "ok"), ({"::1": "Connection refused"}, "ok"), ({"127.0.0.2": "no answer within 3 s"}, "warning")],
)
def test_doctor_reports_addresses_that_do_not_answer(unreachable: dict[str, str], outcome: str) -> None:
    """The address that answered is always shown; localhost's IPv6, where OpenD does not listen, is no finding."""
    answers = Answers(server_ver=1011, address="127.0.0.3", unreachable=unreachable)
    check = next(iter(check_answers(answers, ["HK.00700"], 0, drift_warn_s=2.0, today=20_000)))
    assert (check.name, check.outcome) == ("OpenD", outcome)
    assert "answers at 127.0.0.3" in check.text
    if outcome == "warning":
        assert "127.0.0.2: no answer" in check.text
        assert "127.0.0.3" in check.remedy


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_doctor_asks_the_next_address_where_one_is_not_opend(says: bytes) -> None:
    """As the service does: the warning names an address that accepts and is silent, or that is no OpenD."""
    with socket.create_server(("127.0.0.1", 0)) as wrong, closing(socket.socket()) as right:
        port = wrong.getsockname()[1]
        right.bind(("127.0.0.2", port))
        right.listen()
        held: list[socket.socket] = []

        def not_opend() -> None:
            connection, _ = wrong.accept()
            held.append(connection)
            connection.sendall(says)

        def opend() -> None:
            while True:  # connections that lost the race are closed at once
                connection, _ = right.accept()
                with connection, suppress(ConnectionError):
                    if header := connection.recv(HEADER_BYTES, socket.MSG_WAITALL):
                        serial = HEADER.unpack(header)[4]
                        connection.sendall(frame(messages.INIT_CONNECT, serial, accepted()))
                        return

        async def resolve(host: str, port: int) -> list[Address]:
            return [Address(socket.AF_INET, (host, port)) for host in ("127.0.0.1", "127.0.0.2")]

        threads = [threading.Thread(target=each, daemon=True) for each in (not_opend, opend)]
        for thread in threads:
            thread.start()
        answers = ask("localhost", port, "doctor", None, [], resolve)
        for thread in threads:
            thread.join(CAP_S)
        for connection in held:
            connection.close()
    assert answers.address == "127.0.0.2"
    assert list(answers.unreachable) == ["127.0.0.1"]
    first = next(iter(check_answers(answers, [], None, drift_warn_s=2.0, today=1)))
    assert first.outcome == "warning"
    assert "127.0.0.1" in first.text
