"""What a message must be to be merged: everything else is refused whole, with a reason, and nothing raises."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.merging.feeds import DAY, NOW_MS, tick, ticks

from hk_tick_collector.jetstream.message import AgainMessage, SumsMessage, encode, encode_again, encode_sums
from hk_tick_collector.merging.incoming import MAX_SHARES, Refused, read
from hk_tick_collector.merging.parts import Part
from hk_tick_collector.model import Tick

SUBJECT: Final = "hk.ticks.20261120.a"
ROWS: Final = ticks(range(1, 11))


def test_ticks_become_a_part() -> None:
    """Every column is as it was sent."""
    assert read(SUBJECT, encode("a", "20261120", ROWS), NOW_MS) == Part(DAY, "a", ROWS)


def test_sums_are_passed_on() -> None:
    """They are compared with the union."""
    sums = SumsMessage("a", "20261120", NOW_MS, True, {"HK.00700": (10, 2**64 - 1)})
    assert read("hk.sums.20261120.a", encode_sums(sums), NOW_MS) == sums


def test_requests_are_not_for_a_merge() -> None:
    """They are in the same stream."""
    assert read("hk.again.a", encode_again(AgainMessage("a", "20261120", ())), NOW_MS) is None


TOO_MANY: Final = tuple(Tick(*tick(1))._replace(volume=MAX_SHARES + 1))
SUMS: Final = encode_sums(SumsMessage("b", "20261120", NOW_MS, False, {}))


@pytest.mark.parametrize(
    ("subject", "data", "why", "is_other_source"),
    [
        (SUBJECT, encode("b", "20261120", ROWS), "names the collector b", True),
        ("hk.sums.20261120.a", SUMS, "names the collector b", True),
        (SUBJECT, encode("a", "20261121", ROWS), "names the day 20261121", False),
        ("hk.ticks.20261119.a", encode("a", "20261119", ROWS), "ticks of another day", False),
        ("hk.ticks.20261123.a", encode("a", "20261123", ROWS), "has not begun", False),
        (SUBJECT, encode("a", "20261120", [TOO_MANY]), "volume is too large", False),  # type: ignore[list-item]
        (SUBJECT, b"", "1 to 1000 ticks", False),
        ("hk.ticks.20261120", b"", "not a subject", False),
        ("hk.ticks.20261399.a", b"", "is not a day", False),
    ],
)
def test_what_is_wrong_is_refused(subject: str, data: bytes, why: str, *, is_other_source: bool) -> None:
    """One reason each, for the log."""
    found = read(subject, data, NOW_MS)
    assert isinstance(found, Refused)
    assert why in found.why
    assert found.is_other_source == is_other_source


@given(st.binary(max_size=300), st.sampled_from([SUBJECT, "hk.sums.20261120.a", "hk.ticks.x.a"]))
def test_any_bytes_are_refused_or_read(data: bytes, subject: str) -> None:
    """Whatever a publisher sends, the merge goes on."""
    found = read(subject, data, NOW_MS)
    assert isinstance(found, Refused | SumsMessage | Part)


@given(st.data())
def test_a_flipped_byte_never_raises(data: st.DataObject) -> None:
    """A message that was damaged on its way is refused, or is a valid message of the same collector and day."""
    good = bytearray(encode("a", "20261120", ROWS))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    found = read(SUBJECT, bytes(good), NOW_MS)
    assert isinstance(found, Refused) or (isinstance(found, Part) and (found.source, found.day) == ("a", DAY))
