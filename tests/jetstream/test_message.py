"""Messages: what is encoded is decoded unchanged; bytes from outside are a message of ours, or one error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.errors import CollectorError, MessageError
from hk_tick_collector.jetstream import ticks_pb2
from hk_tick_collector.jetstream.message import (
    MAX_TICKS,
    AgainMessage,
    SumsMessage,
    decode,
    decode_again,
    decode_sums,
    encode,
    encode_again,
    encode_sums,
)
from hk_tick_collector.jetstream.subjects import day_and_source, source_of, sums_subject, ticks_subject
from hk_tick_collector.model import NO_ANSWER, WITHOUT_ODD_LOTS, Reconciled

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.model import TickRow

TICK: TickRow = (
    "HK.00700",
    1763688600 << 32 | 1,
    1763688600123,
    380.2,
    200,
    76040.0,
    "BUY",
    "AUTO_MATCH",
    "realtime",
    1763688600150,
    1763688600149,
    "P",
)
TOTALS = (
    Reconciled("close", "HK.00700", 1763688600123, 1000, 2000.5, 30, 60.0, 200, 400.0, 970, 1940.5, WITHOUT_ODD_LOTS),
    Reconciled("close", "HK.00981", 1763688600001, 0, 0.0, 0, 0.0, 0, 0.0, None, None, NO_ANSWER),
)
INT64 = st.integers(-(2**63), 2**63 - 1)
WORD = st.text(max_size=64)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.tuples(
    WORD, INT64, INT64, FINITE, INT64, FINITE, WORD, WORD, WORD, INT64, st.none() | INT64, st.none() | WORD
)


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_every_row_that_a_day_file_can_hold_comes_back_unchanged(rows: list[TickRow]) -> None:
    """All twelve columns, bit for bit, also values that no market has."""
    found = decode(encode("host-1", "20261120", rows))
    assert (found.source, found.day) == ("host-1", "20261120")
    assert list(map(repr, found.rows)) == list(map(repr, rows))


def test_an_ordinary_tick_needs_about_thirty_bytes() -> None:
    """A message of 1,000 ticks is far below the server's limit of 1 MiB."""
    rows = [
        (symbol, (1763688600 + n // 5) << 32 | n, 1763688600000 + 200 * n, 380.2, 200, 76040.0, *TICK[6:9], ms, ms, "P")
        for symbol in ("HK.00700", "HK.00981")
        for n in range(500)
        for ms in (1763688600020 + 200 * n,)
    ]
    assert len(encode("host-1", "20261120", rows)) / len(rows) < 36


@pytest.mark.parametrize("count", [0, MAX_TICKS + 1])
def test_the_number_of_ticks_is_limited(count: int) -> None:
    """An empty message and one above 1,000 ticks are not made, and not read."""
    with pytest.raises(ValueError, match=str(MAX_TICKS)):
        encode("a", "20261120", [TICK] * count)
    message = ticks_pb2.Ticks(source="a", day="20261120", symbol=[0] * count)
    with pytest.raises(MessageError, match=str(MAX_TICKS)):
        decode(message.SerializeToString())


GOOD = encode("a", "20261120", [TICK, TICK])


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_hostile_bytes_raise_one_error(at: int, byte: int) -> None:
    """A message that is cut or changed anywhere raises MessageError or has rows of the right kinds; nothing else."""
    for data in (GOOD[:at], GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], GOOD[at:], GOOD + GOOD[:at]):
        for reads in (decode, decode_sums, decode_again):
            try:
                found = reads(data)
            except MessageError:
                continue
            assert found.source


@pytest.mark.parametrize(
    "change",
    [
        {"source": "a.b"},
        {"source": ""},
        {"day": "2026-11-20"},
        {"day": "20261131"},
        {"symbol": [1, 0]},
        {"type_sign": [9, 0]},
        {"no_opend_recv": [2]},
        {"seq": [1]},
        {"price": [1.0, float("nan")]},
        {"turnover": [float("inf"), 1.0]},
        {"words": ["x" * 65]},
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    """Each of these would end as a wrong row somewhere."""
    message = ticks_pb2.Ticks()
    message.ParseFromString(GOOD)
    for name, value in change.items():
        message.ClearField(name)
        message.MergeFrom(ticks_pb2.Ticks(**{name: value}))
    with pytest.raises(MessageError):
        decode(message.SerializeToString())


def test_a_later_version_may_add_fields() -> None:
    """Unknown fields are passed over: field 99 with the text `new`."""
    assert decode(GOOD + b"\x9a\x06\x03new").rows == [TICK, TICK]


def test_sums_and_requests_come_back_unchanged() -> None:
    """With sums up to 2^64 - 1, and with no symbol at all."""
    sums = SumsMessage("a", "20261120", 1763688600123, True, {"HK.00700": (2**40, 2**64 - 1), "HK.00981": (1, 0)})
    assert decode_sums(encode_sums(sums)) == sums
    compared = replace(sums, totals=TOTALS, answered_before=7)
    assert decode_sums(encode_sums(compared)) == compared


def test_wrong_totals_are_one_error() -> None:
    """Columns of different lengths, an infinite turnover, an index beyond the rows, the same symbol twice."""
    good = ticks_pb2.Sums.FromString(encode_sums(SumsMessage("a", "20261120", 1, True, {}, TOTALS)))
    changes: tuple[Callable[[Any], object], ...] = (
        lambda totals: totals.at_ms.append(1),
        lambda totals: totals.late_turnover.__setitem__(0, float("inf")),
        lambda totals: totals.no_answer.append(9),
        lambda totals: totals.explained.__setitem__(0, 9),
        lambda totals: totals.symbols.__setitem__(0, totals.symbols[1]),
    )
    for change in changes:
        wrong = ticks_pb2.Sums()
        wrong.CopyFrom(good)
        change(wrong.totals)
        with pytest.raises(MessageError):
            decode_sums(wrong.SerializeToString())


def test_a_reader_that_knows_no_totals_reads_the_sums() -> None:
    """An older merge passes over the field; an older publisher sends none."""
    sums = SumsMessage("a", "20261120", 1, True, {"HK.00700": (2, 3)}, TOTALS)
    older = ticks_pb2.Sums.FromString(encode_sums(sums))
    older.ClearField("totals")
    assert decode_sums(older.SerializeToString()) == replace(sums, totals=())
    for again in (AgainMessage("a", "20261120", ()), AgainMessage("a", "20261120", ("HK.00700", "HK.00981"))):
        assert decode_again(encode_again(again)) == again


def test_names_of_sources_are_one_part_of_a_subject() -> None:
    """A host name with a dot would make two parts of it: refused with the name of the setting."""
    assert source_of("host-1_A") == "host-1_A"
    for name in ("host.example", "-a", "a b", "*", ">", ""):
        with pytest.raises(CollectorError, match="INSTANCE_ID"):
            source_of(name)
    assert day_and_source(ticks_subject("20261120", "a")) == day_and_source(sums_subject("20261120", "a"))
    for subject in ("hk.ticks.20261120", "hk.ticks.20261120.a.b", "hk.again.20261120.a", "hk.ticks.x.a"):
        with pytest.raises(MessageError):
            day_and_source(subject)
