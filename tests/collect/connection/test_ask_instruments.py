"""What the symbols are: asked beside the ticks, over a real socket, with every way in which OpenD may not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector import market
from hk_tick_collector.collect.connection.ask_instruments import InstrumentAsker, merged
from hk_tick_collector.model import Instrument
from hk_tick_collector.opend import messages
from hk_tick_collector.opend import opend_pb2 as pb

from .scripted_opend import HOWS, SYMBOLS, TRADED_S, OpenD, Service, run

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message
    from tests.collect.conftest import Journal

BOTH = (messages.GET_STATIC_INFO, messages.GET_SECURITY_SNAPSHOT)
TENCENT = Instrument("HK.00700", "騰訊控股", 100, "STOCK", False, "2004-06-16", 618.5, 0)
CLOSED, MORNING = 6, 3  # QotMarketState
STATED = {"lotSize": 100, "listTime": "2004-06-16", "name": "騰訊控股"}
FIGURES = ("priceSpread", "highPrice", "openPrice", "lowPrice", "curPrice", "volume", "turnover", "turnoverRate")


class Registry(OpenD):
    """An OpenD that knows what its symbols are; those in `suspended` do not trade; `unknown` ones are refused."""

    def __init__(self, wrong: dict[int, str] | None = None) -> None:
        super().__init__(wrong)
        self.suspended: set[str] = set()
        self.unknown: set[str] = set()

    def _reply(self, proto_id: int, body: bytes) -> Message:
        if proto_id not in BOTH:
            return super()._reply(proto_id, body)
        kind = pb.GetStaticInfoRequest if proto_id == messages.GET_STATIC_INFO else pb.GetSecuritySnapshotRequest
        asked = kind.FromString(body).c2s.securityList
        if any(messages.symbol_of(security) in self.unknown for security in asked):
            return pb.Outcome(retType=-1, retMsg="Unknown stock")
        if proto_id == messages.GET_STATIC_INFO:
            infos = [{"basic": {**STATED, "security": each, "id": 1, "secType": 3}} for each in asked]
            return pb.GetStaticInfoResponse(retType=0, s2c={"staticInfoList": infos})
        facts = [{**snapshot(each), "isSuspend": messages.symbol_of(each) in self.suspended} for each in asked]
        return pb.GetSecuritySnapshotResponse(retType=0, s2c={"snapshotList": [{"basic": each} for each in facts]})


def snapshot(security: pb.Security) -> dict[str, Any]:
    """The required fields of a snapshot."""
    stated = {**STATED, "security": security, "type": 3, "isSuspend": False, "updateTime": "", "lastClosePrice": 618.5}
    return {**stated, **dict.fromkeys(FIGURES, 0)}


class Asking(Service):
    """A feed that also asks for instruments; `kept` are the rows to store, by symbol, each time."""

    def __init__(self, opend: OpenD, data_root: Path) -> None:
        super().__init__(opend, data_root)
        self.kept: list[dict[str, Instrument]] = []
        intake, backfiller, askers, state, stats = self._parts
        options = self._feed_options("", 0)
        asker = InstrumentAsker(data_root, options, state, self.queue.storing, self._keep)
        self._parts = intake, backfiller, (*askers, asker), state, stats

    def _keep(self, day: int, rows: list[Instrument]) -> None:
        assert market.day_name(day) == "20261120"
        self.kept.append({row.symbol: row for row in rows})


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A directory with the file of OpenD's day."""
    (tmp_path / "20261120.db").touch()
    return tmp_path


def test_each_symbol_is_described(data_root: Path, journal: Journal) -> None:
    """Once: a later connection does not ask again on the same day."""
    opend = Registry()
    opend.suspended = {"HK.09988"}

    async def story() -> None:
        service = Asking(opend, data_root)
        async with service.up():
            await service.until(lambda: service.kept)
            await service.until(lambda: journal.events("instruments_asked"))
            opend.ending = lambda _: True
            await service.until(lambda: opend.connections >= 2)
            opend.ending = lambda _: False
            await service.until_ticks(20)
        (rows,) = service.kept
        assert rows["HK.00700"]._replace(updated_ms=0) == TENCENT
        assert (rows["HK.09988"].suspended, rows["HK.09988"].updated_ms > TRADED_S) == (True, True)

    run(story())
    (line,) = journal.events("instruments_asked")
    assert (line.fields["symbols"], line.fields["suspended"]) == ("2", "1")


@pytest.mark.parametrize("how", HOWS)
def test_missing_answers_do_not_affect_the_ticks(data_root: Path, journal: Journal, how: str) -> None:
    """Refused, late, missing, wrong or empty: the connection stays, each tick is stored, the other answer is used."""

    async def story() -> None:
        service = Asking(Registry({messages.GET_SECURITY_SNAPSHOT: how}), data_root)
        async with service.up():
            await service.until(lambda: journal.events("instruments_failed"))
            await service.until_ticks(5)
        service.assert_nothing_lost()
        (rows,) = service.kept
        only_static = TENCENT._replace(suspended=None, previous_close=None)
        assert rows["HK.00700"]._replace(updated_ms=0) == only_static
        assert service.stats.questions_failed == {}

    run(story())
    (line,) = journal.events("instruments_failed")
    assert (line.fields["symbols"], line.fields["missing"]) == ("0", str(len(SYMBOLS)))


@pytest.mark.parametrize("how", HOWS)
def test_without_any_answer_nothing_is_stored(data_root: Path, journal: Journal, how: str) -> None:
    """No row of instruments is stored, the ticks are complete, and one line is logged."""

    async def story() -> None:
        service = Asking(Registry(dict.fromkeys(BOTH, how)), data_root)
        async with service.up():
            await service.until(lambda: journal.events("instruments_failed"))
            await service.until_ticks(5)
        service.assert_nothing_lost()
        assert service.kept == []

    run(story())
    assert len(journal.events("instruments_failed")) == 1


def test_a_question_that_ends_the_connection_is_not_asked_again_at_once(data_root: Path) -> None:
    """An OpenD that closes the connection because of this question: one reconnection, not one every few seconds."""
    opend = Registry()
    opend.ending = lambda proto_id: proto_id == messages.GET_STATIC_INFO

    async def story() -> None:
        service = Asking(opend, data_root)
        async with service.up():
            await service.until(lambda: opend.connections >= 2)
            await service.until_ticks(50)
        assert (opend.connections, opend.asked[messages.GET_STATIC_INFO]) == (2, 1)

    run(story())


def test_an_unknown_symbol_does_not_affect_the_others(data_root: Path, journal: Journal) -> None:
    """OpenD refuses the whole request: it is asked again in halves."""
    opend = Registry()
    opend.unknown = {"HK.09988"}

    async def story() -> None:
        service = Asking(opend, data_root)
        async with service.up():
            await service.until(lambda: journal.events("instruments_failed"))
        assert [list(rows) for rows in service.kept] == [["HK.00700"]]

    run(story())


def test_it_is_asked_again_when_the_market_begins_to_trade(data_root: Path, journal: Journal) -> None:
    """Only then it is certain which symbols are suspended today; at the close it is not asked again."""
    opend = Registry()
    opend.market_state = CLOSED

    async def story() -> None:
        service = Asking(opend, data_root)
        async with service.up():
            await service.until(lambda: len(journal.events("instruments_asked")) == 1)
            opend.suspended, opend.market_state = {"HK.00700"}, MORNING
            await service.until(lambda: len(journal.events("instruments_asked")) == 2)
            opend.market_state = CLOSED
            await service.until_ticks(150)
        assert [rows["HK.00700"].suspended for rows in service.kept] == [False, True]

    run(story())


def test_a_day_without_a_file_gets_no_instruments(tmp_path: Path) -> None:
    """On a day without trading nothing is asked: a row would create the day's file."""
    opend = Registry()

    async def story() -> None:
        service = Asking(opend, tmp_path)
        async with service.up():
            await service.until_ticks(150)
        assert service.kept == []

    run(story())
    assert not set(BOTH) & opend.asked.keys()
    assert list(tmp_path.iterdir()) == []


def test_names_are_cleaned_like_any_text_from_outside() -> None:
    """Cut, on one line, without control characters; bytes that are not UTF-8 do no harm."""
    for sent, name in (
        ("A\x1b[31m\nB\u202e", "A\\x1b[31m B\\u202e"),
        ("  騰訊  ", "騰訊"),
        ("N" * 1000, "N" * 64),
        ("", None),
        (" ", None),
    ):
        (row,) = messages.read_instruments(body_with(name=sent))
        assert row.name == name
    (row,) = messages.read_instruments(body_with(name="XXXX").replace(b"XXXX", b"\xff\xfe\xfd\xfc"))
    assert row.name == "\\xff\\xfe\\xfd\\xfc"


def body_with(**changed: Any) -> bytes:
    """A reply about one symbol with these fields changed."""
    basic = {**snapshot(messages.security_of("HK.00700")), **changed}
    return pb.GetSecuritySnapshotResponse(retType=0, s2c={"snapshotList": [{"basic": basic}]}).SerializeToString()


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        ({"lotSize": 0}, "lot_size", None),
        ({"lotSize": -5}, "lot_size", None),
        ({"type": 0}, "type", None),
        ({"type": 4}, "type", "ETF"),
        ({"type": 99}, "type", "TYPE_99"),
        ({"listTime": "2004-06-16 09:30:00"}, "listing_date", "2004-06-16"),
        ({"listTime": "soon"}, "listing_date", None),
        ({"lastClosePrice": 0.0}, "previous_close", None),
        ({"lastClosePrice": float("nan")}, "previous_close", None),
        ({"lastClosePrice": float("inf")}, "previous_close", None),
    ],
)
def test_impossible_values_are_null(changed: dict[str, Any], field: str, value: object) -> None:
    """And a type of a later OpenD keeps its number."""
    (row,) = messages.read_instruments(body_with(**changed))
    assert getattr(row, field) == value


def test_two_answers_are_one_row() -> None:
    """The first one is preferred, except for its empty fields."""
    static = TENCENT._replace(suspended=None, previous_close=None)
    assert merged(static, TENCENT._replace(name="TENCENT", suspended=True)) == TENCENT._replace(suspended=True)
