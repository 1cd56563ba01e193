"""One connection from InitConnect to its end: a scripted OpenD's bytes in, events out, the clock an argument.

Every script is fed whole, byte by byte, and with the beginning of a next frame behind it; the events must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted_opend import INTERVAL_S, accepted, frame, notify, push, ticks_of

from hk_tick_collector.errors import OpenDError, ProtocolError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.crypto import AesCipher, RsaCipher
from hk_tick_collector.opend.frame import FrameReader, encode_frame
from hk_tick_collector.opend.protocol import (
    INIT_TIMEOUT_S,
    KEEP_ALIVE_SHARE,
    REQUEST_TIMEOUT_S,
    SILENCE_S,
    Closed,
    Connection,
    Event,
    Failed,
    Notified,
    Ready,
    Replied,
    Skipped,
    State,
    Ticks,
    Unwanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.message import Message

NOW_S: Final = 5000.0
TRADED_S: Final = int(datetime(2026, 11, 20, 2, 0, 1, tzinfo=UTC).timestamp())  # 10:00:01 in Hong Kong
RECEIVED_MS: Final = TRADED_S * 1000 + 250
Told = tuple[object, ...]


# ---- a scripted OpenD ----

OK: Final = pb.Outcome(retType=0)
NO: Final = pb.Outcome(retType=-1, retMsg="quota exceeded")
INIT: Final = frame(messages.INIT_CONNECT, 1, accepted())
KICKED: Final = notify(event={"eventType": 7, "desc": "elsewhere"})


# ---- what a connection tells ----


def told(events: Iterable[Event]) -> list[Told]:
    """Events as plain values: errors by their text, neighbouring bursts of pushes as one, empty ones as none."""
    plain: list[Told] = []
    for event in events:
        match event:
            case Ticks(rows=rows, rejected=rejected, requested_by=None):
                seqs = tuple(row[:2] for row in rows)
                bad = tuple((one.seq, one.cause) for one in rejected)
                if plain and plain[-1][0] == "Ticks":
                    _, before, bad_before = plain.pop()
                    assert isinstance(before, tuple)
                    assert isinstance(bad_before, tuple)
                    seqs, bad = before + seqs, bad_before + bad
                if seqs or bad:
                    plain.append(("Ticks", seqs, bad))
            case Ticks(rows=rows, requested_by=serial):
                plain.append(("Pulled", serial, tuple(row[:2] for row in rows)))
            case Ready(reply=reply):
                plain.append(("Ready", reply.conn_id))
            case Replied(serial=serial, proto_id=proto_id):
                plain.append(("Replied", serial, proto_id))
            case Failed(serial=serial, proto_id=proto_id, error=error):
                plain.append(("Failed", serial, proto_id, str(error)))
            case Notified(notice=notice):
                plain.append(("Notified", notice.kind, notice.healthy))
            case Skipped(proto_id=proto_id):
                plain.append(("Skipped", proto_id))
            case Closed(error=error):
                plain.append(("Closed", str(error)))
    return plain


def connecting(rsa: RsaCipher | None = None) -> Connection:
    """A connection that has sent InitConnect, serial number 1."""
    connection = Connection("test", rsa)
    connection.start(NOW_S)
    connection.data_to_send()
    return connection


def ready(*requests: tuple[int, Message], interval_s: int = INTERVAL_S) -> Connection:
    """A connection that OpenD has accepted and that waits for the replies to these, serial numbers 2, 3, …"""
    connection = connecting()
    events = connection.receive(frame(messages.INIT_CONNECT, 1, accepted(interval_s=interval_s)), NOW_S, RECEIVED_MS)
    assert told(events) == [("Ready", 42)]
    for proto_id, message in requests:
        connection.request(proto_id, message, NOW_S)
    connection.data_to_send()
    return connection


def feed(connection: Connection, pieces: Iterable[bytes], now_s: float = NOW_S) -> list[Event]:
    """The events of these pieces, in order."""
    return [event for piece in pieces for event in connection.receive(piece, now_s, RECEIVED_MS)]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces that begin and end at these places."""
    return [data[start:end] for start, end in pairwise(sorted({0, len(data), *places}))]


@dataclass(frozen=True)
class Script:
    """What the server sends to such a connection, and the expected events."""

    name: str
    begin: Callable[[], Connection]
    sent: bytes
    expected: list[Told]


def hk(*seqs: int, symbol: str = "HK.00700") -> tuple[tuple[str, int], ...]:
    """Symbol and sequence of rows."""
    return tuple((symbol, seq) for seq in seqs)


GET_TICKER: Final = (messages.GET_TICKER, messages.get_ticker("HK.00700"))
SUBSCRIBE: Final = (messages.SUB, messages.subscribe(["HK.00700"]))
STATE: Final = (messages.GET_GLOBAL_STATE, messages.get_global_state())
BAD_SHA: Final = bytearray(push(9))
BAD_SHA[-1] ^= 1
SHA_CLOSED: Final = ("Closed", "SHA-1 of the body of message 3011 does not match its header")


def raw(proto_id: int, body: bytes, serial: int = 0) -> bytes:
    """A good frame around any body."""
    return encode_frame(proto_id, serial, body)


SCRIPTS: Final = [
    Script("accepted", connecting, INIT, [("Ready", 42)]),
    Script("accepted, and pushes in the same read", connecting, INIT + push(1), [("Ready", 42), ("Ticks", hk(1), ())]),
    Script(
        "refused",
        connecting,
        frame(messages.INIT_CONNECT, 1, pb.Outcome(retType=-1, retMsg="too many connections")) + push(1),
        [("Closed", "OpenD refused the connection: too many connections")],
    ),
    Script(
        "accepted without content",
        connecting,
        frame(messages.INIT_CONNECT, 1, OK),
        [("Closed", "OpenD refused the connection: OpenD answered InitConnectResponse without its content")],
    ),
    Script(
        "a reply to InitConnect that is none",
        connecting,
        raw(messages.INIT_CONNECT, b"\xff", 1) + push(1),
        [("Closed", "a body of 1 bytes is not a valid InitConnectResponse")],
    ),
    Script(
        "a second yes",
        connecting,
        INIT + INIT + push(1),
        [("Ready", 42), ("Skipped", messages.INIT_CONNECT), ("Ticks", hk(1), ())],
    ),
    Script(
        "replies in order",
        lambda: ready(SUBSCRIBE, STATE),
        frame(messages.SUB, 2, OK) + frame(messages.GET_GLOBAL_STATE, 3, OK),
        [("Replied", 2, messages.SUB), ("Replied", 3, messages.GET_GLOBAL_STATE)],
    ),
    Script(
        "replies out of order, between pushes",
        lambda: ready(SUBSCRIBE, STATE, SUBSCRIBE),
        push(1)
        + frame(messages.SUB, 4, NO)
        + push(2)
        + frame(messages.SUB, 2, OK)
        + frame(messages.GET_GLOBAL_STATE, 3, OK),
        [
            ("Ticks", hk(1), ()),
            ("Replied", 4, messages.SUB),  # with a refusal inside, for read_outcome
            ("Ticks", hk(2), ()),
            ("Replied", 2, messages.SUB),
            ("Replied", 3, messages.GET_GLOBAL_STATE),
        ],
    ),
    Script(
        "a reply twice",
        lambda: ready(SUBSCRIBE),
        frame(messages.SUB, 2, OK) * 2,
        [("Replied", 2, messages.SUB), ("Skipped", messages.SUB)],
    ),
    Script(
        "a reply of another kind does not answer",
        lambda: ready(SUBSCRIBE),
        frame(messages.GET_GLOBAL_STATE, 2, OK) + frame(messages.SUB, 2, OK),
        [("Skipped", messages.GET_GLOBAL_STATE), ("Replied", 2, messages.SUB)],
    ),
    Script(
        "a reply to nothing",
        ready,
        frame(messages.SUB, 77, OK) + push(1),
        [("Skipped", messages.SUB), ("Ticks", hk(1), ())],
    ),
    Script(
        "requested ticks",
        lambda: ready(GET_TICKER, GET_TICKER),
        frame(messages.GET_TICKER, 3, ticks_of(5, 6)) + frame(messages.GET_TICKER, 2, ticks_of()),
        [("Pulled", 3, hk(5, 6)), ("Pulled", 2, ())],
    ),
    Script(
        "a GetTicker request that fails, with OpenD's text",
        lambda: ready(GET_TICKER),
        frame(messages.GET_TICKER, 2, NO) + push(1),
        [("Failed", 2, messages.GET_TICKER, "quota exceeded"), ("Ticks", hk(1), ())],
    ),
    Script(
        "a GetTicker reply that is not a message",
        lambda: ready(GET_TICKER),
        raw(messages.GET_TICKER, b"\xff", 2) + push(1),
        [("Failed", 2, messages.GET_TICKER, "a body of 1 bytes is not a valid TickerResponse"), ("Ticks", hk(1), ())],
    ),
    Script(
        "a GetTicker reply without a security",
        lambda: ready(GET_TICKER),
        frame(messages.GET_TICKER, 2, pb.TickerResponse(retType=0, s2c={"tickerList": ticks_of(1).s2c.tickerList})),
        [("Failed", 2, messages.GET_TICKER, "the answer for HK.00700 names no security")],
    ),
    Script(
        "a GetTicker reply whose security has no code",
        lambda: ready(GET_TICKER),
        frame(messages.GET_TICKER, 2, ticks_of(1, code="")),
        [("Failed", 2, messages.GET_TICKER, "in the answer for HK.00700 a security has the code ''")],
    ),
    Script(
        "a GetTicker reply whose security has a malformed code",
        lambda: ready(GET_TICKER),
        frame(messages.GET_TICKER, 2, ticks_of(1, code="00\n700")),
        [("Failed", 2, messages.GET_TICKER, "in the answer for HK.00700 a security has the code '00\\n700'")],
    ),
    Script(
        "a GetTicker reply with the ticks of a symbol that is not ours",
        lambda: ready(SUBSCRIBE, GET_TICKER),
        frame(messages.GET_TICKER, 3, ticks_of(1, 2, code="00005")) + push(3),
        [
            ("Failed", 3, messages.GET_TICKER, "OpenD answered with ticks of HK.00005, HK.00700 was asked for"),
            ("Skipped", messages.GET_TICKER),
            ("Ticks", hk(3), ()),
        ],
    ),
    Script(
        "a GetTicker reply with the ticks of another market's symbol",
        lambda: ready(SUBSCRIBE, GET_TICKER),
        frame(messages.GET_TICKER, 3, ticks_of(1, market=11)),
        [
            ("Failed", 3, messages.GET_TICKER, "OpenD answered with ticks of 11.00700, HK.00700 was asked for"),
            ("Skipped", messages.GET_TICKER),
        ],
    ),
    Script(
        "a GetTicker reply with the ticks of another symbol that is subscribed",
        lambda: ready((messages.SUB, messages.subscribe(["HK.00700", "HK.00005"])), GET_TICKER),
        frame(messages.GET_TICKER, 3, ticks_of(1, 2, code="00005")),
        [
            ("Failed", 3, messages.GET_TICKER, "OpenD answered with ticks of HK.00005, HK.00700 was asked for"),
            ("Pulled", 3, hk(1, 2, symbol="HK.00005")),
        ],
    ),
    Script(
        "a burst of many securities",
        ready,
        push(1) + push(1, code="00981") + push(2, 3),
        [("Ticks", (*hk(1), *hk(1, symbol="HK.00981"), *hk(2, 3)), ())],
    ),
    Script(
        "the same code in another market",
        ready,
        push(1) + push(2, market=21) + push(3),
        [("Ticks", (*hk(1), *hk(2, symbol="21.00700"), *hk(3)), ())],
    ),
    Script(
        "a bad tick among good ones",
        ready,
        push(1) + push(2, time="99:99:99") + push(3) + push(4, price=float("nan")),
        [("Ticks", hk(1, 3), ((2, "bad_time"), (4, "non_finite")))],
    ),
    Script("a push of nothing", ready, push() + push(1), [("Ticks", hk(1), ())]),
    Script(
        "pushes that cannot be read, between ones that can",
        ready,
        push(1) + raw(messages.UPDATE_TICKER, b"\x22\x7f") + push(2) + raw(messages.UPDATE_TICKER, b"") + push(3),
        [
            ("Ticks", hk(1), ()),
            ("Skipped", messages.UPDATE_TICKER),
            ("Ticks", hk(2), ()),
            ("Skipped", messages.UPDATE_TICKER),
            ("Ticks", hk(3), ()),
        ],
    ),
    Script(
        "texts that are no UTF-8",
        ready,
        raw(messages.UPDATE_TICKER, ticks_of(1, code="!!").SerializeToString().replace(b"!!", b"\xff\xfe"))
        + raw(messages.UPDATE_TICKER, ticks_of(2, time="!!").SerializeToString().replace(b"!!", b"\xff\xfe"))
        + push(3),
        [("Skipped", messages.UPDATE_TICKER), ("Ticks", hk(3), ((2, "bad_time"),))],
    ),
    Script(
        "messages of numbers that nobody knows",
        ready,
        raw(9999, b"whatever") + push(1) + raw(0, b"") + raw(0xFFFFFFFF, b"\xff"),
        [("Skipped", 9999), ("Ticks", hk(1), ()), ("Skipped", 0), ("Skipped", 0xFFFFFFFF)],
    ),
    Script(
        "notices",
        ready,
        KICKED
        + notify(connectStatus={"qotLogined": True, "trdLogined": True})
        + raw(messages.NOTIFY, b"\x22\x7f")
        + push(1),
        [
            ("Notified", "kicked_out", False),
            ("Notified", "quote_link_up", True),
            ("Skipped", messages.NOTIFY),
            ("Ticks", hk(1), ()),
        ],
    ),
    Script(
        "a fault in a burst",
        lambda: ready(SUBSCRIBE, GET_TICKER),
        push(1) + push(2) + bytes(BAD_SHA) + push(3) + frame(messages.SUB, 2, OK),
        [
            ("Ticks", hk(1, 2), ()),
            ("Failed", 2, messages.SUB, SHA_CLOSED[1]),
            ("Failed", 3, messages.GET_TICKER, SHA_CLOSED[1]),
            SHA_CLOSED,
        ],
    ),
    Script(
        "a web server",
        connecting,
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        [
            ("Failed", 1, messages.INIT_CONNECT, "expected a frame that begins with FT, got b'HT'"),
            ("Closed", "expected a frame that begins with FT, got b'HT'"),
        ],
    ),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.parametrize("way", ["whole", "byte by byte", "with a next frame's beginning"])
def test_a_script_gives_the_same_events_however_it_arrives(script: Script, way: str) -> None:
    """Every case whole, byte by byte, and with trailing bytes: the same events in the same order."""
    connection = script.begin()
    data = script.sent + (push(99)[:50] if way.startswith("with") else b"")
    pieces = [data] if way != "byte by byte" else [data[i : i + 1] for i in range(len(data))]
    assert told(feed(connection, pieces)) == script.expected
    assert (connection.state is State.CLOSED) == (script.expected[-1][0] == "Closed")


STORY: Final = b"".join(
    [
        INIT,
        push(1),
        push(2, 3, code="00981"),
        frame(messages.SUB, 2, OK),
        KICKED,
        push(4),
        raw(9999, b"x" * 300),
        frame(messages.GET_TICKER, 3, ticks_of(*range(5, 25))),
        push(*range(30, 60)),
    ]
)


def story_teller() -> Connection:
    """A connection whose requests 2 and 3 are out before the yes is read, as when all arrives in one read."""
    connection = connecting()
    assert told(connection.receive(INIT, NOW_S, RECEIVED_MS)) == [("Ready", 42)]
    connection.request(*SUBSCRIBE, NOW_S)
    connection.request(*GET_TICKER, NOW_S)
    return connection


REST: Final = STORY[len(INIT) :]


@given(st.lists(st.integers(0, len(REST)), max_size=40))
def test_split_points_do_not_matter(places: list[int]) -> None:
    """However TCP splits a busy stream, the events are the same."""
    whole = told(feed(story_teller(), [REST]))
    assert len(whole) == 7
    assert told(feed(story_teller(), cut(REST, places))) == whole


@settings(max_examples=300)
@given(
    place=st.integers(0, len(REST) - 1),
    wound=st.one_of(st.binary(min_size=1, max_size=60), st.just(b"")),
    removed=st.integers(0, 60),
    places=st.lists(st.integers(0, len(REST)), max_size=5),
)
def test_garbage_anywhere_ends_in_closed_or_changes_nothing_before_it(
    place: int, wound: bytes, removed: int, places: list[int]
) -> None:
    """Only events result; complete messages before the damage are returned; Closed, if it comes, is the last."""
    before = told(feed(story_teller(), [REST[:place]]))
    connection = story_teller()
    events = feed(connection, cut(REST[:place] + wound + REST[place + removed :], places))
    kinds = [event[0] for event in told(events)]
    assert "Closed" not in kinds[:-1]
    assert connection.state is (State.CLOSED if kinds[-1:] == ["Closed"] else State.READY)
    rows_before = [row for event in before if event[0] == "Ticks" for row in event[1]]  # type: ignore[attr-defined]
    rows = [row for event in told(events) if event[0] == "Ticks" for row in event[1]]  # type: ignore[attr-defined]
    assert rows[: len(rows_before)] == rows_before
    if connection.state is State.CLOSED:
        assert connection.receive(push(1), NOW_S, RECEIVED_MS) == []


# ---- requests and replies ----


def test_requests_are_numbered_and_framed() -> None:
    """Serial numbers count from InitConnect; the bytes to send are returned once, in order."""
    connection = ready()
    serials = [connection.request(*SUBSCRIBE, NOW_S), connection.request(*GET_TICKER, NOW_S)]
    sent = list(FrameReader().feed(connection.data_to_send()))
    assert serials == [2, 3]
    assert [(proto_id, serial) for proto_id, serial, _ in sent] == [(messages.SUB, 2), (messages.GET_TICKER, 3)]
    assert sent[1][2] == GET_TICKER[1].SerializeToString()
    assert connection.data_to_send() == b""


def test_the_first_message_is_init_connect() -> None:
    """InitConnect names us, asks for notices and, without a key, for no encryption."""
    connection = Connection("collector-7")
    connection.start(NOW_S)
    [(proto_id, serial, body)] = FrameReader().feed(connection.data_to_send())
    asked = pb.InitConnectRequest.FromString(body).c2s
    assert (proto_id, serial) == (messages.INIT_CONNECT, 1)
    assert (asked.clientID, asked.recvNotify, asked.packetEncAlgo) == ("collector-7", True, -1)


@pytest.mark.parametrize("begin", [lambda: Connection("test"), connecting], ids=["new", "connecting"])
def test_nothing_is_requested_before_opend_accepts(begin: Callable[[], Connection]) -> None:
    """A request too early is an error of its own, and nothing is sent."""
    connection = begin()
    with pytest.raises(OpenDError, match="not connected"):
        connection.request(*SUBSCRIBE, NOW_S)
    assert connection.data_to_send() == b""


def test_a_reply_comes_with_its_body() -> None:
    """The body is whole and for messages' readers."""
    [event] = ready(SUBSCRIBE).receive(frame(messages.SUB, 2, NO), NOW_S, RECEIVED_MS)
    assert isinstance(event, Replied)
    with pytest.raises(OpenDError, match="quota exceeded"):
        messages.read_outcome(event.body)


def test_rows_carry_how_they_came_and_when() -> None:
    """The receive time from the caller; pushed ticks say how they came, requested ones are a backfill."""
    connection = ready(GET_TICKER)
    data = push(1, pushDataType=3) + frame(messages.GET_TICKER, 2, ticks_of(2, pushDataType=1))
    pushed, pulled = connection.receive(data, NOW_S, RECEIVED_MS)
    assert isinstance(pushed, Ticks)
    assert isinstance(pulled, Ticks)
    assert [row[8:] for row in pushed.rows] == [("cache", RECEIVED_MS, None, None)]
    assert [row[8:] for row in pulled.rows] == [("backfill", RECEIVED_MS, None, None)]


def test_a_burst_is_one_event() -> None:
    """One event for a burst, not one for each tick; a message between ticks begins a new event, so order is kept."""
    events = ready().receive(b"".join(push(seq) for seq in range(500)), NOW_S, RECEIVED_MS)
    assert len(events) == 1
    events = ready().receive(push(1) + KICKED + push(2), NOW_S, RECEIVED_MS)
    assert [type(event) for event in events] == [Ticks, Notified, Ticks]


def test_unread_bytes_are_one_event_with_those_that_follow() -> None:
    """Each tick keeps the moment of its own bytes; requested ticks and messages are never joined."""
    connection, events = ready(GET_TICKER), list[Event]()
    for number, data in enumerate(
        (push(1), push(2), frame(messages.GET_TICKER, 2, ticks_of(3)), push(4), KICKED, push(5))
    ):
        assert connection.receive(data, NOW_S, RECEIVED_MS + number, events) is events
    rows = [[(row[1], row[9] - RECEIVED_MS) for row in event.rows] for event in events if isinstance(event, Ticks)]
    assert rows == [[(1, 0), (2, 1)], [(3, 2)], [(4, 3)], [(5, 5)]]
    assert [type(event) for event in events] == [Ticks, Ticks, Ticks, Notified, Ticks]


# ---- time ----


def test_a_request_without_a_reply_fails_at_its_deadline() -> None:
    """Not before; once. Ticks in a reply that still comes are ticks; another late reply is no message without a
    meaning."""
    connection = ready(SUBSCRIBE)
    serial = connection.request(*GET_TICKER, NOW_S, timeout_s=3.0)
    assert connection.next_deadline_s() == NOW_S + 3.0
    assert told(connection.advance(NOW_S + 2.999, 0)) == []
    late = "OpenD did not answer message {} in time"
    assert told(connection.advance(NOW_S + 3.0, 0)) == [("Failed", serial, 3010, late.format(3010))]
    late_ticks = frame(messages.GET_TICKER, serial, ticks_of(1))
    assert told(connection.receive(late_ticks, NOW_S + 4, 0)) == [("Pulled", serial, hk(1))]
    assert told(connection.receive(late_ticks, NOW_S + 4, 0)) == [("Skipped", 3010)]
    assert told(connection.advance(NOW_S + REQUEST_TIMEOUT_S, 0)) == [("Failed", 2, 3001, late.format(3001))]
    assert told(connection.receive(frame(messages.SUB, 2, OK), NOW_S + 14, 0)) == []
    assert connection.state is State.READY


def test_the_memory_of_late_requests_is_bounded() -> None:
    """An OpenD that never answers uses no memory, however many requests are sent."""
    connection = ready()
    first = connection.request(*GET_TICKER, NOW_S, timeout_s=1.0)
    for _ in range(300):
        connection.request(*GET_TICKER, NOW_S, timeout_s=1.0)
    connection.advance(NOW_S + 1.0, 0)
    assert told(connection.receive(frame(messages.GET_TICKER, first, ticks_of(1)), NOW_S + 4, 0)) == [("Skipped", 3010)]
    newest = first + 300
    assert told(connection.receive(frame(messages.GET_TICKER, newest, ticks_of(1)), NOW_S + 4, 0)) == [
        ("Pulled", newest, hk(1))
    ]


def test_an_opend_that_never_accepts_is_given_up_after_ten_seconds() -> None:
    """On the clock that is passed in, also when it sends other things meanwhile."""
    connection = connecting()
    connection.receive(KICKED, NOW_S + 9, RECEIVED_MS)
    assert connection.next_deadline_s() == NOW_S + INIT_TIMEOUT_S == NOW_S + 10
    assert connection.advance(NOW_S + 9.999, 0) == []
    assert told(connection.advance(NOW_S + 10, 0)) == [("Closed", "OpenD did not answer message 1001 in time")]


@pytest.mark.parametrize("interval_s", [1, 5, 10, 20])
def test_the_connection_is_kept_alive_at_the_share_of_the_interval(interval_s: int) -> None:
    """0.8 of OpenD's interval, again and again, with the wall clock in it; replies cause no event."""
    connection = ready(interval_s=interval_s)
    due_s = NOW_S
    for turn in range(1, 6):
        due_s += max(1.0, KEEP_ALIVE_SHARE * interval_s)
        assert connection.next_deadline_s() == pytest.approx(due_s)
        assert connection.advance(due_s - 0.01, 7000 + turn) == []
        assert connection.data_to_send() == b""
        due_s = connection.next_deadline_s()
        assert connection.advance(due_s, 7000 + turn) == []
        [(proto_id, serial, body)] = FrameReader().feed(connection.data_to_send())
        assert proto_id == messages.KEEP_ALIVE
        assert pb.KeepAliveRequest.FromString(body).c2s.time == 7000 + turn
        assert connection.receive(frame(messages.KEEP_ALIVE, serial, OK), due_s, RECEIVED_MS) == []


@pytest.mark.parametrize("interval_s", [-1, 0, 1, 10, 41, 60, 3600, 2**31 - 1])
def test_a_quiet_peer_that_answers_is_never_taken_for_dead(interval_s: int) -> None:
    """With any interval of OpenD, the lunch break brings no disconnection and no flood of keep-alives."""
    connection = ready(interval_s=interval_s)
    sent = 0
    while (now_s := connection.next_deadline_s()) < NOW_S + 3600:
        assert connection.advance(now_s, 0) == []
        for _, serial, _ in FrameReader().feed(connection.data_to_send()):
            sent += 1
            assert connection.receive(frame(messages.KEEP_ALIVE, serial, OK), now_s, RECEIVED_MS) == []
    assert connection.state is State.READY
    assert 3600 / SILENCE_S < sent <= 3600


@pytest.mark.parametrize("trickle", [b"", push(*range(40))], ids=["nothing", "one byte a second"])
def test_silence_is_noticed(trickle: bytes) -> None:
    """33 seconds without a complete message: unanswered keep-alives and single bytes do not count."""
    connection = ready(SUBSCRIBE)
    events: list[Event] = []
    for second in range(1, 36):
        now_s = NOW_S + second
        events += connection.receive(trickle[second - 1 : second], now_s, RECEIVED_MS) if trickle else []
        events += connection.advance(now_s, 0)
        if connection.state is State.CLOSED:
            break
    assert now_s - NOW_S == SILENCE_S
    assert told(events)[-1] == ("Closed", "OpenD has been silent for 33 s")
    assert connection.next_deadline_s() == float("inf")


def test_every_complete_message_keeps_the_connection_alive() -> None:
    """Pushes alone keep a connection that does not answer keep-alives, and so does an unknown message."""
    connection = ready()
    for step, data in enumerate([push(1), raw(9999, b""), KICKED] * 5, start=1):
        connection.receive(data, NOW_S + 30 * step, RECEIVED_MS)
        assert not any(isinstance(event, Closed) for event in connection.advance(NOW_S + 30 * step + 1, 0))


@given(st.lists(st.tuples(st.floats(0.01, 40.0), st.sampled_from(["wait", "push", "ask", "answer"])), max_size=30))
def test_after_a_deadline_the_next_one_is_later(steps: list[tuple[float, str]]) -> None:
    """After `advance` at the deadline the next one is later: a caller that sleeps until then never loops busily."""
    connection = ready()
    now_s, asked = NOW_S, 0
    for pause_s, deed in steps:
        now_s = min(now_s + pause_s, connection.next_deadline_s())
        connection.advance(now_s, 0)
        assert connection.next_deadline_s() > now_s
        if connection.state is State.CLOSED:
            return
        if deed == "push":
            connection.receive(push(1), now_s, RECEIVED_MS)
        elif deed == "ask":
            asked = connection.request(*SUBSCRIBE, now_s, timeout_s=pause_s)
        elif deed == "answer":
            connection.receive(frame(messages.SUB, asked, OK), now_s, RECEIVED_MS)


# ---- the end ----


def test_the_end_of_the_stream_closes_and_fails_what_waits() -> None:
    """Each outstanding request fails before Closed; half a frame is dropped with the connection."""
    connection = ready(SUBSCRIBE, GET_TICKER)
    connection.receive(push(1) + push(2)[:60], NOW_S, RECEIVED_MS)
    words = "OpenD closed the connection"
    expected = [("Failed", 2, messages.SUB, words), ("Failed", 3, messages.GET_TICKER, words), ("Closed", words)]
    assert told(connection.receive_eof()) == expected


@pytest.mark.parametrize("begin", [lambda: Connection("test"), connecting, ready], ids=["new", "connecting", "ready"])
def test_the_end_of_the_stream_is_reported_in_every_state(begin: Callable[[], Connection]) -> None:
    """Closed, once."""
    connection = begin()
    assert told(connection.receive_eof())[-1] == ("Closed", "OpenD closed the connection")
    assert connection.receive_eof() == []


def test_nothing_happens_after_closed() -> None:
    """No bytes, no time and no request bring a closed connection back; the rest of a burst is not read."""
    connection = ready(SUBSCRIBE)
    connection.receive(b"garbage" * 10, NOW_S, RECEIVED_MS)
    assert connection.state is State.CLOSED
    assert connection.receive(push(1), NOW_S, RECEIVED_MS) == []
    assert connection.receive_eof() == []
    assert connection.advance(NOW_S + 100, 0) == []
    assert connection.next_deadline_s() == float("inf")
    with pytest.raises(OpenDError):
        connection.request(*SUBSCRIBE, NOW_S)


def test_a_new_connection_knows_nothing_of_the_last() -> None:
    """Half a frame before a drop and the rest after the reconnect are two things."""
    first, second = ready(), ready()
    first.receive(push(1)[:70], NOW_S, RECEIVED_MS)
    first.receive_eof()
    assert told(second.receive(push(2), NOW_S, RECEIVED_MS)) == [("Ticks", hk(2), ())]


# ---- encrypted ----


@cache
def key(which: int = 0) -> RsaCipher:
    """A pair of sides that share a key file; another `which`, another file."""
    private = rsa.generate_private_key(65537, 1024)
    return RsaCipher(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


@pytest.mark.parametrize("iv", ["i" * 16, None], ids=["cbc", "ftaes_ecb"])
@pytest.mark.parametrize("way", ["whole", "byte by byte"])
def test_an_encrypted_session(iv: str | None, way: str) -> None:
    """InitConnect under RSA, everything after it under AES, the key learnt from one frame of a read for the next."""
    connection = Connection("test", key())
    connection.start(NOW_S)
    [(_, _, body)] = FrameReader(lambda _, wire: key().decrypt(wire)).feed(connection.data_to_send())
    assert pb.InitConnectRequest.FromString(body).c2s.packetEncAlgo == 2

    aes = AesCipher(b"k" * 16, iv.encode() if iv else None)
    data = frame(messages.INIT_CONNECT, 1, accepted(iv=iv), key()) + frame(messages.UPDATE_TICKER, 0, ticks_of(1), aes)
    pieces = [data] if way == "whole" else cut(data, range(len(data)))
    assert told(feed(connection, pieces)) == [("Ready", 42), ("Ticks", hk(1), ())]

    serial = connection.request(*GET_TICKER, NOW_S)
    [(_, _, body)] = FrameReader(lambda _, wire: aes.decrypt(wire)).feed(connection.data_to_send())
    assert body == GET_TICKER[1].SerializeToString()
    data = frame(messages.GET_TICKER, serial, ticks_of(2, 3), aes)
    assert told(feed(connection, [data])) == [("Pulled", serial, hk(2, 3))]


@pytest.mark.parametrize(
    "reply",
    [
        frame(messages.INIT_CONNECT, 1, accepted(), key(1)),
        frame(messages.INIT_CONNECT, 1, accepted()),
        frame(messages.INIT_CONNECT, 1, accepted(), AesCipher(b"k" * 16)),
    ],
    ids=["another key", "in the clear", "another cipher"],
)
def test_an_opend_with_another_key_is_named(reply: bytes) -> None:
    """Each way in which the two sides' keys can differ ends in Closed with the key as its remedy."""
    connection = connecting(key())
    *_, closed = connection.receive(reply, NOW_S, RECEIVED_MS)
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, ProtocolError)
    assert "RSA key" in closed.error.hint


@pytest.mark.parametrize(("session_key", "iv"), [("short", None), ("", None), ("k" * 16, "short")])
def test_a_session_key_that_cannot_be_used_closes(session_key: str, iv: str | None) -> None:
    """OpenD's error is reported; nothing is sent with half a key."""
    connection = connecting(key())
    data = frame(messages.INIT_CONNECT, 1, accepted(key=session_key, iv=iv), key())
    assert told(connection.receive(data, NOW_S, RECEIVED_MS))[-1][0] == "Closed"
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("wire", [b"", b"x" * 15, b"x" * 16, bytes(32)])
def test_a_body_that_does_not_decrypt_closes_after_what_came_before(wire: bytes) -> None:
    """The ticks before it are returned; it and everything after it are not."""
    connection = connecting(key())
    aes = AesCipher(b"k" * 16, b"i" * 16)
    connection.receive(frame(messages.INIT_CONNECT, 1, accepted(iv="i" * 16), key()), NOW_S, RECEIVED_MS)
    good = frame(messages.UPDATE_TICKER, 0, ticks_of(1), aes)
    events = told(connection.receive(good + encode_frame(3011, 0, b"plain", lambda _: wire) + good, NOW_S, RECEIVED_MS))
    assert [event[0] for event in events] == ["Ticks", "Closed"]
    assert events[0] == ("Ticks", hk(1), ())


# ---- what is kept of what OpenD sends ----


def test_a_symbol_that_is_not_subscribed_is_counted_and_not_read() -> None:
    """Its ticks are only counted; those of subscribed symbols beside it are complete, also before the subscription."""
    connection = Connection("test", wanted={"HK.00700"})
    connection.start(NOW_S)
    connection.receive(INIT, NOW_S, RECEIVED_MS)
    events = connection.receive(push(1, 2) + push(3, 4, 5, code="00005") + push(6), NOW_S, RECEIVED_MS)
    first, other, second = events
    assert other == Unwanted("HK.00005", 3)
    assert told([first, second]) == [("Ticks", hk(1, 2, 6), ())]


def test_the_memory_of_securities_is_bounded() -> None:
    """A security that is written differently each time, or at great length, is not remembered."""
    connection = ready()
    symbols: Any = connection._symbols  # noqa: SLF001 - what is remembered is the claim
    for number in range(25_000):
        security = pb.Security(market=1, code=f"{number}").SerializeToString()
        message = pb.TickerPush(retType=0, s2c={"security": security})
        connection.receive(raw(messages.UPDATE_TICKER, message.SerializePartialToString()), NOW_S, RECEIVED_MS)
        assert len(symbols) <= 10_000
    long = pb.Security(market=1, code="00700").SerializeToString() + b"\x7a\xe8\x07" + bytes(1000)
    message = pb.TickerPush(retType=0, s2c={"security": long, "tickerList": ticks_of(1).s2c.tickerList})
    events = connection.receive(raw(messages.UPDATE_TICKER, message.SerializeToString()), NOW_S, RECEIVED_MS)
    assert told(events) == [("Skipped", messages.UPDATE_TICKER)]


def test_a_message_at_fault_is_not_kept_by_its_error() -> None:
    """An error keeps no stack frame: the frame would keep the whole message in memory."""
    connection = connecting()
    events = connection.receive(frame(messages.INIT_CONNECT, 1, NO), NOW_S, RECEIVED_MS)
    (closed,) = [event for event in events if isinstance(event, Closed)]
    assert (closed.error.__traceback__, closed.error.__context__) == (None, None)
    connection = ready((messages.GET_TICKER, messages.get_ticker("HK.00700")))
    (failed,) = connection.receive(frame(messages.GET_TICKER, 2, NO), NOW_S, RECEIVED_MS)
    assert isinstance(failed, Failed)
    assert (failed.error.__traceback__, failed.error.__context__) == (None, None)


def test_only_the_first_of_many_bad_ticks_are_reported_whole() -> None:
    """A hundred of each cause in a message; a text that is not a time is measured, not copied."""
    connection = ready()
    events = connection.receive(push(*range(1, 151), price=float("nan")), NOW_S, RECEIVED_MS)
    (ticks,) = events
    assert isinstance(ticks, Ticks)
    assert [bool(one.detail) for one in ticks.rejected] == [True] * 100 + [False] * 50
    (ticks,) = connection.receive(push(1, time="9" * 1_000_000), NOW_S, RECEIVED_MS)
    assert isinstance(ticks, Ticks)
    assert [one.cause for one in ticks.rejected] == ["bad_time"]
    assert "(1,000,000 characters)" in ticks.rejected[0].detail
    assert len(ticks.rejected[0].detail) <= 500


def test_a_connection_that_has_not_begun_waits_for_nothing() -> None:
    """However much time passes: no deadline, no silence, no keep-alive."""
    connection = Connection("test")
    assert connection.state is State.NEW
    assert connection.next_deadline_s() == float("inf")
    assert connection.advance(1e9, 1_795_140_000) == []
    assert connection.state is State.NEW
