"""Whatever OpenD sends: bounded memory, a bounded log, ticks of subscribed symbols stored, SIGTERM works."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.flooding_opend import FloodingOpenD
from tests.protobuf_bytes import field, length
from tests.scripted_opend import notify, ticks_of

from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import MAX_BODY_BYTES, encode_frame

from .conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.message import Message

    from .conftest import Collector, Start

MEMORY_MOST_MB: Final = 350
LOG_MOST_BYTES: Final = 1_000_000  # a minute; each of these floods is over sooner, or is cut short
CHOSEN: Final = "00700"
TICKS: Final = 20
LONG_WORDS: Final = "額度不足 " * 1_500_000  # 15 MB and more


def body_of(ticks: bytes, security: bytes) -> bytes:
    """The body of a push, given as bytes."""
    return b"\x08\x00" + field(4, field(1, security) + ticks)


SECURITY: Final = pb.Security(market=1, code=CHOSEN).SerializeToString()


def pushed(ticks: bytes, security: bytes = SECURITY) -> bytes:
    """A push of ticks that are given as bytes."""
    return encode_frame(messages.UPDATE_TICKER, 0, body_of(ticks, security))


def empty_ticks() -> Iterable[bytes]:
    """8.4 million empty ticks in one frame, and ten frames with the allowed maximum."""
    yield pushed(b"\x12\x00" * (MAX_BODY_BYTES // 2 - 20))
    for _ in range(10):
        yield pushed(b"\x12\x00" * 99_000)


def tiny_ticks() -> Iterable[bytes]:
    """Ticks with nothing but a possible sequence."""
    numbers = itertools.count(1)
    for _ in range(8):
        yield pushed(b"".join(field(2, b"\x10" + length(1_795_140_000 << 32 | next(numbers))) for _ in range(90_000)))


def unknown_fields() -> Iterable[bytes]:
    """Fifteen MB of unknown fields, different each time, wherever a message may have them."""
    for number in range(15):
        unknown = field(15, number.to_bytes(4, "big") + bytes(15_000_000))
        yield pushed(b"", SECURITY + unknown)
        yield pushed(unknown)
        yield pushed(field(2, unknown))
        yield pushed(field(2, field(1, bytes(15_000_000))))


def other_securities() -> Iterable[bytes]:
    """Symbols that are not subscribed, each with a tick."""
    for number in range(1_000):
        yield b"".join(
            pushed(field(2, b"\x10\x01"), pb.Security(market=1, code=f"{number:04}{each:02}").SerializeToString())
            for each in range(60)
        )


def notices() -> Iterable[bytes]:
    """The same few again and again, and unknown kinds."""
    for number in range(30_000):
        yield notify(event={"eventType": 7, "desc": f"elsewhere {number}"})
        yield notify(type=2, programStatus={"programStatus": {"type": 1000 + number}})


def changing_notices() -> Iterable[bytes]:
    """Lost, back, lost, again and again."""
    lost = notify(type=3, connectStatus={"qotLogined": False, "trdLogined": False})
    back = notify(type=3, connectStatus={"qotLogined": True, "trdLogined": True})
    for _ in range(600):
        yield (lost + back) * 100


def unasked() -> Iterable[bytes]:
    """Replies without a request, of any number; and invalid pushes."""
    for number in range(50_000):
        yield encode_frame(number % 4000 + 1, number, b"\xff\xff")


def long_notice() -> Iterable[bytes]:
    """Fifteen MB of text, and as many bytes that are not text."""
    event = field(2, b"\x08\x07" + field(2, b"\xff" * 15_000_000))
    for _ in range(10):
        yield notify(event={"eventType": 7, "desc": LONG_WORDS[:5_000_000]})
        yield encode_frame(messages.NOTIFY, 0, b"\x08\x00" + field(4, b"\x08\x01" + event))


FLOODS: Final = [
    empty_ticks,
    tiny_ticks,
    unknown_fields,
    other_securities,
    notices,
    changing_notices,
    unasked,
    long_notice,
]


def memory_mb(collector: Collector) -> int:
    """Its peak memory."""
    with open(f"/proc/{collector.pid}/status", encoding="ascii") as lines:  # noqa: PTH123 - no path of a test's
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def check(collector: Collector) -> dict[str, str]:
    """Ends it, and checks its memory and log; the fields of its last line."""
    most_mb = memory_mb(collector)
    assert collector.stop() == 0
    told = len(collector.output.encode())
    print(f"memory_mb={most_mb} log_bytes={told}")
    assert most_mb < MEMORY_MOST_MB
    assert told < LOG_MOST_BYTES
    return collector.shutdown()


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_a_flood_fills_neither_memory_nor_log_and_loses_no_tick(
    start: Start, flood: Callable[[], Iterable[bytes]]
) -> None:
    """Ticks of a subscribed symbol that come after it on the same connection are stored; the account balances."""
    with FloodingOpenD(flood) as opend:
        collector = start.run(opend.port, {"FUTU_SYMBOLS": f"HK.{CHOSEN},HK.00005", "STOP_FLUSH_TIMEOUT_SEC": "30"})
        wait_until(opend.flooded.is_set, lambda: f"the end of the flood; so far\n{collector.output[-5000:]}")
        opend.send_ticks(CHOSEN, TICKS)
        collector.wait_stored(TICKS)
        last = check(collector)
    assert opend.connections == 1, "a flood is no reason to connect again"
    kept = [row for row in collector.ticks() if row.symbol == f"HK.{CHOSEN}"]
    assert len(kept) == len(collector.ticks()) == TICKS
    assert int(last["received"]) == sum(int(last[key]) for key in ("stored", "duplicate", "rejected", "dropped"))


@pytest.mark.parametrize("flood", [empty_ticks, changing_notices])
def test_sigterm_works_during_a_flood(start: Start, flood: Callable[[], Iterable[bytes]]) -> None:
    """During an endless flood with two thousand symbols SIGTERM ends the service in time, with everything stored."""
    limit_s = 10
    with FloodingOpenD(lambda: itertools.chain.from_iterable(flood() for _ in itertools.count())) as opend:
        symbols = ",".join(f"HK.{number:05}" for number in range(1, 2001))
        collector = start.run(opend.port, {"FUTU_SYMBOLS": symbols, "STOP_FLUSH_TIMEOUT_SEC": str(limit_s)})
        collector.wait_for("futu_connected")
        collector.wait_for("health", 1 + len(collector.events("health")))  # it beats on
        begun_s = time.monotonic()
        last = check(collector)
        took_s = time.monotonic() - begun_s
        print(f"stopped within {took_s:.1f} s")
    assert took_s < 5 * limit_s
    assert last["left_rows"] == "0"


def refusing(proto_id: int, _: bytes) -> Message | None:
    """Refuses everything except the connection, with very long texts."""
    return None if proto_id == messages.INIT_CONNECT else pb.Outcome(retType=-1, retMsg=LONG_WORDS[:5_000_000])


def refusing_connections(proto_id: int, _: bytes) -> Message | None:
    """Refuses the connection with a very long text."""
    return pb.Outcome(retType=-1, retMsg=LONG_WORDS[:5_000_000])


class _Raw:
    """A body given as bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return self._body


def overfull(proto_id: int, body: bytes) -> Any:
    """Answers with millions of elements."""
    many = 7_000_000
    match proto_id:
        case messages.GET_TICKER:
            security = pb.GetTickerRequest.FromString(body).c2s.security.SerializeToString()
            return _Raw(body_of(b"\x12\x00" * many, security))
        case messages.GET_SUB_INFO:
            subscribed = field(1, field(1, b"\x08\x04" + b"\x12\x00" * many) + b"\x10\x01\x18\x01")
            return _Raw(b"\x08\x00" + field(4, subscribed))
        case messages.REQUEST_TRADE_DATE:
            return _Raw(b"\x08\x00" + field(4, b"\x0a\x00" * many))
    return None


@pytest.mark.parametrize("answer", [refusing, refusing_connections, overfull], ids=lambda answer: answer.__name__)
def test_oversized_answers_fill_neither_memory_nor_log(
    start: Start, answer: Callable[[int, bytes], Message | None]
) -> None:
    """However long OpenD's texts are, or however many elements an answer has: again and again."""
    with FloodingOpenD(answer=answer) as opend:
        collector = start.run(opend.port, {"FUTU_SYMBOLS": f"HK.{CHOSEN},HK.00005", "STOP_FLUSH_TIMEOUT_SEC": "30"})
        wait_until(lambda: sum(opend.asked.values()) >= 30, lambda: f"30 requests; so far\n{collector.output[-5000:]}")
        check(collector)
    assert max(len(line) for line in collector.output.splitlines()) < 2_000


def test_the_largest_valid_messages_are_stored_completely(start: Start) -> None:
    """A push with ten times the most ticks of GetTicker is stored completely."""
    ticks = 10_000
    with FloodingOpenD() as opend:
        collector = start.run(opend.port, {"FUTU_SYMBOLS": f"HK.{CHOSEN}"})
        collector.wait_for("subscribed")
        first = 1_795_140_000 << 32
        many = ticks_of(*range(first + 1, first + ticks + 1), code=CHOSEN, timestamp=1_795_140_000.0)
        opend.send(encode_frame(messages.UPDATE_TICKER, 0, many.SerializeToString()))
        collector.wait_stored(ticks)
        assert collector.stop() == 0
