"""Subscribing: one bad symbol or a short quota never costs the others, and is told by name."""

from __future__ import annotations

import asyncio
from math import ceil, log2
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.collect.subscriptions import BATCH_SYMBOLS, subscribe_all
from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

UNKNOWN = "Unknown stock"
NO_QUOTA = "Insufficient subscription quota"


class Account:
    """An OpenD that takes a batch or refuses it whole."""

    def __init__(self, *, bad: set[str], quota: int = 10_000) -> None:
        self.held: list[str] = []
        self.requests = 0
        self._bad = bad
        self._quota = quota

    async def request(self, proto_id: int, message: Message) -> bytes:
        """Answers Qot_Sub."""
        assert proto_id == messages.SUB
        assert isinstance(message, pb.SubRequest)
        symbols = [messages.symbol_of(security) for security in message.c2s.securityList]
        assert 1 <= len(symbols) <= BATCH_SYMBOLS
        self.requests += 1
        if self._bad.intersection(symbols):
            return pb.Outcome(retType=-1, retMsg=UNKNOWN).SerializeToString()
        if len(self.held) + len(symbols) > self._quota:
            return pb.Outcome(retType=-1, retMsg=NO_QUOTA).SerializeToString()
        self.held += symbols
        return pb.Outcome(retType=0).SerializeToString()


def names(count: int) -> list[str]:
    """So many symbols."""
    return [f"HK.{n:05}" for n in range(count)]


@given(count=st.integers(0, 350), bad=st.sets(st.integers(0, 349), max_size=6))
def test_exactly_the_bad_ones_are_refused(count: int, bad: set[int]) -> None:
    """Wherever they stand: each good symbol is subscribed once, each bad one named with OpenD's words; few requests."""
    symbols = names(count)
    refused = {symbols[n] for n in bad if n < count}
    account = Account(bad=refused)
    assert asyncio.run(subscribe_all(account.request, symbols)) == dict.fromkeys(refused, UNKNOWN)
    assert account.held == [symbol for symbol in symbols if symbol not in refused]
    assert account.requests <= ceil(count / BATCH_SYMBOLS) + len(refused) * 2 * ceil(log2(BATCH_SYMBOLS))


@pytest.mark.parametrize("quota", [0, 1, 99, 100, 101, 250])
def test_a_short_quota_is_used_up(quota: int) -> None:
    """As many symbols as the account allows are subscribed, in the order of the settings; the rest is named."""
    account = Account(bad=set(), quota=quota)
    symbols = names(250)
    assert asyncio.run(subscribe_all(account.request, symbols)) == dict.fromkeys(symbols[quota:], NO_QUOTA)
    assert account.held == symbols[:quota]


def test_the_end_of_the_connection_is_no_refusal() -> None:
    """What fails to answer refuses nothing: the error ends the attempt."""

    async def gone(proto_id: int, message: Message) -> bytes:
        raise OpenDError("OpenD closed the connection")

    with pytest.raises(OpenDError, match="closed"):
        asyncio.run(subscribe_all(gone, names(3)))
