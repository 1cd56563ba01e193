"""The records of spool segments: encodes and decodes rows, and finds the readable records of a damaged segment.

A segment is a header and records, little-endian. Each record has one checksum for its header and one for its payload,
so that damage affects only single records. The payload is a fixed struct for each row, and a table of their texts. This
is exact, faster than JSON (docs/decisions/0012), and safe to decode from a damaged or foreign file.

The two newest columns are in a text of their own at the end of the table, encoded as hexadecimal. To versions without
these columns it is a text that no row uses: they replay the other columns. A record of such a version has no such text:
its rows have None there. So a spool can be read after an upgrade and after a return to the version before it.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

RECORD_ROWS: Final = 8192  # half a MiB; keeps the texts of a record below 65,536

_FILE_MAGIC: Final = b"HKTSPOOL"
_VERSION: Final = 1
_FILE_HEAD: Final = struct.Struct("<8sI")  # magic, version
_RECORD_MAGIC: Final = b"\xf5TK\xfa"  # no UTF-8 text contains it
_RECORD_HEAD: Final = struct.Struct("<4sIIII")  # magic, payload bytes, rows, crc32 of the payload, crc32 of the above
_ROW: Final = struct.Struct("<HqqdqdHHHq")  # TickRow; a text is its index in the table that follows the rows
_MORE: Final = struct.Struct("<qH")  # the newest columns of a row: opend_recv_ts_ms, and the index of type_sign
_MORE_MARK: Final = "\0more:"  # the start of the text that has them; no text of a row starts like this
_NO_TIME, _NO_TEXT = -(2**63), 2**16 - 1  # for None
_LENGTH: Final = struct.Struct("<I")  # of a text, in bytes
_READ_BYTES: Final = 1024 * 1024  # most bytes that `read_more` reads at once: thousands of small records
FILE_HEAD: Final = _FILE_HEAD.pack(_FILE_MAGIC, _VERSION)  # the header of a segment of this version

_CHECKSUM: Final = "its checksum is wrong"
UNFINISHED: Final = "it is incomplete"
UNREADABLE: Final = "the disk cannot read it"
NOT_OURS: Final = "not a file of the spool"


class Part(NamedTuple):
    """A part of a segment: one record, or damage."""

    end: int  # offset of its end
    rows: int | None = None  # None if the header of the record is damaged
    payload: bytes | None = None  # None for damage
    cause: str = ""


def encode(rows: Sequence[TickRow]) -> bytes:
    """The bytes of one record with these rows."""
    table: dict[str, int] = {}

    def index(text: str) -> int:
        return table.setdefault(text, len(table))

    packed = [
        _ROW.pack(
            index(symbol), seq, ts_ms, price, volume, turnover, index(direction), index(tick), index(push), recv_ts_ms
        )
        for symbol, seq, ts_ms, price, volume, turnover, direction, tick, push, recv_ts_ms, _, _ in rows
    ]
    more = b"".join(
        _MORE.pack(_NO_TIME if row[-2] is None else row[-2], _NO_TEXT if row[-1] is None else index(row[-1]))
        for row in rows
    )
    table[_MORE_MARK + more.hex()] = len(table)  # the last one
    for text in table:
        encoded = text.encode()
        packed += _LENGTH.pack(len(encoded)), encoded
    payload = b"".join(packed)
    return _record_head(len(payload), len(rows), zlib.crc32(payload)) + payload


def _record_head(size: int, rows: int, payload_crc: int) -> bytes:
    crc = zlib.crc32(_RECORD_HEAD.pack(_RECORD_MAGIC, size, rows, payload_crc, 0))
    return _RECORD_HEAD.pack(_RECORD_MAGIC, size, rows, payload_crc, crc)


def _decode(payload: bytes, rows: int) -> list[TickRow]:
    """The rows of a payload. Raises ValueError, IndexError or struct.error if it is not in the format."""
    texts: list[str] = []
    at = rows * _ROW.size
    while at < len(payload):
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        texts.append(payload[at : at + length].decode())
        at += length
    if at != len(payload) or not rows:
        raise ValueError("the length of the payload does not match its rows and texts")
    found = _ROW.iter_unpack(memoryview(payload)[: rows * _ROW.size])
    more = _decode_more(texts, rows)
    return [
        (texts[symbol], *figures, texts[direction], texts[tick], texts[push], recv_ts_ms, opend_ms, sign)
        for (symbol, *figures, direction, tick, push, recv_ts_ms), (opend_ms, sign) in zip(found, more, strict=True)
    ]


def _decode_more(texts: list[str], rows: int) -> Iterable[tuple[int | None, str | None]]:
    """The newest columns of each row: None in both if the record is of a version without them. Raises ValueError."""
    if not texts or not texts[-1].startswith(_MORE_MARK):
        return repeat((None, None), rows)
    data = bytes.fromhex(texts[-1].removeprefix(_MORE_MARK))
    return [
        (None if opend_ms == _NO_TIME else opend_ms, None if sign == _NO_TEXT else texts[sign])
        for opend_ms, sign in _MORE.iter_unpack(data)
    ]


def read_parts(path: Path, position: int, end: int) -> Iterator[tuple[int, Part]]:
    """All records of a segment and the damage between them, each with its offset."""
    while position < end:
        part = _read_part(path, position, end)
        yield position, part
        position = part.end


def read_rows(path: Path, position: int, end: int) -> tuple[Part, list[TickRow] | None]:
    """The part at `position`, and its rows, None if it is damaged."""
    part = _read_part(path, position, end)
    if part.payload is None:
        return part, None
    try:
        return part, _decode(part.payload, part.rows or 0)
    except (
        ValueError,
        IndexError,
        struct.error,
    ):  # the checksum is correct, so it is not damaged, but we did not write it
        return part._replace(payload=None, cause="not in the spool's format"), None


def read_more(path: Path, position: int, end: int, rows: list[TickRow], max_rows: int) -> int:
    """Adds the rows of complete records from `position` on to `rows`, up to `max_rows` in all. Returns the new offset.

    It stops at damage and at a read error; the next call of `read_rows` will report it.
    """
    with suppress(OSError):
        data = read(path, position, min(end - position, _READ_BYTES))
        at = 0
        while head := _parse_head(data[at : at + _RECORD_HEAD.size]):
            size, count, crc = head
            start = at + _RECORD_HEAD.size
            payload = data[start : start + size]
            if len(rows) + count > max_rows or len(payload) < size or zlib.crc32(payload) != crc:
                break
            try:
                rows += _decode(payload, count)
            except (ValueError, IndexError, struct.error):
                break
            at = start + size
        position += at
    return position


def _read_part(path: Path, position: int, end: int) -> Part:
    """The record at `position`, or the damage there, which extends to the next valid header or to `end`."""
    data = read(path, position, _RECORD_HEAD.size)
    head = _parse_head(data)
    if head is None:
        rest = read(path, position, end - position)
        cause = _CHECKSUM if len(rest) >= _RECORD_HEAD.size else UNFINISHED
        return Part(position + _find_head(rest) if rest else end, cause=cause if data and rest else UNREADABLE)
    size, rows, crc = head
    start = position + _RECORD_HEAD.size
    if start + size > end:
        return Part(end, rows, cause=UNFINISHED)
    payload = read(path, start, size)
    if zlib.crc32(payload) != crc:
        return Part(start + size, rows, cause=_CHECKSUM if len(payload) == size else UNREADABLE)
    return Part(start + size, rows, payload)


def _parse_head(data: bytes) -> tuple[int, int, int] | None:
    """Payload bytes, rows and the payload's crc32 from the header of a record; None if it is damaged."""
    if len(data) < _RECORD_HEAD.size:
        return None
    _, size, rows, payload_crc, _ = _RECORD_HEAD.unpack_from(data)
    return (size, rows, payload_crc) if data == _record_head(size, rows, payload_crc) else None


def _find_head(data: bytes) -> int:
    """The offset of the next valid header after the first byte; the length of `data` if there is none."""
    at = data.find(_RECORD_MAGIC, 1)
    while at >= 0 and _parse_head(data[at : at + _RECORD_HEAD.size]) is None:
        at = data.find(_RECORD_MAGIC, at + 1)
    return at if at >= 0 else len(data)


def whose(head: bytes) -> str:
    """Describes a file that does not have the header of a segment of this version."""
    if not head:
        return UNREADABLE
    if head.startswith(_FILE_MAGIC) and len(head) == _FILE_HEAD.size:
        return f"the spool's format {_FILE_HEAD.unpack(head)[1]}, this version reads {_VERSION}"
    return NOT_OURS


def read(path: Path, position: int, size: int) -> bytes:
    """Bytes of a file; empty if the disk cannot read them, so that later records can still be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
    finally:
        os.close(fd)
