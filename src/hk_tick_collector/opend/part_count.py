"""Limits the number of parts (fields and list elements) of a message. Pure.

Enters: the body of a message and its type. Leaves: whether it may be parsed. The parts are counted before parsing,
because protobuf creates an object for each list element. An element can be two bytes on the wire and about three
hundred bytes in memory, so a limit on the bytes of a message does not limit its memory.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from hk_tick_collector.errors import ProtocolError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

# A hundred times the ticks in an answer to GetTicker, fifty times the largest quota of subscriptions.
MOST_PARTS: Final = 100_000
_LEAST_BYTES: Final = 2  # the smallest part: a tag and a length of zero
UNCHECKED_BYTES: Final = MOST_PARTS * _LEAST_BYTES  # a shorter message cannot have more parts, and is not checked
_LONGEST_VARINT_BITS: Final = 70

# For a message type: the numbers of the fields that are lists of messages or contain such a list. Each value is
# such a mapping for the message type of that field.
_Lists: TypeAlias = "dict[int, _Lists]"

_VARINT, _EIGHT_BYTES, _LENGTH, _GROUP, _GROUP_END, _FOUR_BYTES = range(6)


def check_parts(kind: type[Message], body: bytes) -> None:
    """Raises ProtocolError for a body with more than MOST_PARTS parts. Call it before parsing."""
    if len(body) > UNCHECKED_BYTES and _has_more_parts(body, _lists_of(kind.DESCRIPTOR)):
        raise ProtocolError(f"a message of {len(body):,} bytes has more than {MOST_PARTS:,} parts")


@cache
def _lists_of(message: Descriptor) -> _Lists:
    lists: _Lists = {}
    for field in message.fields:
        if field.message_type is not None:
            inner = _lists_of(field.message_type)
            if inner or field.is_repeated:
                lists[field.number] = inner
    return lists


def _has_more_parts(body: bytes, lists: _Lists) -> bool:
    """Counts the parts at all levels of `lists`. False for invalid bytes: parsing them fails later."""
    left = MOST_PARTS
    levels = [(0, len(body), lists)]
    try:
        while levels:
            at, end, here = levels.pop()
            while at < end:
                left -= 1
                if left < 0:
                    return True
                tag, at = _varint(body, at)
                wire_type = tag & 7
                if wire_type == _LENGTH:
                    size, at = _varint(body, at)
                    inner = here.get(tag >> 3)
                    if inner:
                        levels.append((at, min(at + size, end), inner))
                    at += size
                elif wire_type == _VARINT:
                    _, at = _varint(body, at)
                elif wire_type == _EIGHT_BYTES:
                    at += 8
                elif wire_type == _FOUR_BYTES:
                    at += 4
                elif wire_type not in (_GROUP, _GROUP_END):
                    return False
    except IndexError:
        pass  # incomplete, or a number that is too long
    return False


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number that begins at offset `at`, and the offset of its end. Raises IndexError if it has no end."""
    byte = body[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift >= _LONGEST_VARINT_BITS:
            raise IndexError
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at
