"""Bytes of OpenD's messages, for tests that need no complete simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import encode_frame

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from hk_tick_collector.opend.crypto import Cipher

INTERVAL_S: Final = 10  # of the keep-alive that it asks for


def frame(proto_id: int, serial: int, message: Message, cipher: Cipher | None = None) -> bytes:
    """One message of the server."""
    body = message.SerializePartialToString()
    return encode_frame(proto_id, serial, body, cipher.encrypt if cipher else None)


def accepted(interval_s: int = INTERVAL_S, key: str = "k" * 16, iv: str | None = None) -> pb.InitConnectResponse:
    """The body of OpenD's positive answer to InitConnect."""
    s2c = pb.InitConnectResponse.S2C(
        serverVer=1011, loginUserID=1, connID=42, connAESKey=key, keepAliveInterval=interval_s, aesCBCiv=iv
    )
    return pb.InitConnectResponse(retType=0, s2c=s2c)


def ticks_of(*seqs: int, code: str = "00700", market: int = 1, **fields: Any) -> pb.TickerResponse:
    """The ticks of one security, for a push or for the reply to GetTicker."""
    one: dict[str, Any] = {"time": "10:00:01", "dir": 1, "price": 402.2, "volume": 100, "turnover": 40_220.0, **fields}
    tickers = [pb.Ticker(**{"sequence": seq, **one}) for seq in seqs]
    return pb.TickerResponse(retType=0, s2c={"security": {"market": market, "code": code}, "tickerList": tickers})


def push(*seqs: int, **kwargs: Any) -> bytes:
    """The frame of one UpdateTicker."""
    return frame(messages.UPDATE_TICKER, 0, ticks_of(*seqs, **kwargs))


def notify(**s2c: Any) -> bytes:
    """The frame of one Notify."""
    return frame(messages.NOTIFY, 0, pb.NotifyResponse(retType=0, s2c={"type": 1, **s2c}))
