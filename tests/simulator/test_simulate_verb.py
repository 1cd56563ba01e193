"""`hk-tick-collector simulate` as an operator uses it: signals, files, replay, and one line for every error."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector.opend import messages
from hk_tick_collector.opend.frame import FrameReader, encode_frame
from hk_tick_collector.simulator.control import tell
from hk_tick_collector.simulator.exchange.sequences import MODELS
from hk_tick_collector.simulator.faults.scenario import STEPS
from hk_tick_collector.simulator.truth.truth import read_truth

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

SYMBOLS = ("HK.00700", "HK.00981")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_with_the_truth_whole(
    start_simulate: Callable[..., Any], workdir: Path, number: signal.Signals
) -> None:
    """Exit 0, a last line with the totals, and as many lines in the truth file."""
    simulate = start_simulate("--rate", "5000", "--truth", "truth")
    while (workdir / "truth").stat().st_size == 0:
        assert simulate.process.poll() is None
    assert simulate.stop(number) == 0
    ticks = int(re.findall(r"simulator_stopped ticks=(\d+) pushes=0$", simulate.log, re.MULTILINE)[0])
    assert len(list(read_truth(workdir / "truth"))) == ticks > 0


def subscribe_without_reading(port: int) -> socket.socket:
    """A client that receives 100 ticks and then stops reading; its buffers hold a small part of the rest."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(300)
    client.connect(("127.0.0.1", port))
    requests = [(messages.INIT_CONNECT, messages.init_connect("test", -1)), (messages.SUB, messages.subscribe(SYMBOLS))]
    for serial, (proto_id, request) in enumerate(requests, start=1):
        client.sendall(encode_frame(proto_id, serial, request.SerializeToString()))
    return client


async def read_on(peer: Any) -> None:
    """Reads pushes for ever."""
    while True:
        await peer.next_push()


def count_pushes(data: bytes) -> int:
    """How many pushes these bytes are."""
    return sum(proto_id == messages.UPDATE_TICKER for proto_id, _, _ in FrameReader().feed(data))


def stalled(start_simulate: Callable[..., Any], workdir: Path) -> tuple[Any, socket.socket]:
    """A simulator that made 50,000 ticks, most of which its client has not read."""
    simulate = start_simulate("--symbols", ",".join(SYMBOLS), "--rate", "100", "--wait", "--control", "control")
    client = subscribe_without_reading(simulate.port)
    while tell(workdir / "control", "stats")["subscribed"] != "2":
        pass
    tell(workdir / "control", "burst 50000")
    assert int(tell(workdir / "control", "stats")["waiting_bytes"]) > 1_000_000
    return simulate, client


def test_after_a_signal_clients_may_read_what_was_sent(start_simulate: Callable[..., Any], workdir: Path) -> None:
    """No more ticks are made, and all that was pushed is received; then the connection ends."""
    simulate, client = stalled(start_simulate, workdir)
    received = bytearray()
    # The simulator gives its clients three seconds for the rest: it must be little enough for a machine under load.
    while int(tell(workdir / "control", "stats")["waiting_bytes"]) > 100_000:
        received += client.recv(1 << 16)
    simulate.process.send_signal(signal.SIGTERM)
    while data := client.recv(1 << 20):
        received += data
    client.close()
    pushes = count_pushes(bytes(received))
    assert simulate.process.wait(300) == 0
    assert simulate.log.splitlines()[-1].endswith(f"simulator_stopped ticks={pushes} pushes={pushes}")
    assert pushes >= 50_000


def test_the_wait_for_clients_is_limited_and_a_second_signal_ends_it(
    start_simulate: Callable[..., Any], workdir: Path
) -> None:
    """The simulator waits 3 s for a client that does not read, or not at all after a second signal."""
    for signals, left in (((signal.SIGTERM,), 1), ((signal.SIGINT, signal.SIGTERM), 0)):
        simulate, client = stalled(start_simulate, workdir)
        for number in signals:
            simulate.process.send_signal(number)
        assert simulate.process.wait(300) == 0
        assert simulate.log.count("clients_left clients=1") == left
        assert " simulator_stopped " in simulate.log.splitlines()[-1]
        client.close()


def test_the_steps_of_a_scenario_take_effect(start_simulate: Callable[..., Any], workdir: Path, tools: Any) -> None:
    """Its steps are logged, and their effects reach clients."""
    (workdir / "bad.txt").write_text("# the end of this connection\nat 50ms cut\n")
    simulate = start_simulate("--symbols", "HK.00700", "--rate", "1000", "--wait", "--scenario", "bad.txt")

    async def main() -> None:
        async with tools.peer_of(simulate.port) as peer:
            await peer.subscribe("HK.00700")
            with pytest.raises(ConnectionError):
                await read_on(peer)

    tools.run(main())
    simulate.wait_for(r"WARNING scenario_step step=cut\n")
    assert simulate.stop() == 0


def test_steps_can_be_listed(cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Each with its arguments and its effect."""
    done = cli("simulate", "--list-steps")
    assert (done.returncode, done.stderr) == (0, "")
    for name, form in STEPS.items():
        assert f"\n  {' '.join(filter(None, (name, form.words)))}" in done.stdout
        assert form.says in done.stdout


def test_models_of_the_sequence_can_be_listed_and_a_wrong_one_is_refused(
    cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Each with its description; a wrong value gives one line that names the allowed ones, exit 2."""
    done = cli("simulate", "--list-sequences")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(MODELS)
    for wrong in ("stepz", "HK.00700=rundom"):
        done = cli("simulate", "--sequence", wrong)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert f"allowed are {', '.join(MODELS)}" in done.stderr


def test_a_killed_simulator_can_be_resumed(start_simulate: Callable[..., Any], workdir: Path) -> None:
    """Killed at any moment and resumed, its truth has every counter once."""
    arguments = ("--symbols", ",".join(SYMBOLS), "--rate", "20000", "--day", "20261120", "--at", "10:00")
    for number in range(3):
        simulate = start_simulate(*arguments, *(("--resume", "truth") if number else ("--truth", "truth")))
        size = (workdir / "truth").stat().st_size
        while (workdir / "truth").stat().st_size < size + 50_000:
            assert simulate.process.poll() is None
        simulate.stop(signal.SIGKILL)
    truth = list(read_truth(workdir / "truth"))
    for symbol in SYMBOLS:
        own = [tick for tick in truth if tick.symbol == symbol]
        assert [tick.seq & 0xFFFFFFFF for tick in own] == list(range(1, len(own) + 1))
        assert own == sorted(own, key=lambda tick: tick.seq)


def test_it_serves_clients_after_the_last_tick(start_simulate: Callable[..., Any], tools: Any) -> None:
    """After --total a client can still connect and request ticks."""
    simulate = start_simulate("--symbols", "HK.00700", "--rate", "10000", "--total", "200")
    simulate.wait_for("simulator_market_ended ticks=200")

    async def main() -> None:
        async with tools.peer_of(simulate.port) as peer:
            await peer.subscribe("HK.00700")
            assert len(await peer.tickers("HK.00700")) == 200

    tools.run(main())
    assert simulate.stop() == 0


def test_equal_arguments_make_equal_truth_files(start_simulate: Callable[..., Any], workdir: Path) -> None:
    """Seed, day and time decide every byte, in any order in which the process is scheduled."""
    arguments = ("--day", "20261120", "--at", "15:59", "--speed", "30", "--rate", "2000", "--seconds", "1")
    for name in ("one", "two"):
        simulate = start_simulate(*arguments, "--truth", name)
        simulate.wait_for("simulator_market_ended")
        assert simulate.stop() == 0
    assert (workdir / "one").read_bytes() == (workdir / "two").read_bytes() != b""


def test_symbols_are_read_from_a_file_and_written_to_one(start_simulate: Callable[..., Any], workdir: Path) -> None:
    """@FILE skips comments; --write-symbols tells a collector what there is."""
    (workdir / "in.txt").write_text("# mine\nHK.00981\n\nHK.00700\n")
    simulate = start_simulate("--symbols", "@in.txt", "--write-symbols", "out.txt")
    assert (workdir / "out.txt").read_text() == "HK.00981\nHK.00700\n"
    assert simulate.stop() == 0


def test_a_recorded_day_is_replayed_field_by_field(
    start_simulate: Callable[..., Any],
    make_day: Callable[..., Any],
    tick: Callable[..., TickRow],
    workdir: Path,
    tools: Any,
) -> None:
    """Sequences, times, prices, directions and types as recorded, unknown types and strange sequences included."""
    start_ms = 1_795_138_200_000
    rows = [tick("HK.00700", (start_ms // 1000 + i // 50) << 32 | i + 1, start_ms + 20 * i) for i in range(150)]
    rows += [
        (
            "HK.00981",
            12 + i,
            start_ms + 30 * i,
            72.55,
            1 + i,
            72.55 * (1 + i),
            "SELL",
            f"TYPE_{i + 40}",
            "cache",
            1,
            None,
            None,
        )
        for i in range(50)
    ]
    day = make_day()
    day.add(rows)
    simulate = start_simulate("--replay", str(day.path), "--speed", "5", "--wait", "--truth", "truth")

    async def main() -> dict[tuple[str, int], Any]:
        async with tools.peer_of(simulate.port) as peer:
            await peer.subscribe("HK.00700", "HK.00981")
            pushes = [await peer.next_push() for _ in range(200)]
            return {
                (messages.symbol_of(push.s2c.security), ticker.sequence): ticker
                for push in pushes
                for ticker in push.s2c.tickerList
            }

    got = tools.run(main())
    assert simulate.stop() == 0
    assert sorted(read_truth(workdir / "truth")) == sorted(row[:8] for row in rows)
    for symbol, seq, ts_ms, price, volume, turnover, direction, tick_type, *_ in rows:
        ticker = got.pop((symbol, seq))
        assert round(ticker.timestamp * 1000) == ts_ms
        assert (ticker.price, ticker.volume, ticker.turnover) == (price, volume, turnover)
        assert ticker.dir == {"BUY": 1, "SELL": 2}[direction]
        assert ticker.type == (1 if tick_type == "AUTO_MATCH" else int(tick_type.removeprefix("TYPE_")))
    assert not got


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbols", "HK.700"], "'HK.700'"),
        (["--symbols", "0"], "0 symbols"),
        (["--symbols", "6000"], "6000 symbols"),
        (["--symbols", "HK.00700,US.AAPL"], "'US.AAPL' is not a Hong Kong symbol"),
        (["--symbols", ""], "no symbol"),
        (["--symbols", "@missing.txt"], "missing.txt cannot be read"),
        (["--day", "20261399"], "--day is '20261399'"),
        (["--at", "25:00"], "--at is '25:00'"),
        (["--day", "20261120", "--speed", "0"], "speed is 0"),
        (["--day", "20261120", "--speed", "nan"], "speed is nan"),
        (["--speed", "10"], "a speed needs a simulated clock"),
        (["--rate", "-1"], "rate is -1"),
        (["--port", "70000"], "port is 70000"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        (["--truth", "missing/truth"], "the truth file missing/truth cannot be written"),
        (["--rsa-key", "missing.pem"], "missing.pem cannot be read"),
        (["--rsa-key", ".env"], "the RSA key"),
        (["--total", "0"], "total is 0"),
        (["--ticks-per-push", "0"], "ticks per push is 0"),
        (["--day", "20261120", "--replay", "notes.txt"], "cannot be combined with"),
        (["--scenario", "missing.txt"], "missing.txt cannot be read"),
        (["--scenario", "notes.txt"], "notes.txt:1: a line begins with at TIME or every TIME"),
        (["--resume", "missing"], "the truth file missing cannot be written"),
        (["--resume", "truth", "--truth", "truth"], "--resume continues its own truth file"),
        (["--control", "missing/control"], "the control socket missing/control cannot be created"),
        (["--replay", "missing.db"], "missing.db"),
        (["--replay", "notes.txt"], "notes.txt"),
    ],
)
def test_what_cannot_work_is_one_line(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, arguments: list[str], words: str
) -> None:
    """A cause and a remedy, exit 2 (1 for a day file that cannot be read), no traceback, nothing on stdout."""
    (workdir / "notes.txt").write_text("no day file\n" * 100)
    done = cli("simulate", *(["--port", "0"] if "--port" not in arguments else []), *arguments)
    assert done.returncode == (1 if arguments[0] == "--replay" else 2), done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr


def test_a_taken_port_is_named(cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli("simulate", "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port} is in use: stop the program that listens there" in done.stderr


def test_every_sent_tick_is_in_the_truth(start_simulate: Callable[..., Any], workdir: Path, tools: Any) -> None:
    """If it is killed while pushing, the truth file holds every tick that a client received."""
    simulate = start_simulate("--symbols", "HK.00700", "--rate", "20000", "--truth", "truth")

    async def main() -> list[int]:
        seqs: list[int] = []
        async with tools.peer_of(simulate.port) as peer:
            await peer.subscribe("HK.00700")
            try:
                while True:
                    seqs += [ticker.sequence for ticker in (await peer.next_push()).s2c.tickerList]
                    if len(seqs) == 3_000:
                        simulate.process.kill()
            except ConnectionError:
                return seqs

    received = tools.run(main())
    truth = {tick.seq for tick in read_truth(workdir / "truth")}
    assert len(received) >= 3_000
    assert set(received) <= truth
