"""Log lines for rejected ticks: a hundred of a cause whole, the others as a count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.collect.buffer.rejection_log import Refused, Rejections, Tally
from hk_tick_collector.model import Rejected

if TYPE_CHECKING:
    from tests.collect.conftest import Journal

    from hk_tick_collector.model import TickRow


def test_a_hundred_of_each_cause_are_logged_whole() -> None:
    """One cause does not use up the lines of another."""
    rejections = Rejections(lambda: 0.0)
    assert [rejections.whole("bad_time", 60) for _ in range(3)] == [60, 40, 0]
    assert rejections.whole("conflict", 5) == 5


def test_the_others_are_one_line_a_minute(journal: Journal) -> None:
    """With their number, the number of symbols, and the symbol with the most."""
    now_s = [0.0]
    rejections = Rejections(lambda: now_s[0])
    rejections.count("bad_time", ["HK.00700"])
    rejections.count("bad_time", ["HK.00700", "HK.00005", "HK.00700"])
    now_s[0] = 59.9
    rejections.log_due()
    assert len(journal.events("ticks_rejected")) == 1
    now_s[0] = 60.0
    rejections.log_due()
    _, line = journal.events("ticks_rejected")
    assert {name: line.fields[name] for name in ("ticks", "symbols", "most")} == {
        "ticks": "3",
        "symbols": "2",
        "most": "HK.00700:2",
    }


def test_a_tally_names_the_symbol_with_the_most() -> None:
    """Since the start."""
    tally = Tally()
    assert tally.most() == ("", 0)
    tally.add(["HK.00700", "HK.00005", "HK.00700"])
    assert (tally.symbols, tally.most()) == (2, ("HK.00700", 2))


def test_the_first_line_comes_at_once_and_causes_do_not_wait_for_each_other(journal: Journal) -> None:
    """A minute later each cause has a line with its new count; a cause without a tick has none."""
    now_s = [5.0]
    rejections = Rejections(lambda: now_s[0])
    rejections.count("bad_time", ["HK.00700"])
    now_s[0] = 35.0
    rejections.add("conflict", {"HK.00005": 7, "HK.00700": 2})
    rejections.add("nothing", {})
    rejections.add("conflict", {"HK.00005": 1})
    assert [event.fields["cause"] for event in journal.events("ticks_rejected")] == ["bad_time", "conflict"]
    now_s[0] = 94.9
    rejections.log_due()
    now_s[0] = 95.0
    rejections.log_due()
    rejections.log_due()
    first, second, third = journal.events("ticks_rejected")
    assert (first.level, first.fields) == (
        "WARNING",
        {"cause": "bad_time", "ticks": "1", "symbols": "1", "most": "HK.00700:1"},
    )
    assert second.fields == {"cause": "conflict", "ticks": "9", "symbols": "2", "most": "HK.00005:7"}
    assert third.fields == {"cause": "conflict", "ticks": "1", "symbols": "1", "most": "HK.00005:1"}


def test_the_number_of_remembered_symbols_is_bounded(journal: Journal) -> None:
    """Ten thousand have their own count, the others share one; every tick is counted."""
    now_s = [0.0]
    rejections, tally = Rejections(lambda: now_s[0]), Tally()
    names = [f"HK.{number:05}" for number in range(10_003)]
    rejections.count("bad_time", [])
    rejections.count("bad_time", names[:1])
    rejections.count("bad_time", names)
    rejections.count("bad_time", names[:1])
    now_s[0] = 60.0
    rejections.log_due()
    last = journal.events("ticks_rejected")[-1].fields
    assert (last["ticks"], last["symbols"], last["most"]) == ("10004", "10001", "others:3")
    tally.add(names)
    assert tally.symbols == 10_003
    tally.add(["HK.10009", "HK.00001", "HK.10009", "HK.10009"])
    assert (tally.symbols, tally.most()) == (10_003, ("HK.00001", 2))


def test_a_rejected_tick_that_opend_returns_again_is_not_logged_again() -> None:
    """The same ticks are requested repeatedly. A pushed tick is logged each time, and remembered from then on."""
    refused = Refused()
    tick = Rejected("HK.00700", 7, "bad_time", "a tick", 1)
    assert refused.ticks([tick, tick], backfilled=True) == [tick]
    assert refused.ticks([tick], backfilled=True) == []
    assert refused.ticks([tick], backfilled=False) == [tick]
    again = tick._replace(recv_ts_ms=99, detail="the same tick in other words")
    assert refused.ticks([again], backfilled=True) == []
    others = [tick._replace(symbol="HK.00005"), tick._replace(seq=8), tick._replace(cause="non_finite")]
    assert refused.ticks(others, backfilled=True) == others
    unnumbered = [tick._replace(seq=0, detail=detail) for detail in ("one", "two", "one")]
    assert refused.ticks(unnumbered, backfilled=True) == unnumbered[:2]


def test_a_rejected_row_is_known_by_its_trade() -> None:
    """Not by its time and way of arrival; a pushed row is logged each time."""
    refused = Refused()
    pushed: TickRow = ("HK.00700", 1, 2, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", 3, 2, " ")
    pulled: TickRow = (*pushed[:8], "backfill", 4, None, " ")
    assert refused.rows([pushed, pushed]) == [pushed, pushed]
    assert refused.rows([pulled]) == []
    other = (*pulled[:4], 200, *pulled[5:])
    assert refused.rows([other, pulled, other]) == [other]


def test_only_the_newest_rejected_ticks_are_remembered() -> None:
    """Twenty thousand; a forgotten older one is logged again."""
    refused = Refused()
    ticks = [Rejected("HK.00700", seq, "bad_time", "", 1) for seq in range(1, 20_002)]
    refused.ticks(ticks[:20_000], backfilled=True)
    assert refused.ticks(ticks[:1], backfilled=True) == []
    refused.ticks(ticks[20_000:], backfilled=True)
    assert refused.ticks(ticks[1:2], backfilled=True) == []
    assert refused.ticks(ticks[:1], backfilled=True) == ticks[:1]
