"""Bytes encoded by hand equal those of the protobuf library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.frame import FrameReader
from hk_tick_collector.simulator.encoding.encode import (
    BodyEncoder,
    EntryEncoder,
    as_cached,
    as_pulled,
    push_frames,
    time_text,
    varint,
)
from hk_tick_collector.simulator.exchange.listing import default_symbols, listing

if TYPE_CHECKING:
    from hk_tick_collector.simulator.exchange.made import MadeRow

SECURITIES = listing(default_symbols(40), seed=1)
SIGNS = {1: " ", 2: "P", 3: "M", 4: "Y", 5: "X", 6: "D", 7: "U"}

seconds = st.integers(2**30, 2**31 - 1)
patterned = st.builds(lambda second, counter: second << 32 | counter, seconds, st.integers(1, 2**28 - 1))
any_seq = st.one_of(patterned, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**33))
rows = st.tuples(
    st.integers(0, len(SECURITIES) - 1),
    any_seq,
    st.integers(10**12, 2 * 10**12),
    st.floats(0.001, 10_000),
    st.integers(0, 2**62),
    st.floats(0, 1e12),
    st.integers(0, 3),
    st.integers(0, 127),
)


def by_the_library(row: MadeRow, *, recv_time_s: float, push_data_type: int | None) -> bytes:
    """The same message, made by protobuf."""
    place, seq, ts_ms, price, volume, turnover, direction, tick_type = row
    security = SECURITIES[place]
    ticker = pb.Ticker(
        time=time_text(ts_ms),
        sequence=seq,
        dir=direction,
        price=price,
        volume=volume,
        turnover=turnover,
        recvTime=recv_time_s,
        type=tick_type,
        typeSign=ord(SIGNS.get(tick_type, "*" if tick_type == 31 else " ")),
        timestamp=ts_ms / 1000,
    )
    if push_data_type is not None:
        ticker.pushDataType = push_data_type
    s2c = pb.TickerResponse.S2C(security=messages.security_of(security.symbol), tickerList=[ticker], name=security.name)
    return pb.TickerResponse(retType=0, retMsg="", errCode=0, s2c=s2c).SerializeToString()


@given(st.lists(rows, min_size=1, max_size=20))
def test_bytes_equal_the_librarys(ticks: list[MadeRow]) -> None:
    """For any tick and any tick before it: as a push, as a first push, and as GetTicker returns it."""
    bodies = BodyEncoder(SECURITIES)
    entries = EntryEncoder().entries(ticks, 1_795_138_200.25)
    pushed = bodies.bodies([row[0] for row in ticks], entries)
    for row, entry, push in zip(ticks, entries, pushed, strict=True):
        assert push == by_the_library(row, recv_time_s=1_795_138_200.25, push_data_type=1)
        assert bodies.body(row[0], as_cached(entry)) == by_the_library(row, recv_time_s=0.0, push_data_type=3)
        assert bodies.body(row[0], as_pulled(entry)) == by_the_library(row, recv_time_s=0.0, push_data_type=None)


@given(st.lists(rows, min_size=1, max_size=50))
def test_many_entries_make_one_message(ticks: list[MadeRow]) -> None:
    """A body with many ticks is parsed to all of them, in order."""
    entries = EntryEncoder().entries(ticks, 1.5)
    parsed = pb.TickerResponse.FromString(BodyEncoder(SECURITIES).body(3, b"".join(entries)))
    assert [ticker.sequence for ticker in parsed.s2c.tickerList] == [row[1] for row in ticks]
    assert parsed.s2c.security.code == SECURITIES[3].code


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_frames_are_opends(bodies: list[bytes]) -> None:
    """Frames of any length are read back with a correct SHA-1."""
    read = list(FrameReader().feed(b"".join(push_frames(bodies))))
    assert read == [(messages.UPDATE_TICKER, 0, body) for body in bodies]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**32, 2**63 - 1, -1, -(2**63)])
def test_varints_are_protobufs(number: int) -> None:
    """Equal to an int64 field of the library."""
    assert pb.Ticker(sequence=number).SerializePartialToString() == b"\x10" + varint(number)


def test_times_are_hong_kongs() -> None:
    """Eight hours ahead, three digits of milliseconds."""
    assert time_text(1_795_138_200_008) == "09:30:00.008"
    assert time_text(1_795_138_200_000 + 14 * 3_600_000 + 1_800_000) == "00:00:00.000"
