"""Subscribing: a bad symbol or a short quota never affects other symbols, and is logged by name."""

from __future__ import annotations

import asyncio
from math import ceil, log2
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.collect.connection.subscribe import BATCH_SYMBOLS, Outcome, Pace, subscribe_all
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


class Freely(Pace):
    """No request ever waits."""

    def take(self) -> float:
        return 0.0


def freely() -> Pace:
    """A pace that does not matter here."""
    return Freely()


def names(count: int) -> list[str]:
    """So many symbols."""
    return [f"HK.{n:05}" for n in range(count)]


@given(count=st.integers(0, 350), bad=st.sets(st.integers(0, 349), max_size=6))
def test_exactly_the_bad_symbols_are_refused(count: int, bad: set[int]) -> None:
    """At any position: each good symbol is subscribed once, each bad one named with OpenD's text; few requests."""
    symbols = names(count)
    refused = {symbols[n] for n in bad if n < count}
    account = Account(bad=refused)
    assert asyncio.run(subscribe_all(account.request, symbols, freely())) == Outcome(dict.fromkeys(refused, UNKNOWN))
    assert sorted(account.held) == [symbol for symbol in symbols if symbol not in refused]
    batches, halvings = ceil(count / BATCH_SYMBOLS), 2 * ceil(log2(BATCH_SYMBOLS))
    assert account.requests <= batches + len(refused) * (1 + halvings) + batches


@pytest.mark.parametrize("quota", [0, 1, 99, 100, 101, 250])
def test_a_short_quota_is_used_up(quota: int) -> None:
    """As many symbols as the account allows are subscribed, in the order of the settings; the rest is named."""
    account = Account(bad=set(), quota=quota)
    symbols = names(250)
    outcome = asyncio.run(subscribe_all(account.request, symbols, freely()))
    assert outcome == Outcome(dict.fromkeys(symbols[quota:], NO_QUOTA))
    assert account.held == symbols[:quota]


@pytest.mark.parametrize("count", [5, 100, 250, 2000])
@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("No right to subscribe {}", "No right to subscribe"),
        ("股票 {} 無行情權限", "股票 無行情權限"),
        ("HK.{}: 没有权限", "没有权限"),
        ("Unknown stock [{}]", "Unknown stock"),
        ("Insufficient subscription quota for {}", "Insufficient subscription quota for"),
        ("訂閱額度不足", "訂閱額度不足"),
    ],
)
def test_if_everything_is_refused_few_requests_are_sent(words: str, kept: str, count: int) -> None:
    """Not one request for each symbol; all have the same text of refusal, without the code that OpenD names."""
    requests = 0

    async def refuse(proto_id: int, message: Message) -> bytes:
        nonlocal requests
        requests += 1
        assert isinstance(message, pb.SubRequest)
        code = message.c2s.securityList[0].code
        return pb.Outcome(retType=-1, retMsg=words.format(code)).SerializeToString()

    symbols = names(count)
    assert asyncio.run(subscribe_all(refuse, symbols, freely())) == Outcome(dict.fromkeys(symbols, kept))
    assert requests <= 8 + 2 * ceil(count / BATCH_SYMBOLS)


def test_symbols_without_a_quote_right_do_not_affect_the_others() -> None:
    """An account may have the right to some of them."""

    class Some(Account):
        async def request(self, proto_id: int, message: Message) -> bytes:
            assert isinstance(message, pb.SubRequest)
            codes = [security.code for security in message.c2s.securityList]
            if bad := [code for code in codes if int(code) % 33 == 0]:
                return pb.Outcome(retType=-1, retMsg=f"No right to {bad[0]}").SerializeToString()
            return await super().request(proto_id, message)

    account, symbols = Some(bad=set()), names(300)
    refused = [symbol for symbol in symbols if int(symbol[3:]) % 33 == 0]
    outcome = asyncio.run(subscribe_all(account.request, symbols, freely()))
    assert outcome == Outcome(dict.fromkeys(refused, "No right to"))
    assert sorted(account.held) == [symbol for symbol in symbols if symbol not in refused] == sorted(outcome.accepted)


def test_requests_after_a_refusal_are_paced() -> None:
    """Twenty at once, then one every three seconds; before each wait the known results are logged."""
    now_s = 0.0
    pace = Pace(lambda: now_s)
    assert [pace.take() for _ in range(22)] == [0.0] * 20 + [3.0, 6.0]
    now_s = 66.0
    assert [pace.take() for _ in range(22)] == [0.0] * 20 + [3.0, 6.0]

    class Slow(Pace):
        def take(self) -> float:
            return 0.001

    account, seen = Account(bad={"HK.00150"}), []
    outcome = asyncio.run(
        subscribe_all(account.request, names(200), Slow(), lambda known: seen.append(len(known.accepted)))
    )
    assert outcome.refused == {"HK.00150": UNKNOWN}
    assert seen[0] == 100
    assert seen == sorted(seen)


class Patient(Pace):
    """Counts requests and never waits: records what the pace would log."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def take(self) -> float:
        self.taken += 1
        return 1e-9  # tells what is known before each request


@pytest.mark.parametrize(
    ("count", "every", "is_named", "requests", "share"),
    [
        (90, 10, True, 24, 1.0),
        (400, 50, True, 24, 1.0),
        (90, 10, False, 40, 0.7),
        (400, 50, False, 40, 0.6),
        (100, 2, True, 75, 0.9),
    ],
)
def test_good_symbols_come_before_the_refused_ones(
    count: int, every: int, is_named: bool, requests: int, share: float
) -> None:
    """After few paced requests most are subscribed, whether OpenD names the refused symbol or not."""
    symbols = names(count)
    bad = [symbol for symbol in symbols if int(symbol[3:]) % every == 1]
    pace, seen = Patient(), dict[int, int]()

    class Naming(Account):
        async def request(self, proto_id: int, message: Message) -> bytes:
            assert isinstance(message, pb.SubRequest)
            codes = [security.code for security in message.c2s.securityList]
            if is_named and (refused := [code for code in codes if f"HK.{code}" in bad]):
                return pb.Outcome(retType=-1, retMsg=f"unknown stock {refused[0]}").SerializeToString()
            return await super().request(proto_id, message)

    account = Naming(bad=set(bad))
    told: list[set[str]] = []

    def note(known: Outcome) -> None:
        seen[pace.taken] = len(account.held)
        told.append(set(known.refused))

    outcome = asyncio.run(subscribe_all(account.request, symbols, pace, note))
    assert set(outcome.refused) == set(bad)
    assert sorted(account.held) == sorted(set(symbols) - set(bad))
    assert seen.get(requests, len(account.held)) >= share * len(account.held)
    assert any(0 < len(known) < len(bad) for known in told)  # each is named as soon as it is known
    assert all(known <= set(bad) for known in told)


def test_a_symbol_that_a_refusal_names_wrongly_is_still_subscribed() -> None:
    """OpenD's text about a batch is trusted until all other symbols are settled; then the symbol is tried alone."""

    class Confused(Account):
        async def request(self, proto_id: int, message: Message) -> bytes:
            body = await super().request(proto_id, message)
            if pb.Outcome.FromString(body).retType:
                return pb.Outcome(retType=-1, retMsg="unknown stock, see 00003").SerializeToString()
            return body

    account = Confused(bad={"HK.00042"})
    outcome = asyncio.run(subscribe_all(account.request, names(90), freely()))
    assert list(outcome.refused) == ["HK.00042"]
    assert sorted(account.held) == [symbol for symbol in names(90) if symbol != "HK.00042"]


def test_a_refusal_for_too_many_requests_refuses_no_symbol() -> None:
    """If OpenD got too many requests, the rest is repeated later, and no symbol is called refused."""

    class Strict(Account):
        async def request(self, proto_id: int, message: Message) -> bytes:
            if self.requests >= 4:
                return pb.Outcome(retType=-1, retMsg="too frequent, at most 4 times in 30 s").SerializeToString()
            return await super().request(proto_id, message)

    account = Strict(bad={f"HK.{n:05}" for n in range(0, 90, 10)})
    outcome = asyncio.run(subscribe_all(account.request, names(90), freely()))
    assert set(outcome.refused.values()) <= {UNKNOWN, "too frequent, at most 4 times in 30 s"}
    assert len(outcome.refused) < 9
    assert len(outcome.unanswered) > 9


def test_a_batch_without_an_answer_is_no_refusal() -> None:
    """Its symbols are named with the reason and requested again; the other batches are still subscribed."""
    account = Account(bad={"HK.00250"})
    mute = "OpenD did not answer message 3001 in time"

    async def request(proto_id: int, message: Message) -> bytes:
        assert isinstance(message, pb.SubRequest)
        if message.c2s.securityList[0].code == "00100":
            raise OpenDError(mute)
        return await account.request(proto_id, message)

    outcome = asyncio.run(subscribe_all(request, names(300)))
    assert outcome == Outcome({"HK.00250": UNKNOWN}, dict.fromkeys(names(300)[100:200], mute))


def test_an_answer_that_cannot_be_read_is_no_refusal() -> None:
    """An invalid message says nothing about the symbols, and ends nothing."""

    async def request(proto_id: int, message: Message) -> bytes:
        return b"\xff"

    outcome = asyncio.run(subscribe_all(request, names(2)))
    assert not outcome.refused
    assert list(outcome.unanswered) == names(2)


def test_if_nothing_is_answered_not_every_batch_is_waited_for() -> None:
    """Otherwise two thousand symbols would take twenty time limits one after the other."""
    requests = 0

    async def gone(proto_id: int, message: Message) -> bytes:
        nonlocal requests
        requests += 1
        raise OpenDError("OpenD closed the connection")

    outcome = asyncio.run(subscribe_all(gone, names(2000)))
    assert outcome == Outcome({}, dict.fromkeys(names(2000), "OpenD closed the connection"))
    assert requests == 2
