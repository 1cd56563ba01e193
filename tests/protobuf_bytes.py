"""Protobuf written by hand: messages that no library would write."""

from __future__ import annotations


def length(number: int) -> bytes:
    """A number in protobuf's encoding."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: bytes) -> bytes:
    """A protobuf field with a length."""
    return length(number << 3 | 2) + length(len(value)) + value
