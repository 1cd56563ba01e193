"""One client's connection: bytes in, answers and pushes out.

Everything from a client comes through `data_received` and `_answer`, everything to it goes through `write`; scripted
faults act there. The present faults of OpenD are in the desk's Conditions; a fault of this connection only is set by a
method.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Final, cast

from google.protobuf.message import DecodeError

from hk_tick_collector import log
from hk_tick_collector.errors import CryptoError, ProtocolError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.crypto import ENC_ALGO_AES_CBC, ENC_ALGO_NONE, AesCipher
from hk_tick_collector.opend.frame import FrameReader, encode_frame
from hk_tick_collector.simulator.encoding.wrong_bytes import within_first_frame

from .answers import SERVER_VER, Client, answer, fate, refused
from .conditions import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hk_tick_collector.opend.crypto import Cipher, RsaCipher

    from .answers import Desk

KEEP_ALIVE_S: Final = 10
MAX_SESSIONS: Final = 128
_USER_ID: Final = 10_000_001
_NO_SERIAL: Final = 0  # pushes answer no request


class Session(asyncio.Protocol):
    """A connection from its first byte to its last.

    `sessions` are the open ones; this one is among them while it is open. `rsa` is the key of an OpenD that encrypts.
    A client that leaves more than `buffer_bytes` unread is disconnected, so that it never delays the others.
    """

    def __init__(
        self,
        desk: Desk,
        sessions: dict[int, Session],
        conn_id: int,
        *,
        rsa: RsaCipher | None,
        buffer_bytes: int,
        on_subscribed: Callable[[Session], None],
    ) -> None:
        self.client = Client(conn_id)
        self.pushes = 0
        self.closed = asyncio.Event()
        self._desk = desk
        self._conditions = desk.conditions
        self._sessions = sessions
        self._rsa = rsa
        self._buffer_bytes = buffer_bytes
        self._on_subscribed = on_subscribed
        self._cipher: Cipher | None = None
        self._ready = False
        self._reader = FrameReader(self._decrypt)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._wants_notices = False
        self._frozen = False
        self._finishing = False
        self._cut_at: Callable[[bytes], int] | None = None
        self._trickle = bytearray()  # written, but held back by a fault

    @property
    def encrypted(self) -> bool:
        """Whether its bodies are encrypted with AES, so that it cannot share frames with others."""
        return self._cipher is not None

    @property
    def waiting_bytes(self) -> int:
        """Bytes for this client that have not left the process yet."""
        transport = self._transport
        return len(self._trickle) + (transport.get_write_buffer_size() if transport else 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; beyond 128 it is refused, as by OpenD."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else "unknown"
        if len(self._sessions) >= MAX_SESSIONS:
            self.cut(f"more than {MAX_SESSIONS} connections")
            return
        self._sessions[self.client.conn_id] = self
        log.info("client_connected", conn_id=self.client.conn_id, peer=self._peer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, on either side."""
        if self._sessions.pop(self.client.conn_id, None):
            self._desk.account.leave(self.client.conn_id, time.monotonic())
            log.info("client_disconnected", conn_id=self.client.conn_id, pushes=self.pushes, reason=exc or "closed")
        self.client.pushed.clear()
        self._transport = None
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Answers every request that these bytes complete; bytes that are not the protocol end the connection."""
        try:
            for proto_id, serial, body in self._reader.feed(data):
                if not self._conditions.mute and not self._finishing:
                    self._answer(proto_id, serial, body)
        except ProtocolError as error:
            self.cut(str(error))

    def write(self, data: bytes) -> None:
        """Sends complete frames; a client that does not read them in time is disconnected."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._frozen or self._finishing or self._conditions.mute:
            return
        if self._cut_at is not None and (end := self._cut_at(data)):
            transport.write(data[:end])
            self.cut("scenario")
            return
        if self._conditions.trickle:
            self._trickle += data
        else:
            self.let_out()  # bytes held back by `mute` come first
            transport.write(data)
        waiting = self.waiting_bytes
        if waiting > self._buffer_bytes:
            self.cut(f"too slow, {waiting} bytes were waiting for it")

    def push(self, bodies: Sequence[bytes]) -> None:
        """Sends UpdateTicker pushes of its own, one for each body."""
        if bodies:
            self.pushes += len(bodies)
            self.write(b"".join([self._frame(messages.UPDATE_TICKER, _NO_SERIAL, body) for body in bodies]))

    def push_frames(self, frames: Sequence[bytes]) -> None:
        """Sends UpdateTicker pushes that were framed for all unencrypted connections."""
        if frames:
            self.pushes += len(frames)
            self.write(b"".join(frames))

    def send(self, proto_id: int, serial: int, body: bytes) -> None:
        """Sends one message, correct or not, in a frame and encrypted if needed."""
        self.write(self._frame(proto_id, serial, body))

    def notify(self, body: bytes) -> None:
        """Sends a Notify push to a client that asked for them."""
        if self._wants_notices:
            self.send(messages.NOTIFY, _NO_SERIAL, body)

    def freeze(self) -> None:
        """From now on the connection is half open: it reads and sends nothing, and ignores a disconnection."""
        self._frozen = True
        if self._transport is not None:
            self._transport.pause_reading()

    def cut_in_next_write(self, cut_at: Callable[[bytes], int]) -> None:
        """Ends the connection in a later write.

        `cut_at` gets the bytes of each write and returns how many of them are sent before the end. If it returns 0, all
        are sent and the connection stays open.
        """
        self._cut_at = cut_at

    def let_out(self, size: int | None = None) -> None:
        """Sends `size` of the bytes held back by `trickle`; all of them without `size`."""
        if self._transport is None or self._frozen or self._conditions.mute:
            return
        portion = bytes(self._trickle[:size])
        del self._trickle[: len(portion)]
        if portion:
            self._transport.write(portion)

    def finish(self) -> None:
        """Sends what still waits, then the end of the stream, and reads nothing more; `closed` follows."""
        self.let_out()
        self._finishing = True
        if self._transport is None or self._frozen or self._transport.is_closing():
            self.close()
        else:
            self._transport.write_eof()

    def cut(self, reason: str) -> None:
        """Ends the connection at once, without the bytes that still wait."""
        if self._transport is not None:
            log.warning("client_cut", conn_id=self.client.conn_id, peer=self._peer, reason=reason)
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection because the simulation is over."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, proto_id: int, serial: int, body: bytes) -> None:
        """Answers a request normally, later or not at all, as the faults say."""
        fault = fate(self._desk, proto_id, body)
        match fault and fault.kind:
            case None:
                self._answer_well(proto_id, serial, body)
            case Reply.SLOW:
                assert fault is not None
                loop = asyncio.get_running_loop()
                loop.call_later(fault.delay_s, self._answer_well, proto_id, serial, body)
            case Reply.REFUSED:
                self.send(proto_id, serial, refused("Refused by the scenario"))

    def _answer_well(self, proto_id: int, serial: int, body: bytes) -> None:
        if self._transport is None:
            return
        if proto_id == messages.INIT_CONNECT:
            self._init(serial, body)
            return
        if not self._ready:
            self.send(proto_id, serial, refused("The first request must be InitConnect"))
            return
        reply = answer(self._desk, self.client, proto_id, body)
        if proto_id == messages.GET_TICKER and self._conditions.cut_next_ticker:
            self._conditions.cut_next_ticker = False
            self.cut_in_next_write(within_first_frame)
        self.send(proto_id, serial, reply.body)
        self.push(reply.pushes)
        if proto_id == messages.SUB:
            self._on_subscribed(self)

    def _init(self, serial: int, body: bytes) -> None:
        """Accepts the client; encrypted if OpenD has a key and the client asks for it."""
        try:
            c2s = pb.InitConnectRequest.FromString(body).c2s
        except DecodeError:
            raise ProtocolError("InitConnect cannot be parsed") from None
        if self._ready:
            self.send(messages.INIT_CONNECT, serial, refused("The connection is initialised already"))
            return
        self._wants_notices, asked = c2s.recvNotify, c2s.packetEncAlgo
        key = secrets.token_hex(8)
        s2c = pb.InitConnectResponse.S2C(
            serverVer=SERVER_VER,
            loginUserID=_USER_ID,
            connID=self.client.conn_id,
            connAESKey=key,
            keepAliveInterval=KEEP_ALIVE_S,
        )
        encrypts = self._rsa is not None and asked != ENC_ALGO_NONE
        if encrypts and asked == ENC_ALGO_AES_CBC:
            s2c.aesCBCiv = secrets.token_hex(8)
        reply = pb.InitConnectResponse(retType=messages.RET_OK, s2c=s2c).SerializeToString()
        rsa = self._rsa.encrypt if self._rsa is not None and encrypts else None
        self.write(encode_frame(messages.INIT_CONNECT, serial, reply, rsa))
        if encrypts:
            self._cipher = AesCipher(key.encode(), s2c.aesCBCiv.encode() or None)
        self._ready = True

    def _frame(self, proto_id: int, serial: int, body: bytes) -> bytes:
        return encode_frame(proto_id, serial, body, self._cipher.encrypt if self._cipher else None)

    def _decrypt(self, proto_id: int, body: bytes) -> bytes:
        if proto_id == messages.INIT_CONNECT and self._rsa is not None:
            try:
                return self._rsa.decrypt(body)
            except CryptoError:
                raise ProtocolError("its InitConnect is not encrypted with the RSA key of this OpenD") from None
        return self._cipher.decrypt(body) if self._cipher else body
