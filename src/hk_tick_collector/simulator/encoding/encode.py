"""Synthetic ticks → the bytes of OpenD's messages, encoded by hand.

The protobuf library needs about five times as long for a push of one tick. With it the simulator would be too slow to
load a collector. A test compares both byte by byte.

An *entry* is one element of `tickerList`, with tag and length, as in a realtime push. The 1,000-tick windows keep
entries, because every other message about that tick contains a slice of its entry:

    12 LEN │ 0a 0c time │ 10 sequence │ 18 dir │ 21 price │ 28 volume │ 31 turnover │ 39 recvTime │
           │ 40 type │ 48 typeSign │ 50 pushDataType │ 59 timestamp
                                                                    (tags of `Ticker` in opend.proto, hexadecimal)

From recvTime on every field has a fixed length, so its position is counted from the end.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from hk_tick_collector.market import DAY_MS, HKT_OFFSET_MS
from hk_tick_collector.opend import frame
from hk_tick_collector.opend.messages import UPDATE_TICKER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hk_tick_collector.simulator.exchange.listing import Security
    from hk_tick_collector.simulator.exchange.made import MadeRow

_DOUBLE: Final = struct.Struct("<d").pack
_OUTCOME_OK: Final = b"\x08\x00\x12\x00\x18\x00"  # retType 0, an empty retMsg, errCode 0
_SECURITY_HK: Final = b"\x08\x01\x12"  # market 1, then the code
_REALTIME, _REFILL, _CACHE = b"\x50\x01", b"\x50\x02", b"\x50\x03"

# Positions of the last fields of an entry, from its end: recvTime's eight bytes, pushDataType, timestamp.
_RECV_TIME, _PUSH_DATA_TYPE, _TIMESTAMP = -23, -11, -9
_NO_RECV_TIME: Final = bytes(8)

# The exchange's letter for each type of trade, as ASCII (HKEX's public trade types).
TYPE_SIGNS: Final = {1: " ", 2: "P", 3: "M", 4: "Y", 5: "X", 6: "D", 7: "U", 31: "*"}

MAX_TICK_TYPE: Final = 127  # one byte, so that the fields after recvTime have a fixed length
_TAIL_BYTES: Final = 24  # from recvTime on
_HIGH_BYTES: Final = 5  # the part of a sequence before the counter, if it begins with a second
_LOW_BITS: Final = 28  # of a sequence: the counter, four groups of seven bits
_LOW_END: Final = 1 << _LOW_BITS
_GROUP_PAIRS: Final = [bytes((0x80 | pair & 0x7F, 0x80 | pair >> 7)) for pair in range(1 << 14)]
_MAX_KNOWN: Final = 100_000  # distinct prices or volumes whose encoding is cached
_MAX_FRONTS: Final = 256  # lengths cached for each security: there are few different ones


def varint(number: int) -> bytes:
    """A protobuf varint; a negative number takes ten bytes, like int64."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    groups = bytearray()
    while number > 0x7F:
        groups.append(0x80 | number & 0x7F)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def time_text(ts_ms: int) -> str:
    """`HH:MM:SS.mmm` in Hong Kong, as OpenD writes the time of a tick."""
    seconds, ms = divmod((ts_ms + HKT_OFFSET_MS) % DAY_MS, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}"


def _packer(volume_bytes: int) -> tuple[Callable[..., bytes], bytes]:
    """The struct that packs an entry with a volume of this many bytes, and the entry's first tag and length."""
    packer = struct.Struct(f"<2s15s2s2s{_HIGH_BYTES}s2s10s{volume_bytes}ssd{_TAIL_BYTES}s")
    return packer.pack, bytes((0x12, packer.size - 2))


_PACKERS: Final = [_packer(volume_bytes) for volume_bytes in range(11)]
_DIRECTIONS: Final = [bytes((0x18, direction)) for direction in range(128)]


class EntryEncoder:
    """Turns ticks into entries. Ticks with the same millisecond, price or volume share its encoded bytes."""

    def __init__(self) -> None:
        self._prices: dict[float, bytes] = {}
        self._volumes: dict[int, bytes] = {}

    def entries(self, ticks: Iterable[MadeRow], recv_time_s: float) -> list[bytes]:
        """One entry for each tick; `recv_time_s` is when OpenD received them, epoch seconds."""
        prices, volumes = self._prices, self._volumes
        pairs, packers, directions = _GROUP_PAIRS, _PACKERS, _DIRECTIONS
        if len(prices) > _MAX_KNOWN or len(volumes) > _MAX_KNOWN:
            prices.clear()
            volumes.clear()
        received = b"\x39" + _DOUBLE(recv_time_s) + b"\x40"
        at_ms = base = -1
        head = moment = high = b""
        tails: dict[int, bytes] = {}
        entries: list[bytes] = []
        append = entries.append
        for _, seq, ts_ms, price, volume, turnover, direction, tick_type in ticks:
            if ts_ms != at_ms:
                at_ms = ts_ms
                head = b"\x0a\x0c" + time_text(ts_ms).encode() + b"\x10"
                moment = b"\x59" + _DOUBLE(ts_ms / 1000)
                tails.clear()
            # The upper part of a sequence is its second: only the counter's bits differ from tick to tick.
            low = seq - base
            if not 0 <= low < _LOW_END:
                base = seq >> _LOW_BITS << _LOW_BITS
                low, high = seq - base, varint(seq >> _LOW_BITS)
            tail = tails.get(tick_type)
            if tail is None:
                tail = tails[tick_type] = received + _kind(tick_type) + _REALTIME + moment
            size = volumes.get(volume) or self._volume(volume)
            value = prices.get(price) or self._price(price)
            if len(high) == _HIGH_BYTES:
                pack, front = packers[len(size)]
                append(
                    pack(
                        front,
                        head,
                        pairs[low & 0x3FFF],
                        pairs[low >> 14],
                        high,
                        directions[direction],
                        value,
                        size,
                        b"\x31",
                        turnover,
                        tail,
                    )
                )
            else:  # a sequence of another model
                parts = (head, varint(seq), directions[direction], value, size, b"\x31", _DOUBLE(turnover), tail)
                rest = b"".join(parts)
                append(b"\x12" + varint(len(rest)) + rest)
        return entries

    def _price(self, price: float) -> bytes:
        encoded = self._prices[price] = b"\x21" + _DOUBLE(price) + b"\x28"
        return encoded

    def _volume(self, volume: int) -> bytes:
        encoded = self._volumes[volume] = varint(volume)
        return encoded


def as_cached(entry: bytes) -> bytes:
    """The entry as in a first push: no recvTime, pushDataType cache."""
    return b"".join(
        (entry[:_RECV_TIME], _NO_RECV_TIME, entry[_RECV_TIME + 8 : _PUSH_DATA_TYPE], _CACHE, entry[_TIMESTAMP:])
    )


def as_refilled(entry: bytes) -> bytes:
    """The entry as OpenD pushes it after its own disconnection: pushDataType refill, everything else unchanged."""
    return b"".join((entry[:_PUSH_DATA_TYPE], _REFILL, entry[_TIMESTAMP:]))


def as_pulled(entry: bytes) -> bytes:
    """The entry as GetTicker returns it: no recvTime, no pushDataType."""
    return b"".join(
        (
            b"\x12%c" % (entry[1] - len(_REALTIME)),
            entry[2:_RECV_TIME],
            _NO_RECV_TIME,
            entry[_RECV_TIME + 8 : _PUSH_DATA_TYPE],
            entry[_TIMESTAMP:],
        )
    )


class BodyEncoder:
    """Builds the body of a push or a GetTicker reply (`TickerResponse`) from the entries of one security."""

    def __init__(self, securities: Sequence[Security]) -> None:
        self._fronts = [_length_prefixed(b"\x0a", _SECURITY_HK + _text(security.code)) for security in securities]
        self._backs = [b"\x1a" + _text(security.name) for security in securities]
        self._known: list[dict[int, bytes]] = [
            {} for _ in securities
        ]  # the bytes before the entries, by the entries' length

    def body(self, security: int, entries: bytes) -> bytes:
        """The body with these entries, one or many joined."""
        return self._front(security, len(entries)) + entries + self._backs[security]

    def bodies(self, securities: Iterable[int], entries: Iterable[bytes]) -> list[bytes]:
        """One body for each security, with its entries."""
        known, backs = self._known, self._backs
        return [
            (known[security].get(len(entry)) or self._remember(security, len(entry))) + entry + backs[security]
            for security, entry in zip(securities, entries, strict=True)
        ]

    def _remember(self, security: int, length: int) -> bytes:
        front = self._front(security, length)
        if len(self._known[security]) < _MAX_FRONTS:
            self._known[security][length] = front
        return front

    def _front(self, security: int, length: int) -> bytes:
        front, back = self._fronts[security], self._backs[security]
        return _OUTCOME_OK + b"\x22" + varint(len(front) + length + len(back)) + front


def push_frames(bodies: Sequence[bytes]) -> list[bytes]:
    """One UpdateTicker frame for each body, unencrypted. Pushes answer no request, so their serial number is 0."""
    sha1, heads = hashlib.sha1, _PUSH_HEADS
    return [
        b"".join(
            (
                heads[length] if (length := len(body)) < _KNOWN_HEADS else _push_head(length),
                sha1(body).digest(),
                _RESERVED,
                body,
            )
        )
        for body in bodies
    ]


def _push_head(length: int) -> bytes:
    """The 16 bytes of a header before its SHA-1."""
    return frame.HEADER.pack(b"FT", UPDATE_TICKER, 0, 0, 0, length, b"", b"")[:16]


_KNOWN_HEADS: Final = 1024
_PUSH_HEADS: Final = [_push_head(length) for length in range(_KNOWN_HEADS)]
_RESERVED: Final = bytes(8)


def _kind(tick_type: int) -> bytes:
    return varint(tick_type) + b"\x48" + varint(ord(TYPE_SIGNS.get(tick_type, " ")))


def _text(text: str) -> bytes:
    return _length_prefixed(b"", text.encode())


def _length_prefixed(tag: bytes, data: bytes) -> bytes:
    return tag + varint(len(data)) + data
