"""Frames: a 44-byte header followed by a body.

Enters: bytes in pieces of any size. Leaves: complete frames in order, with their SHA-1 checked. A header with a body
longer than `MAX_BODY_BYTES` is an error.

    offset  0  2s   "FT"
            2  u32  protocol number
            6  u8   body format: 0 protobuf, 1 JSON
            7  u8   version of the header, 0
            8  u32  serial number; a reply echoes its request's
           12  u32  length of the body on the wire, after encryption
           16  20s  SHA-1 of the plain body
           36  8s   reserved
                                   (all little-endian; the vendor's SDK, `MESSAGE_HEAD_FMT`)
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final, TypeAlias

from hk_tick_collector.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER: Final = struct.Struct("<2sI2B2I20s8s")
HEADER_BYTES: Final = HEADER.size
MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # the largest valid one, a list of every security, has less than 4 MB

_MAGIC: Final = b"FT"
_RESERVED: Final = bytes(8)
_FORMAT_PROTOBUF: Final = 0


# One received message: protocol number, serial number, decrypted and checked body. A plain tuple for speed, because a
# burst has one frame for each tick.
Frame: TypeAlias = tuple[int, int, bytes]


def encode_frame(proto_id: int, serial: int, body: bytes, encrypt: Callable[[bytes], bytes] | None = None) -> bytes:
    """The bytes of one frame. `encrypt` is applied to the body."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    wire = encrypt(body) if encrypt else body
    return HEADER.pack(_MAGIC, proto_id, _FORMAT_PROTOBUF, 0, serial, len(wire), digest, _RESERVED) + wire


class FrameReader:
    """Splits a stream of bytes into frames.

    `feed` returns an iterator that the caller must exhaust before the next `feed`. It decrypts each frame only when the
    caller asks for it, because one frame may contain the key for the next one. `decrypt` is called with a protocol
    number and a body.

    When the bytes are not OpenD's protocol, the iterator returns every complete frame before the error, and then raises
    ProtocolError. Later bytes cannot be trusted: drop the reader with its connection.
    """

    def __init__(self, decrypt: Callable[[int, bytes], bytes] | None = None) -> None:
        self._decrypt = decrypt
        # The received part of the next frame. One growing buffer avoids copies when it arrives in small pieces.
        self._partial = bytearray()
        self._need = HEADER_BYTES

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Adds the next bytes of the stream and yields the frames that are now complete."""
        partial = self._partial
        if partial or len(data) < HEADER_BYTES:
            partial += data
            if len(partial) < self._need:
                return
            data = bytes(partial)
            partial.clear()
        unpack, sha1, decrypt = HEADER.unpack_from, hashlib.sha1, self._decrypt
        start, end = 0, len(data)
        need = HEADER_BYTES
        while end - start >= HEADER_BYTES:
            magic, proto_id, body_format, _, serial, length, digest, _ = unpack(data, start)
            if magic != _MAGIC or length > MAX_BODY_BYTES or body_format != _FORMAT_PROTOBUF:
                raise _bad_header(magic, body_format, length)
            body_start = start + HEADER_BYTES
            if end - body_start < length:
                need = HEADER_BYTES + length
                break
            start = body_start + length
            body = data[body_start:start]
            if decrypt is not None:
                body = decrypt(proto_id, body)
            if sha1(body, usedforsecurity=False).digest() != digest:
                raise _bad_digest(proto_id, encrypted=decrypt is not None)
            yield proto_id, serial, body
        partial += data[start:]
        self._need = need


def _bad_header(magic: bytes, body_format: int, length: int) -> ProtocolError:
    if magic != _MAGIC:
        return ProtocolError(f"expected a frame that begins with FT, got {magic!r}", hint=_hint_for(magic))
    if length > MAX_BODY_BYTES:
        return ProtocolError(f"a header has a body length of {length} bytes, more than the {MAX_BODY_BYTES} allowed")
    return ProtocolError(f"a body has format {body_format}, expected 0 (protobuf)")


def _bad_digest(proto_id: int, *, encrypted: bool) -> ProtocolError:
    # A body encrypted with another RSA key decrypts to random bytes without an error (implicit rejection, PKCS#1 v1.5).
    hint = "use the RSA key that OpenD itself is configured with" if encrypted else ""
    return ProtocolError(f"SHA-1 of the body of message {proto_id} does not match its header", hint=hint)


def _hint_for(magic: bytes) -> str:
    if magic == b"HT":
        return "an HTTP server listens there; point FUTU_HOST and FUTU_PORT at OpenD's API port"
    return "check that FUTU_HOST and FUTU_PORT name OpenD's API port"
