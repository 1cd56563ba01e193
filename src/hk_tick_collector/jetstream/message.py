"""Converts ticks, sums and requests to the bytes of a message, and back. No I/O; the format is that of ticks.proto.

`decode` functions accept bytes from outside: they raise MessageError for anything wrong before they return a value.
Memory is limited by the size of the message, which the server limits to 1 MiB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import add, sub
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import DecodeError

from hk_tick_collector.errors import MessageError
from hk_tick_collector.model import CLOSE, Reconciled

from . import ticks_pb2
from .subjects import demand_day, demand_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

    from hk_tick_collector.model import TickRow

MAX_TICKS: Final = 1000  # of one message
_MAX_SYMBOLS: Final = 20_000  # of sums and requests
_MAX_TEXT: Final = 64  # characters of a symbol or a word
_INT64: Final = range(-(2**63), 2**63)
_NUMBERS: Final = ("volume", "odd_lot_volume", "late_volume")
_AMOUNTS: Final = ("turnover", "odd_lot_turnover", "late_turnover")

_AnyMessage = TypeVar("_AnyMessage", bound="Message")


@dataclass(frozen=True, slots=True)
class TickMessage:
    """Ticks of one source and one day file, in the order in which they were sent."""

    source: str
    day: str  # 20261120
    rows: list[TickRow]


@dataclass(frozen=True, slots=True)
class SumsMessage:
    """What a source has sent of a day: for each symbol the number of ticks and the sum of their sequences mod 2^64."""

    source: str
    day: str
    at_ms: int  # UTC epoch ms
    sealed: bool  # the day file is sealed: nothing is added any more
    sums: dict[str, tuple[int, int]]
    totals: tuple[Reconciled, ...] = ()  # its comparison with OpenD's totals after the close, by symbol; none: none yet
    answered_before: int = 0  # earlier requests of the stream are answered; 0: it is not known which


@dataclass(frozen=True, slots=True)
class AgainMessage:
    """A request to a source to send ticks of a day again."""

    source: str
    day: str
    symbols: tuple[str, ...]  # none: all of the day


def encode(source: str, day: str, rows: Sequence[TickRow]) -> bytes:
    """The message of 1 to 1,000 ticks. About 30 bytes a tick where the rows of a symbol stand together.

    MessageError for a row with a text that is too long: the collector writes no such row.
    """
    if not 1 <= len(rows) <= MAX_TICKS:
        raise ValueError(f"a message has 1 to {MAX_TICKS} ticks, not {len(rows)}")
    symbols, seqs, ts_ms, prices, volumes, turnovers, directions, types, pushes, recv_ms, opend_ms, signs = zip(
        *rows, strict=True
    )
    names = {name: index for index, name in enumerate(dict.fromkeys(symbols))}
    texts = dict.fromkeys([*directions, *types, *pushes, *(sign for sign in signs if sign is not None)])
    words = {word: index for index, word in enumerate(texts)}
    message = ticks_pb2.Ticks(
        source=source,
        day=day,
        symbols=_texts(names),
        words=_texts(words),
        symbol=[names[name] for name in symbols],
        seq=_differences(seqs),
        ts_ms=_differences(ts_ms),
        price=prices,
        volume=volumes,
        turnover=turnovers,
        direction=[words[word] for word in directions],
        tick_type=[words[word] for word in types],
        push_type=[words[word] for word in pushes],
        recv_ts_ms=_differences(recv_ms),
        opend_recv_ts_ms=_within([0 if ms is None else ms - recv for ms, recv in zip(opend_ms, recv_ms, strict=True)]),
        no_opend_recv=[at for at, ms in enumerate(opend_ms) if ms is None],
        type_sign=[0 if sign is None else words[sign] + 1 for sign in signs],
    )
    return message.SerializeToString()


def decode(data: bytes) -> TickMessage:
    """The ticks of a message. MessageError if it is not one of ours, is cut off, or contradicts itself."""
    found = _parsed(ticks_pb2.Ticks(), data)
    count = len(found.symbol)
    if not 1 <= count <= MAX_TICKS:
        raise MessageError(f"a message has 1 to {MAX_TICKS} ticks, not {count}")
    columns = (found.seq, found.ts_ms, found.price, found.volume, found.turnover, found.direction, found.tick_type)
    more = (found.push_type, found.recv_ts_ms, found.opend_recv_ts_ms, found.type_sign)
    if any(len(column) != count for column in (*columns, *more)):
        raise MessageError("the columns of a message differ in length")
    symbols, words = _texts(found.symbols), _texts(found.words)
    recv_ms = _sums(found.recv_ts_ms)
    opend_ms: list[int | None] = [*_within(list(map(add, found.opend_recv_ts_ms, recv_ms)))]
    for at in found.no_opend_recv:
        if at >= count:
            raise MessageError("an index of a message is beyond its rows")
        opend_ms[at] = None
    if not all(map(math.isfinite, found.price)) or not all(map(math.isfinite, found.turnover)):
        raise MessageError("a price or a turnover of a message is not finite")
    rows = zip(
        _chosen(symbols, found.symbol),
        _sums(found.seq),
        _sums(found.ts_ms),
        found.price,
        found.volume,
        found.turnover,
        _chosen(words, found.direction),
        _chosen(words, found.tick_type),
        _chosen(words, found.push_type),
        recv_ms,
        opend_ms,
        _chosen([None, *words], found.type_sign),
        strict=True,
    )
    return TickMessage(demand_source(found.source), demand_day(found.day), list(rows))


def encode_sums(message: SumsMessage) -> bytes:
    """The message that counts what was sent."""
    return ticks_pb2.Sums(
        source=message.source,
        day=message.day,
        at_ms=message.at_ms,
        sealed=message.sealed,
        symbols=message.sums,
        rows=[rows for rows, _ in message.sums.values()],
        seq_sum=[seq_sum for _, seq_sum in message.sums.values()],
        totals=_totals_message(message.totals) if message.totals else None,
        answered_before=message.answered_before,
    ).SerializeToString()


def decode_sums(data: bytes) -> SumsMessage:
    """The sums of a message. Raises MessageError as `decode`."""
    found = _parsed(ticks_pb2.Sums(), data)
    symbols = _symbols(found.symbols)
    if not len(symbols) == len(found.rows) == len(found.seq_sum):
        raise MessageError("the columns of a message differ in length")
    sums = dict(zip(symbols, zip(found.rows, found.seq_sum, strict=True), strict=True))
    if any(rows not in _INT64 for rows in found.rows):
        raise MessageError("a number of ticks in a message is too large")
    return SumsMessage(
        source=demand_source(found.source),
        day=demand_day(found.day),
        at_ms=found.at_ms,
        sealed=found.sealed,
        sums=sums,
        totals=_totals(found.totals),
        answered_before=found.answered_before,
    )


def encode_again(message: AgainMessage) -> bytes:
    """The message that asks a source to send again."""
    return ticks_pb2.Again(source=message.source, day=message.day, symbols=message.symbols).SerializeToString()


def decode_again(data: bytes) -> AgainMessage:
    """The request of a message. Raises MessageError as `decode`."""
    found = _parsed(ticks_pb2.Again(), data)
    return AgainMessage(demand_source(found.source), demand_day(found.day), tuple(_symbols(found.symbols)))


def _totals_message(rows: Sequence[Reconciled]) -> ticks_pb2.Totals:
    words = {word: index for index, word in enumerate(dict.fromkeys(row.explained for row in rows))}
    message = ticks_pb2.Totals(
        symbols=_texts(row.symbol for row in rows),
        words=_texts(words),
        at_ms=_differences([row.at_ms for row in rows]),
        official_volume=[row.official_volume or 0 for row in rows],
        official_turnover=[row.official_turnover or 0.0 for row in rows],
        explained=[words[row.explained] for row in rows],
        no_answer=[at for at, row in enumerate(rows) if row.official_volume is None or row.official_turnover is None],
    )
    for name in (*_NUMBERS, *_AMOUNTS):
        getattr(message, name).extend(getattr(row, name) for row in rows)
    return message


def _totals(found: ticks_pb2.Totals) -> tuple[Reconciled, ...]:
    symbols, count = _symbols(found.symbols), len(found.symbols)
    amounts = [getattr(found, name) for name in (*_AMOUNTS, "official_turnover")]
    columns = [getattr(found, name) for name in (*_NUMBERS, "at_ms", "official_volume", "explained")]
    if any(len(column) != count for column in (*amounts, *columns)):
        raise MessageError("the columns of a message differ in length")
    if not all(math.isfinite(value) for column in amounts for value in column):
        raise MessageError("a turnover of a message is not finite")
    if any(at >= count for at in found.no_answer):
        raise MessageError("an index of a message is beyond its rows")
    silent = set(found.no_answer)
    words, times = _chosen(_texts(found.words), found.explained), _sums(found.at_ms)
    return tuple(
        Reconciled(
            session=CLOSE,
            symbol=symbol,
            at_ms=times[at],
            volume=found.volume[at],
            turnover=found.turnover[at],
            odd_lot_volume=found.odd_lot_volume[at],
            odd_lot_turnover=found.odd_lot_turnover[at],
            late_volume=found.late_volume[at],
            late_turnover=found.late_turnover[at],
            official_volume=None if at in silent else found.official_volume[at],
            official_turnover=None if at in silent else found.official_turnover[at],
            explained=words[at],
        )
        for at, symbol in enumerate(symbols)
    )


def _parsed(message: _AnyMessage, data: bytes) -> _AnyMessage:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise MessageError("the bytes are not a message of this stream") from None
    return message


def _differences(values: Sequence[int]) -> list[int]:
    return [_wrapped(values[0]), *_within(list(map(sub, values[1:], values)))]


def _sums(differences: Iterable[int]) -> list[int]:
    return _within(list(accumulate(differences)))


def _within(values: list[int]) -> list[int]:
    """The values modulo 2^64 as signed numbers: unchanged if each fits in 64 bits."""
    if values and (min(values) not in _INT64 or max(values) not in _INT64):
        return list(map(_wrapped, values))
    return values


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


_Word = TypeVar("_Word", str, "str | None")


def _chosen(words: Sequence[_Word], indexes: Sequence[int]) -> list[_Word]:
    try:
        return [words[index] for index in indexes]
    except IndexError:
        raise MessageError("an index of a message is beyond its words") from None


def _texts(words: Iterable[str]) -> list[str]:
    found = list(words)
    if not all(len(word) <= _MAX_TEXT for word in found):
        raise MessageError(f"a text of a message is longer than {_MAX_TEXT} characters")
    return found


def _symbols(symbols: Sequence[str]) -> list[str]:
    if len(symbols) > _MAX_SYMBOLS or len(set(symbols)) != len(symbols):
        raise MessageError("the symbols of a message are too many, or one is there twice")
    return _texts(symbols)
