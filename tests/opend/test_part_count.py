"""The number of elements of a message is counted from its bytes, for any bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protobuf_bytes import field
from tests.scripted_opend import ticks_of

from hk_tick_collector.errors import ProtocolError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb
from hk_tick_collector.opend.part_count import MOST_PARTS, check_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

SECURITY: Final = {"market": 1, "code": "00700"}
EMPTY: Final = b"\x12\x00"  # an empty tick in a list of ticks


def s2c(value: bytes) -> bytes:
    """The body of a push or a reply with this content."""
    return b"\x08\x00" + field(4, value)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (messages.read_ticker_push, s2c(field(1, b"") + EMPTY * (MOST_PARTS + 1))),
        (messages.read_ticker_push, b"\x08\x00" + field(4, EMPTY * 60_000) * 2),  # one list in two halves
        (messages.read_get_ticker, s2c(EMPTY * (MOST_PARTS + 1))),
        (messages.read_sub_info, s2c(field(1, field(1, b"\x08\x04" + EMPTY * (MOST_PARTS + 1))))),
        (messages.read_sub_info, s2c(field(1, b"\x0a\x00" * (MOST_PARTS + 1)))),
        (messages.read_trade_dates, s2c(b"\x0a\x00" * (MOST_PARTS + 1))),
        (messages.read_security_snapshot, s2c(b"\x0a\x00" * (MOST_PARTS + 1))),
    ],
)
def test_an_endless_list_is_refused_before_it_is_created(read: Callable[[bytes], object], body: bytes) -> None:
    """In every message that has a list, at any depth."""
    with pytest.raises(ProtocolError, match="has more than 100,000 parts"):
        read(body)


def test_the_longest_valid_lists_are_accepted() -> None:
    """More ticks than OpenD ever sends at once, and the answer for the largest quota."""
    ticks = ticks_of(*range(1, 50_001)).SerializeToString()
    assert len(messages.read_ticker_push(ticks).tickerList) == 50_000
    held = [{"market": 1, "code": f"{number:05}"} for number in range(2000)]
    info = {"subInfoList": [{"subType": 4, "securityList": held}], "isOwnConnData": True, "usedQuota": 2000}
    reply = pb.GetSubInfoResponse(retType=0, s2c={"connSubInfoList": [info], "totalUsedQuota": 2000, "remainQuota": 0})
    assert len(messages.read_sub_info(reply.SerializeToString()).symbols) == 2000


@settings(max_examples=30, deadline=None)
@given(ticks=st.integers(MOST_PARTS - 20, MOST_PARTS + 20), unknown=st.integers(0, 10), kind=st.sampled_from("vlgf"))
def test_the_counted_number_is_nearly_exact(ticks: int, unknown: int, kind: str) -> None:
    """A few elements more or fewer than ticks count, whatever unknown fields are between them."""
    odd = {"v": b"\x78\x01", "l": field(15, b"\x12\x00"), "g": b"\x7b\x12\x00\x7c", "f": b"\x7d\x00\x00\x00\x00"}[kind]
    body = s2c(field(1, b"\x08\x01\x12\x0100") + odd * unknown + EMPTY * ticks)
    try:
        check_parts(pb.TickerPush, body)
    except ProtocolError:
        assert ticks + 4 * unknown + 3 >= MOST_PARTS
    else:
        assert ticks <= MOST_PARTS


@settings(max_examples=40, deadline=None)
@given(start=st.binary(max_size=30), repeated=st.binary(min_size=1, max_size=6))
def test_bytes_that_are_no_message_are_left_to_the_parser(start: bytes, repeated: bytes) -> None:
    """Nothing but the error for too many parts, in time that the length bounds; what passes may be parsed."""
    body = start + repeated * (300_000 // len(repeated))
    kinds: list[type[Message]] = [pb.TickerPush, pb.GetSubInfoResponse, pb.Outcome]
    for kind in kinds:
        try:
            check_parts(kind, body)
        except ProtocolError:
            continue
        try:
            kind.FromString(body)
        except DecodeError:
            continue


def test_an_endless_number_is_not_read() -> None:
    """Sixteen million bytes of one varint are not a number."""
    check_parts(pb.TickerPush, b"\x08" + b"\xff" * 16_000_000)


def test_fields_that_are_no_list_are_skipped() -> None:
    """Long texts whose bytes would be parts elsewhere: their own lengths count, of three bytes each."""
    text = field(15, EMPTY * 16_383) * 20
    check_parts(pb.TickerPush, text + s2c(EMPTY))
    with pytest.raises(ProtocolError):
        check_parts(pb.TickerPush, s2c(EMPTY * (MOST_PARTS + 1)) + text)
