"""One connection to OpenD, from InitConnect to its end, as a state machine without I/O.

Enters: bytes from the peer, requests of ours, the time. Leaves: events and bytes to send. The caller must:

1. write `data_to_send()` to the socket after every call below;
2. pass what it reads to `receive`, the end of the stream to `receive_eof`;
3. call `advance` no later than `next_deadline_s`;
4. after a Closed event, close the socket and drop the object. An object is used for one connection only, so that no old
   byte can reach the next one.

    NEW ──start──▶ CONNECTING ──reply to InitConnect──▶ READY ──▶ CLOSED
                       └── refusal, silence, bad bytes, end of stream ──▶ CLOSED

Times named `now_s` are the caller's monotonic clock in seconds; `recv_ts_ms` is UTC epoch ms, stamped at the socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from hk_tick_collector.errors import CollectorError, OpenDError, ProtocolError
from hk_tick_collector.model import PUSH_BACKFILL

from . import messages
from . import opend_pb2 as pb
from .convert import convert
from .crypto import ENC_ALGO_AES_CBC, ENC_ALGO_NONE, AesCipher
from .frame import FrameReader, encode_frame

if TYPE_CHECKING:
    from collections.abc import Container

    from google.protobuf.message import Message

    from hk_tick_collector.model import Rejected, TickRow

    from .crypto import Cipher, RsaCipher

INIT_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT_S: Final = 12.0  # the vendor's SDK gives up after the same time
SILENCE_S: Final = 33.0  # a connection without a complete message for this time counts as dead (the SDK's value)
KEEP_ALIVE_SHARE: Final = 0.8  # of the interval that OpenD requests
_SYMBOLS_MOST: Final = 10_000  # securities in the cache of decoded symbols
_LATE_MOST: Final = 256  # unanswered requests that are remembered, so that a late answer can be recognised
_KEEP_ALIVE_MIN_S: Final = 1.0
_KEEP_ALIVE_MAX_S: Final = (
    SILENCE_S / 2
)  # also if OpenD requests more: a quiet connection must get an answer before SILENCE_S has passed


@dataclass(frozen=True, slots=True)
class Ready:
    """OpenD accepted the connection."""

    reply: messages.InitReply


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks in order of arrival: pushed, or in the answer to the GetTicker request with this serial number.

    Such an answer may follow a Failed event of its request: it was late, or it has the ticks of another symbol. Its
    ticks are valid.
    """

    rows: list[TickRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    requested_by: int | None = None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A push of a symbol that is not wanted. Its ticks are only counted."""

    symbol: str
    ticks: int


@dataclass(frozen=True, slots=True)
class Replied:
    """The reply to request `serial`, for one of messages' `read_*` functions."""

    serial: int
    proto_id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """Request `serial` failed: it was refused, or had no reply in time."""

    serial: int
    proto_id: int
    error: CollectorError


@dataclass(frozen=True, slots=True)
class Notified:
    """OpenD sent a notice about itself."""

    notice: messages.Notice


@dataclass(frozen=True, slots=True)
class Skipped:
    """A complete message with a correct checksum that we could not decode. Later messages are not affected."""

    proto_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection has ended. Always the last event; `error` is the reason."""

    error: CollectorError


Event: TypeAlias = Ready | Ticks | Unwanted | Replied | Failed | Notified | Skipped | Closed


class State(Enum):
    """The state of a connection."""

    NEW = auto()
    CONNECTING = auto()
    READY = auto()
    CLOSED = auto()


class Connection:
    """The client's side of one connection; see the module docstring for what the caller must do.

    `client_id` names us to OpenD. `rsa` is needed if OpenD is configured with an RSA key. Pushes of symbols that are
    not in `wanted` become Unwanted; None accepts all. `wanted` are all symbols of the settings, also those that are not
    subscribed yet, so that no tick of them is discarded.
    """

    def __init__(self, client_id: str, rsa: RsaCipher | None = None, wanted: Container[str] | None = None) -> None:
        self.state = State.NEW
        self._client_id = client_id
        self._wanted = wanted
        self._rsa = rsa
        self._cipher: Cipher | None = rsa
        self._reader = FrameReader(self._decrypt if rsa else None)
        self._out: list[bytes] = []
        self._serial = 0
        self._waiting: dict[int, tuple[int, float]] = {}  # serial → protocol number, deadline
        self._late: dict[int, int] = {}  # serial of a timed-out request → its protocol number
        self._asked_of: dict[int, str] = {}  # serial of a GetTicker request → the requested symbol
        self._subscribed: set[str] = set()  # symbols in our Sub requests
        self._symbols: dict[bytes, str] = {}  # bytes of a security → symbol: all its ticks share one string object
        self._received_s = 0.0
        self._keep_alive_every_s = 0.0
        self._keep_alive_at_s = float("inf")

    def start(self, now_s: float) -> None:
        """Sends InitConnect; a Ready or a Closed event follows."""
        self.state = State.CONNECTING
        self._received_s = now_s
        encryption = ENC_ALGO_AES_CBC if self._rsa else ENC_ALGO_NONE
        request = messages.init_connect(self._client_id, encryption)
        self._send(messages.INIT_CONNECT, request, now_s + INIT_TIMEOUT_S)

    def request(self, proto_id: int, message: Message, now_s: float, timeout_s: float = REQUEST_TIMEOUT_S) -> int:
        """Sends a request and returns its serial number, which its Replied, Ticks or Failed event will have.

        Raises OpenDError when the connection is not ready.
        """
        if self.state is not State.READY:
            raise OpenDError(f"not connected, message {proto_id} was not sent")
        serial = self._send(proto_id, message, now_s + timeout_s)
        if isinstance(message, pb.GetTickerRequest):
            self._asked_of[serial] = messages.symbol_of(message.c2s.security)
        elif isinstance(message, pb.SubRequest):
            self._subscribed.update(map(messages.symbol_of, message.c2s.securityList))
        return serial

    def data_to_send(self) -> bytes:
        """The bytes to write to the socket; each is returned once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes, now_s: float, recv_ts_ms: int, events: list[Event] | None = None) -> list[Event]:
        """Decodes the peer's next bytes and returns the events. New events are appended to `events`, those of earlier
        bytes, if they are given; consecutive ticks then become one event.
        """
        events = [] if events is None else events
        if self.state is State.CLOSED:
            return events
        burst = _unfinished(events)  # consecutive pushes are added to one event
        try:
            for proto_id, serial, body in self._reader.feed(data):
                self._received_s = now_s
                if proto_id != messages.UPDATE_TICKER:
                    burst = None
                    self._read_message(proto_id, serial, body, now_s, recv_ts_ms, events)
                    continue
                if burst is None:
                    burst = Ticks()
                    events.append(burst)
                try:
                    unwanted = self._read_push(body, recv_ts_ms, burst)
                    if unwanted is not None:
                        burst = None
                        events.append(unwanted)
                except ProtocolError as error:
                    burst = None
                    self._skip(proto_id, str(error), events)
        except ProtocolError as error:
            return self._close(events, error)
        return events

    def receive_eof(self) -> list[Event]:
        """The peer ended the stream."""
        return [] if self.state is State.CLOSED else self._close([], OpenDError("OpenD closed the connection"))

    def next_deadline_s(self) -> float:
        """When `advance` must be called at the latest; infinity when there is nothing to wait for."""
        if self.state in (State.NEW, State.CLOSED):
            return float("inf")
        waiting = min((deadline for _, deadline in self._waiting.values()), default=float("inf"))
        return min(waiting, self._received_s + SILENCE_S, self._keep_alive_at_s)

    def advance(self, now_s: float, epoch_s: int) -> list[Event]:
        """Handles the time: requests without a reply fail, a silent connection is closed, a keep-alive is sent.

        `epoch_s` is the wall clock, which KeepAlive contains.
        """
        if self.state in (State.NEW, State.CLOSED):
            return []
        if now_s >= self._received_s + SILENCE_S:
            return self._close([], OpenDError(f"OpenD has been silent for {SILENCE_S:.0f} s"))
        events: list[Event] = []
        for serial, (proto_id, deadline) in list(self._waiting.items()):
            if now_s >= deadline:
                del self._waiting[serial]
                error = OpenDError(f"OpenD did not answer message {proto_id} in time")
                if proto_id == messages.INIT_CONNECT:
                    return self._close(events, error)
                events.append(Failed(serial, proto_id, error))
                self._late[serial] = proto_id
                if len(self._late) > _LATE_MOST:
                    oldest = next(iter(self._late))
                    del self._late[oldest]
                    self._asked_of.pop(oldest, None)
        if now_s >= self._keep_alive_at_s:
            self._keep_alive_at_s = now_s + self._keep_alive_every_s
            self._send(messages.KEEP_ALIVE, messages.keep_alive(epoch_s), now_s + SILENCE_S)
        return events

    def _read_message(
        self, proto_id: int, serial: int, body: bytes, now_s: float, recv_ts_ms: int, events: list[Event]
    ) -> None:
        """Handles any message except a push of ticks."""
        if proto_id == messages.NOTIFY:
            try:
                events.append(Notified(messages.read_notify(body)))
            except ProtocolError as error:
                self._skip(proto_id, str(error), events)
            return
        if self._late.get(serial) == proto_id:
            del self._late[serial]
            if proto_id == messages.GET_TICKER:
                self._read_get_ticker(serial, body, recv_ts_ms, events)
            return
        asked = self._waiting.get(serial)
        if asked is None or asked[0] != proto_id:
            self._skip(proto_id, f"no request of ours has serial number {serial}", events)
            return
        del self._waiting[serial]
        if proto_id == messages.INIT_CONNECT:
            events.append(self._accepted(body, now_s))
        elif proto_id == messages.GET_TICKER:
            self._read_get_ticker(serial, body, recv_ts_ms, events)
        elif proto_id != messages.KEEP_ALIVE:
            events.append(Replied(serial, proto_id, body))

    def _accepted(self, body: bytes, now_s: float) -> Ready:
        """Handles the reply to InitConnect. Raises ProtocolError when OpenD refuses the connection."""
        try:
            reply = messages.read_init_connect(body)
        except OpenDError as error:
            raise ProtocolError(f"OpenD refused the connection: {error}") from None
        if self._rsa:
            self._cipher = AesCipher(reply.aes_key, reply.aes_iv)
        wanted_s = reply.keep_alive_s * KEEP_ALIVE_SHARE
        self._keep_alive_every_s = min(max(_KEEP_ALIVE_MIN_S, wanted_s), _KEEP_ALIVE_MAX_S)
        self._keep_alive_at_s = now_s + self._keep_alive_every_s
        self.state = State.READY
        return Ready(reply)

    def _read_get_ticker(self, serial: int, body: bytes, recv_ts_ms: int, events: list[Event]) -> None:
        """Handles an answer to GetTicker. If it has another symbol than the requested one, the request fails. Its ticks
        are used if that symbol is subscribed, else skipped.
        """
        ticks, wanted = Ticks(requested_by=serial), self._asked_of.pop(serial, "")
        try:
            s2c = messages.read_get_ticker(body)
            symbol = _symbol_in_answer(s2c, wanted)
            if symbol != wanted:
                error = OpenDError(f"OpenD answered with ticks of {symbol}, {wanted} was asked for")
                events.append(Failed(serial, messages.GET_TICKER, error))
                if symbol not in self._subscribed:
                    self._skip(messages.GET_TICKER, f"{len(s2c.tickerList)} ticks: {error}", events)
                    return
            convert(symbol, s2c.tickerList, recv_ts_ms, ticks.rows, ticks.rejected, PUSH_BACKFILL)
        except (OpenDError, ProtocolError) as error:
            events.append(Failed(serial, messages.GET_TICKER, _bare(error)))
        else:
            events.append(ticks)

    def _read_push(self, body: bytes, recv_ts_ms: int, ticks: Ticks) -> Unwanted | None:
        s2c = messages.read_ticker_push(body)
        security = s2c.security
        symbol = self._symbols.get(security)
        if symbol is None:
            symbol = messages.symbol_of(messages.read_security(security))
            if self._wanted is not None and symbol not in self._wanted:
                return Unwanted(symbol, len(s2c.tickerList))
            self._learn(security, symbol)
        # A copy of the list: iterating over protobuf's own list is slower for a single tick (docs/decisions/0001).
        convert(symbol, s2c.tickerList[:], recv_ts_ms, ticks.rows, ticks.rejected)
        return None

    def _learn(self, wire: bytes, symbol: str) -> None:
        if len(self._symbols) >= _SYMBOLS_MOST:
            self._symbols.clear()  # a peer may encode one security in many ways
        self._symbols[wire] = symbol

    def _skip(self, proto_id: int, reason: str, events: list[Event]) -> None:
        events.append(Skipped(proto_id, reason))

    def drop(self) -> None:
        """Closes the state machine and frees the bytes of an incomplete message. No message is decoded afterwards."""
        self.state = State.CLOSED
        self._reader = FrameReader()

    def _close(self, events: list[Event], error: CollectorError) -> list[Event]:
        self.drop()
        error = _bare(error)
        events.extend(Failed(serial, proto_id, error) for serial, (proto_id, _) in self._waiting.items())
        self._waiting.clear()
        events.append(Closed(error))
        return events

    def _send(self, proto_id: int, message: Message, deadline_s: float) -> int:
        self._serial = self._serial % 0xFFFFFFFF + 1
        encrypt = self._cipher.encrypt if self._cipher else None
        self._out.append(encode_frame(proto_id, self._serial, message.SerializeToString(), encrypt))
        self._waiting[self._serial] = (proto_id, deadline_s)
        return self._serial

    def _decrypt(self, proto_id: int, body: bytes) -> bytes:
        cipher = self._rsa if proto_id == messages.INIT_CONNECT else self._cipher
        assert cipher is not None
        return cipher.decrypt(body)


def _bare(error: CollectorError) -> CollectorError:
    """The error without its traceback. The traceback refers to the message, and would keep it in memory with the error
    until the next garbage collection.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _symbol_in_answer(s2c: pb.TickerResponse.S2C, wanted: str) -> str:
    """The symbol of the ticks in an answer. Raises ProtocolError if it names no security, or an invalid one."""
    if not s2c.HasField("security"):
        raise ProtocolError(f"the answer for {wanted} names no security")
    try:
        return messages.symbol_of(s2c.security)
    except ProtocolError as error:
        raise ProtocolError(f"in the answer for {wanted} {error}") from None


def _unfinished(events: list[Event]) -> Ticks | None:
    """The last event, if it is pushed ticks, to which more ticks can be added."""
    last = events[-1] if events else None
    return last if isinstance(last, Ticks) and last.requested_by is None else None
