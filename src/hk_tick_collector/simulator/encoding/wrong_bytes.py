"""Bytes that OpenD should never send, and positions at which to cut a stream. Pure.

Each wrong message is one that a client can recognise from the protocol alone; see `opend/frame.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES, encode_frame

_HUGE: Final = 0xFFFF_FFFF
_JSON_FORMAT: Final = 1
_FORMAT_AT: Final = 6
_FOREIGN_PROTO_ID: Final = 9_999
_FOREIGN_SERIAL: Final = 0xFFFF_FFF0
_FOREIGN_NOTICE: Final = 77


class Message(NamedTuple):
    """A message in a correct frame: protocol number, serial number, body."""

    proto_id: int
    serial: int
    body: bytes


_ALIVE: Final = encode_frame(
    messages.KEEP_ALIVE,
    0,
    pb.KeepAliveResponse(retType=0, s2c=pb.KeepAliveResponse.S2C(time=1)).SerializeToString(),
)

# Frames that end a connection, whether it is encrypted or not.
WRONG_FRAMES: Final = {
    "bad-magic": b"XX" + _ALIVE[2:],
    "bad-sha1": _ALIVE[:-1] + bytes((_ALIVE[-1] ^ 1,)),
    "huge-length": HEADER.pack(b"FT", messages.UPDATE_TICKER, 0, 0, 0, _HUGE, bytes(20), bytes(8)),
    "json-body": _ALIVE[:_FORMAT_AT] + bytes((_JSON_FORMAT,)) + _ALIVE[_FORMAT_AT + 1 :],
}

# Messages that a client can only skip.
WRONG_MESSAGES: Final = {
    "truncated-protobuf": (Message(messages.UPDATE_TICKER, 0, b"\x08\x00\x12\x00\x18\x00\x22\x7f\x0a"),),
    "unknown-ids": (
        Message(_FOREIGN_PROTO_ID, 0, b"\x08\x00"),
        Message(messages.GET_TICKER, _FOREIGN_SERIAL, b"\x08\x00"),
        Message(
            messages.NOTIFY,
            0,
            pb.NotifyResponse(retType=0, s2c=pb.NotifyResponse.S2C(type=_FOREIGN_NOTICE)).SerializeToString(),
        ),
    ),
}


def within_first_frame(data: bytes) -> int:
    """The number of bytes of `data`, complete frames, up to the middle of the first body."""
    return min(HEADER_BYTES + _body_bytes(data, 0) // 2, len(data) - 1)


def between_frames(data: bytes) -> int:
    """The number of bytes of `data` up to the end of the frame in its middle; 0 if that is all of it."""
    end = 0
    while end < len(data) // 2:
        end += HEADER_BYTES + _body_bytes(data, end)
    return end if end < len(data) else 0


def _body_bytes(data: bytes, start: int) -> int:
    length: int = HEADER.unpack_from(data, start)[5]
    return length
