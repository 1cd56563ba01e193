"""Who may connect, and what is said when the engine or the settings refuse: one line, with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from tests.jetstream.scripted_server import greeting, scripted
from tests.nats_keys import Authority, Key, Operator
from tests.nats_servers import NatsServers
from tests.publishing.conftest import SOURCE, Publishing, day_of, ticks

from hk_tick_collector.cli import main
from hk_tick_collector.errors import StreamError, UsageError
from hk_tick_collector.jetstream.connect import Connection, Servers, connect
from hk_tick_collector.jetstream.engine import ask
from hk_tick_collector.jetstream.streams import ensure_stream, wanted

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.nursery import Nursery

TODAY = day_of()
LOOPBACK = "127.0.0.1"  # the certificates are for this address


def secret(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def with_another_letter(seed: str) -> str:
    """A seed with a letter in its middle changed: no letter at the end, of which not all bits count."""
    return f"{seed[:20]}{'B' if seed[20] == 'A' else 'A'}{seed[21:]}"


def answer(servers: Servers) -> str:
    """`connected`, or the line of the error."""

    async def run() -> str:
        try:
            connection = await connect(servers)
        except StreamError as error:
            return error.one_line()
        await connection.close()
        return "connected"

    return asyncio.run(run(), debug=True)


def refusal(servers: Servers) -> str:
    """The line with the reason of a server that refuses us. The reason may be lost where it closes at once."""
    while "ends the connection at once" in (line := answer(servers)):
        pass
    return line


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    return tmp_path / "keys"


def test_an_nkey_opens_the_server_and_another_does_not(tmp_path: Path, directory: Path) -> None:
    """A seed file with the right key connects; a wrong one and none are refused, with what to check."""
    ours, other = Key("U"), Key("U")
    allowed = f"authorization {{ users: [ {{ nkey: {ours.public} }} ] }}"
    right, wrong = secret(directory / "right", f"{ours.seed}\n"), secret(directory / "wrong", other.seed)
    with NatsServers(tmp_path / "nats", more=allowed) as nats:
        assert answer(Servers(nats.urls, "t", right)) == "connected"
        for creds in (wrong, None):
            line = refusal(Servers(nats.urls, "t", creds))
            assert "refuses us (Authorization Violation" in line
            assert "check STREAM_CREDS" in line


def test_a_credentials_file_opens_the_server(tmp_path: Path, directory: Path) -> None:
    """One of the account connects; one that has expired, and one of another account are refused."""
    operator = Operator()
    with NatsServers(tmp_path / "nats", more=operator.config) as nats:
        good = operator.credentials(directory / "good.creds")
        expired = operator.credentials(directory / "expired.creds", expires_s=1_000_000)
        stranger = Operator().credentials(directory / "stranger.creds")
        assert answer(Servers(nats.urls, "t", good)) == "connected"
        for creds in (expired, stranger):
            assert "refuses us (" in refusal(Servers(nats.urls, "t", creds))


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0o600, "cannot read STREAM_CREDS="),
        ("", 0o600, "has no key of a user"),
        (Key("A").seed, 0o600, "has no key of a user"),
        (Key("U").seed, 0o644, "every user can read or change STREAM_CREDS="),
        (with_another_letter(Key("U").seed), 0o600, "wrong checksum"),
        ("-----BEGIN NATS USER JWT-----\nabc\n" + Key("U").seed, 0o600, "is cut off"),
    ],
    ids=["missing", "empty", "of an account", "readable by all", "checksum", "cut"],
)
def test_a_file_without_a_usable_key_is_refused(directory: Path, text: str | None, mode: int, words: str) -> None:
    """Before anything connects, with the name of the setting; the key is not shown."""
    path = directory / "creds"
    if text is not None:
        path.write_text(text, "utf-8")
        path.chmod(mode)
    with pytest.raises(UsageError, match=words) as caught:
        Servers(("nats://127.0.0.1:4222",), "t", path).check()
    line = caught.value.one_line()
    assert "\n" not in line
    assert not text or text[-20:] not in line


def test_a_pipe_is_no_credentials_file(directory: Path) -> None:
    """Nor is it waited for."""
    os.mkfifo(directory / "creds", 0o600)
    with pytest.raises(UsageError, match="is not a file"):
        Servers(("nats://127.0.0.1:4222",), "t", directory / "creds").check()


def test_credentials_may_be_renewed_while_it_runs(tmp_path: Path, nursery: Nursery, directory: Path) -> None:
    """The file is empty, or that of nobody, when the connection is lost: it is told as refused, and waited for.

    With exit code 2 systemd would not start it again.
    """
    ours = Key("U")
    creds = secret(directory / "creds", ours.seed)
    with NatsServers(tmp_path / "nats", more=f"authorization {{ users: [ {{ nkey: {ours.public} }} ] }}") as nats:
        trial = Publishing(tmp_path, nursery, nats)
        trial.collector.add(TODAY, ticks("HK.00700", range(5)))
        running = trial.start(STREAM_CREDS=str(creds))
        running.wait_for(lambda: running.state().get("published_rows") == 5)
        creds.write_text("", "utf-8")
        nats.kill(0)
        nats.start(0)
        running.wait_for(lambda: running.state()["refused"])
        assert "has no key of a user" in running.state()["fault"]
        creds.unlink()
        running.wait_for(lambda: "cannot read STREAM_CREDS" in running.state()["fault"])
        secret(creds, ours.seed)
        running.wait_for(lambda: running.state()["server"])
        assert running.stop() == 0
        trial.kill_all()


def test_a_signature_is_for_servers_with_tls_alone(directory: Path) -> None:
    """At tls:// nothing that proves who we are goes out in clear text: somebody in between could use it."""

    async def run() -> tuple[str, list[bytes]]:
        heard: list[bytes] = []
        async with scripted(greeting(nonce="abc", auth_required=True), heard=heard) as url:
            try:
                creds = secret(directory / "creds", Key("U").seed)
                await connect(Servers((url.replace("nats:", "tls:"),), "t", creds))
            except StreamError as error:
                return str(error), heard
        raise AssertionError

    line, heard = asyncio.run(run())
    assert "offers no TLS" in line
    assert not any(b"sig" in each for each in heard)


def test_a_server_at_nats_that_demands_tls_is_checked_with_the_same_authority(tmp_path: Path, directory: Path) -> None:
    """STREAM_CA is for every certificate; so the hint of a refused one is right."""
    authority, stranger = Authority(directory), Authority(tmp_path)
    with NatsServers(tmp_path / "nats", more=authority.config(), host=LOOPBACK) as nats:
        urls = tuple(url.replace("tls://", "nats://") for url in nats.urls)
        assert answer(Servers(urls, "t", ca=authority.file)) == "connected"
        assert "the certificate of nats://127.0.0.1" in answer(Servers(urls, "t", ca=stranger.file))


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, directory: Path) -> None:
    """The line says which name was expected."""
    authority = Authority(directory)
    with NatsServers(tmp_path / "nats", more=authority.config(), host="127.0.0.2") as nats:
        line = answer(Servers(nats.urls, "t", ca=authority.file))
        assert "127.0.0.2" in line
        assert "is not accepted" in line


def test_the_end_of_a_tls_connection_prints_nothing(
    tmp_path: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that refuses us ends the connection; asyncio has no word of its own for that."""
    authority = Authority(directory)
    guard = f"authorization {{ users: [{{ nkey: {Key('U').public} }}] }}\n"
    with NatsServers(tmp_path / "nats", more=authority.config() + guard, host=LOOPBACK) as nats:
        line = answer(Servers(nats.urls, "t", ca=authority.file))
    assert any(words in line for words in ("refuses us", "ends the connection at once"))  # its end may come first
    assert "eof_received" not in caplog.text


def test_tls_is_checked_both_ways(tmp_path: Path, directory: Path) -> None:
    """A server with our authority's certificate connects; another authority, an expired one, a plain server do not."""
    authority, stranger = Authority(directory), Authority(tmp_path)
    with NatsServers(tmp_path / "nats", more=authority.config(), host=LOOPBACK) as nats:
        assert answer(Servers(nats.urls, "t", ca=authority.file)) == "connected"
        line = answer(Servers(nats.urls, "t", ca=stranger.file))
        assert "the certificate of tls://127.0.0.1" in line
        assert "STREAM_CA" in line
    with NatsServers(tmp_path / "expired", more=authority.config(days=-1), host=LOOPBACK) as nats:
        assert "certificate has expired" in answer(Servers(nats.urls, "t", ca=authority.file))
    with NatsServers(tmp_path / "plain") as nats:
        urls = tuple(url.replace("nats://", "tls://") for url in nats.urls)
        assert "offers no TLS" in answer(Servers(urls, "t", ca=authority.file))
    with pytest.raises(UsageError, match="STREAM_CA"):
        Servers(("tls://127.0.0.1",), "t", ca=tmp_path / "missing").check()


def test_a_publisher_may_be_limited_to_its_own_subjects(tmp_path: Path, nursery: Nursery, directory: Path) -> None:
    """With the permissions of docs/publish.en.md it publishes as itself; under another name it is refused."""
    ours, admin = Key("U"), Key("U")
    permissions = f"""permissions {{
        publish: ["hk.ticks.*.{SOURCE}", "hk.sums.*.{SOURCE}", "hk.name.{SOURCE}", "_INBOX.>",
                  "$JS.API.STREAM.INFO.HK_TICKS", "$JS.API.STREAM.MSG.GET.HK_TICKS"]
        subscribe: ["_INBOX.>", "hk.name.{SOURCE}"]
    }}"""
    allowed = f"authorization {{ users: [ {{ nkey: {ours.public}, {permissions} }}, {{ nkey: {admin.public} }} ] }}"
    creds = secret(directory / "creds", ours.seed)
    with NatsServers(tmp_path / "nats", more=allowed) as nats:

        async def create() -> None:
            connection = await connect(Servers(nats.urls, "t", secret(directory / "admin", admin.seed)))
            await ensure_stream(connection)
            await connection.close()

        asyncio.run(create())
        trial = Publishing(tmp_path, nursery, nats)
        trial.collector.add(TODAY, ticks("HK.00700", range(5)))
        done = trial.once(STREAM_CREDS=str(creds))
        assert (done.process.poll(), done.state()["published_rows"]) == (0, 5), done.text()
        ended = trial.once(STREAM_CREDS=str(creds), INSTANCE_ID="host-2")
        assert ended.process.poll() == 1
        assert "INSTANCE_ID" in ended.text().splitlines()[-1]
        other = trial.start(STREAM_CREDS=str(creds), INSTANCE_ID="host-2")
        other.wait_for(lambda: other.process.poll() is not None or other.state().get("refused"))
        assert "hk.ticks" in other.text()
        assert "ermissions" in other.text()
        assert "check STREAM_CREDS, INSTANCE_ID, and the authorization of the servers" in other.text()
        trial.kill_all()


class OldServer:
    """A server that says that it has a version, and answers a ping. Only its greeting matters."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        async with await asyncio.start_server(self._greet, "127.0.0.1", 0) as server:
            self.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._end.wait()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = {"server_id": "x", "version": self._version, "max_payload": 1 << 20, "proto": 1, "headers": True}
        writer.write(f"INFO {json.dumps(greeting)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def old() -> Iterator[OldServer]:
    server = OldServer("2.10.22")
    yield server
    server.end()


def test_a_server_that_may_lose_acknowledged_ticks_is_refused(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, old: OldServer
) -> None:
    """Before 2.10.23 its log ignores `sync_interval: always`: one line, exit 1."""
    done = cli("publish", STREAM_URL=old.url, INSTANCE_ID="a", DATA_ROOT=str(workdir))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "is nats-server 2.10.22, which may lose acknowledged ticks" in last
    assert "install 2.10.23 or later" in last


def test_a_stream_with_other_settings_ends_the_start(publishing: Publishing) -> None:
    """One line names the setting and how to change it; exit 1, and nothing is changed."""

    async def create(connection: Connection) -> None:
        await ask(connection, "STREAM.CREATE.HK_TICKS", {**wanted(1), "max_msgs_per_subject": 1})

    publishing.ask(create)
    done = publishing.once()
    assert done.process.poll() == 1
    assert "max_msgs_per_subject is 1, not -1" in done.text().splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"STREAM_URL": ""}, "STREAM_URL is empty: set it to nats://HOST:4222 or tls://HOST:4222"),
        ({"INSTANCE_ID": "host.example"}, "INSTANCE_ID=host.example cannot name a source"),
        ({"DATA_ROOT": "/nowhere"}, "there is no DATA_ROOT=/nowhere"),
        ({"STREAM_CREDS": "/nowhere"}, "cannot read STREAM_CREDS=/nowhere"),
    ],
    ids=str,
)
def test_wrong_settings_are_told_before_anything_starts(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, settings: dict[str, str], words: str
) -> None:
    """Exit 2, one line."""
    good = {"STREAM_URL": "nats://127.0.0.1:1", "INSTANCE_ID": "a", "DATA_ROOT": str(workdir)}
    done = cli("publish", **{**good, **settings})
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_packages_one_line_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The collector itself needs none of them."""
    monkeypatch.setitem(sys.modules, "nats", None)
    assert main(["publish"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nats is not installed" in line
    assert "[stream]" in line


def test_certificates_may_be_renewed_while_it_runs(tmp_path: Path, nursery: Nursery, directory: Path) -> None:
    """The server comes back with an expired certificate: it is told as refused; with a new one it goes on."""
    authority = Authority(directory)
    with NatsServers(tmp_path / "nats", more=authority.config(), host=LOOPBACK) as nats:
        trial = Publishing(tmp_path, nursery, nats)
        trial.collector.add(TODAY, ticks("HK.00700", range(5)))
        running = trial.start(STREAM_CA=str(authority.file))
        running.wait_for(lambda: running.state().get("published_rows") == 5)
        for days, is_refused in ((-1, True), (9, False)):
            nats.kill(0)
            nats.more = authority.config(days)
            nats.start(0)
            running.wait_for(lambda: running.state()["refused"] is is_refused)  # noqa: B023 - called before the next turn
        running.wait_for(lambda: running.state()["server"])
        assert running.stop() == 0
        trial.kill_all()
