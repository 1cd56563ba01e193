"""What a merged day proves: OpenD's totals that its collectors were told, compared with the ticks of the union.

Certificate and `quality` read the same tables as of a collector's own day file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.merging.feeds import DAY, at, part, ticks
from tests.merging.test_agreement import renumbered

from hk_tick_collector import market
from hk_tick_collector.archive.facts import read_facts
from hk_tick_collector.archive.proof import COMPLETE, GAPS_KNOWN, NOT_PROVABLE
from hk_tick_collector.jetstream.message import SumsMessage
from hk_tick_collector.merging.merger import COLLECTORS_DIRECTORY, DISAGREEMENT_NAME, Merger
from hk_tick_collector.merging.parts import Part
from hk_tick_collector.model import BY_GAP, CLOSE, MATCH, NO_ANSWER, NOT_TRADED, UNEXPLAINED, Reconciled
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.places import DayLocation
from hk_tick_collector.quality.verdict import judge
from hk_tick_collector.store.dayfile import StoreOptions
from hk_tick_collector.store.merged_rows import MergedReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.archive.proof import Proof
    from hk_tick_collector.model import TickRow

CLOSE_MS: Final = market.close_ms(DAY) + 60_000
WHOLE: Final = ticks(range(1, 101))


def totals(symbol: str, official: int | None, volume: int = 0, explained: str = MATCH) -> Reconciled:
    """A collector's comparison of one symbol: OpenD's volume, its own then, and its word."""
    amount = None if official is None else official * 303.0
    return Reconciled(CLOSE, symbol, CLOSE_MS, volume, volume * 303.0, 0, 0.0, 0, 0.0, official, amount, explained)


def total_of(rows: Sequence[TickRow], explained: str = MATCH, official: Sequence[TickRow] = ()) -> Reconciled:
    """The comparison of the ticks of one symbol with the totals of the ticks `official`, or with their own."""
    volume, turnover = sum(row[4] for row in rows), sum(row[5] for row in rows)
    theirs = sum(row[4] for row in official or rows), sum(row[5] for row in official or rows)
    return Reconciled(CLOSE, rows[0][0], CLOSE_MS, volume, turnover, 0, 0.0, 0, 0.0, *theirs, explained)


class Union:
    """A merge without its stream: ticks and sums as they arrive."""

    def __init__(self, root: Path) -> None:
        self.merger = Merger(root, StoreOptions(synchronous="OFF"), "test", lambda: CLOSE_MS)
        self.path = self.merger.union.path(DAY)
        self._seq = 0

    def add(self, source: str, rows: Sequence[TickRow], day: int = DAY) -> None:
        """Merges ticks of a collector, twenty a message."""
        for start in range(0, len(rows), 20):
            self._seq += 1
            for step in self.merger.prepare([Part(day, source, list(rows[start : start + 20]))], at(self._seq)):
                step.commit()

    def say(self, source: str, rows: Sequence[TickRow], *compared: Reconciled, day: int = DAY) -> None:
        """Sums of a collector that has these ticks."""
        sums: dict[str, tuple[int, int]] = {}
        for row in rows:
            count, total = sums.get(row[0], (0, 0))
            sums[row[0]] = count + 1, (total + row[1]) % 2**64
        message = SumsMessage(source, market.day_name(day), CLOSE_MS, sealed=True, sums=sums, totals=compared)
        for days in dict.fromkeys((self.merger.union, self.merger.days_of(source))):
            days.note_sums(day, message, is_over=True)

    def words(self, path: Path | None = None) -> dict[str, str]:
        """What the comparison of each symbol shows."""
        with MergedReader(path or self.path) as reader:
            return {row.symbol: row.explained for row in reader.reconciliation()}

    def proof(self) -> Proof:
        """What the sealed day proves: the same to a certificate and to `quality`."""
        assert self.merger.union.seal(DAY, at(self._seq))
        proof = read_facts(self.path).proof
        facts = list(read_day(DayLocation(self.path.stem, self.path, None), CLOSE_MS + market.DAY_MS))[-1]
        assert isinstance(facts, DayFacts)
        assert judge(facts, 2.0).standing == proof.standing
        return proof


@pytest.fixture
def union(tmp_path: Path) -> Iterator[Union]:
    """An empty one."""
    found = Union(tmp_path)
    yield found
    found.merger.close(None)


def test_the_union_of_two_that_lack_ticks_is_complete(union: Union) -> None:
    """Neither day file is. OpenD's totals are those of the union."""
    a, b = WHOLE[:40] + WHOLE[60:], WHOLE[:80]
    union.add("a", a)
    union.add("b", b)
    union.say("a", a, total_of(a, BY_GAP, WHOLE))
    union.say("b", b, total_of(b, UNEXPLAINED, WHOLE))
    proof = union.proof()
    assert (proof.standing, proof.doubts, union.words()) == (COMPLETE, {}, {"HK.00700": MATCH})
    assert read_facts(union.path).without_opend_s is None  # a merge has no OpenD: nothing is said of it


def test_the_order_in_which_collectors_speak_changes_nothing(union: Union) -> None:
    """The sums of one came before the ticks of the other."""
    a, b = WHOLE[:40] + WHOLE[60:], WHOLE[:80]
    union.add("a", a)
    union.say("a", a, total_of(a, BY_GAP, WHOLE))
    assert union.words() == {"HK.00700": BY_GAP}
    union.add("b", b)
    assert union.proof().standing == COMPLETE


def test_known_gaps_stay_known(union: Union) -> None:
    """No collector has these ticks, and the gap says how many there are."""
    rows = WHOLE[:40] + WHOLE[60:]
    union.add("a", rows)
    union.say("a", rows, total_of(rows, BY_GAP, WHOLE))
    proof = union.proof()
    assert (proof.standing, proof.doubts) == (GAPS_KNOWN, {})


def test_without_totals_nothing_is_proved(union: Union) -> None:
    """An older publisher sends none."""
    union.add("a", WHOLE)
    union.say("a", WHOLE)
    proof = union.proof()
    assert (proof.standing, proof.doubts) == (NOT_PROVABLE, {"not_compared": 1})


def test_ticks_that_are_missing_at_the_end_are_noticed(union: Union) -> None:
    """No sequence shows that ticks came after the last one: OpenD's totals are higher."""
    union.add("a", WHOLE[:99])
    union.say("a", WHOLE[:99], total_of(WHOLE[:99], UNEXPLAINED, WHOLE))
    proof = union.proof()
    assert (proof.standing, proof.doubts) == (NOT_PROVABLE, {"totals_differ": 1})


def test_the_highest_totals_count(union: Union) -> None:
    """The OpenD of one collector lacks the last trade, and so do its totals. The other knows of it, without a tick."""
    union.add("a", WHOLE[:99])
    union.say("a", WHOLE[:99], total_of(WHOLE[:99]))
    union.say("b", [], totals("HK.00700", 10_000, explained=UNEXPLAINED))
    proof = union.proof()
    assert (proof.standing, proof.unexplained) == (NOT_PROVABLE, ("HK.00700",))


def test_lower_totals_of_another_do_no_harm(union: Union) -> None:
    """It was asked earlier, or it gave up then."""
    union.add("a", WHOLE)
    union.add("b", WHOLE[:90])
    union.say("a", WHOLE, total_of(WHOLE))
    union.say("b", WHOLE[:90], total_of(WHOLE[:90]))
    assert union.proof().standing == COMPLETE


def test_a_tick_that_a_collector_has_and_the_union_lacks_is_no_match(union: Union) -> None:
    """Its message was lost and it cannot send it again; the totals that the other was told lack that trade."""
    union.add("a", WHOLE[:99])
    union.say("a", WHOLE[:99], total_of(WHOLE[:99]))
    union.say("b", WHOLE)
    proof = union.proof()
    assert (proof.standing, proof.unexplained) == (NOT_PROVABLE, ("HK.00700",))


def test_as_many_ticks_but_others_are_no_match(union: Union) -> None:
    """One has the first ticks, the other has the last ones: the union lacks those."""
    union.add("a", WHOLE[:50])
    union.say("a", WHOLE[:50], total_of(WHOLE[:50]))
    union.say("b", WHOLE[50:])
    assert union.proof().standing == NOT_PROVABLE


def test_a_symbol_that_only_a_collector_with_lost_messages_has_is_not_compared(union: Union) -> None:
    """The union has no tick of it, so nothing else shows that it was traded."""
    union.add("a", WHOLE)
    union.say("a", WHOLE, total_of(WHOLE))
    union.say("b", ticks(range(1, 11), "HK.00005"))
    proof = union.proof()
    assert (proof.standing, proof.not_compared) == (NOT_PROVABLE, ("HK.00005",))


def test_ticks_after_the_comparison_are_those_of_the_collector(union: Union) -> None:
    """As in its own file: the totals matched what it had then. The union has exactly its ticks."""
    union.add("a", WHOLE)
    union.say("a", WHOLE, total_of(WHOLE[:98]))
    assert union.proof().standing == COMPLETE


def test_ticks_after_the_comparison_that_another_has_too_prove_nothing(union: Union) -> None:
    """The union has more than the collector whose totals are known: its ticks may lack some between."""
    union.add("a", WHOLE[:98])
    union.add("b", WHOLE)
    union.say("a", WHOLE[:98], total_of(WHOLE[:98]))
    union.say("b", WHOLE)
    proof = union.proof()
    assert (proof.standing, proof.unexplained) == (NOT_PROVABLE, ("HK.00700",))


def test_a_row_is_not_taken_over_where_contents_differ(union: Union) -> None:
    """The keys are those of the collector, but one tick has the content that another sent."""
    other = (*WHOLE[99][:4], 500, *WHOLE[99][5:])
    union.add("b", [other])
    union.add("a", WHOLE)
    union.say("a", WHOLE, total_of(WHOLE[:99]))
    assert union.proof().standing == NOT_PROVABLE


def test_each_symbol_needs_totals(union: Union) -> None:
    """Two collectors with different symbols, of which one sends no totals."""
    union.add("a", WHOLE)
    union.add("b", ticks(range(1, 11), "HK.00005"))
    union.say("a", WHOLE, total_of(WHOLE))
    union.say("b", ticks(range(1, 11), "HK.00005"))
    proof = union.proof()
    assert (proof.standing, proof.not_compared) == (NOT_PROVABLE, ("HK.00005",))


def test_symbols_of_several_collectors_are_compared_together(union: Union) -> None:
    """Also one that was not traded, and one that only one of them saw traded."""
    other = ticks(range(1, 11), "HK.00005")
    union.add("a", WHOLE)
    union.add("b", other)
    idle = totals("HK.00001", 900, explained=NOT_TRADED)
    union.say("a", WHOLE, total_of(WHOLE), idle, totals("HK.00005", 9000, explained=NOT_TRADED))
    union.say("b", other, total_of(other))
    assert union.proof().standing == COMPLETE
    assert union.words() == {"HK.00001": NOT_TRADED, "HK.00005": MATCH, "HK.00700": MATCH}


def test_totals_of_an_earlier_day_are_no_answer_for_a_symbol_that_was_traded(union: Union) -> None:
    """They may by chance be equal."""
    union.add("b", WHOLE)
    union.say("a", [], totals("HK.00700", 10_000, explained=NOT_TRADED))
    union.say("b", WHOLE, totals("HK.00700", None, 10_000, NO_ANSWER))
    assert union.words() == {"HK.00700": NO_ANSWER}
    assert union.proof().standing == NOT_PROVABLE


def test_the_symbols_of_a_collector_that_stays_silent_have_no_answer(union: Union) -> None:
    """It sent ticks of another symbol on the day before, and nothing of this one: the day is sealed without it."""
    before = ticks(range(1, 11), "HK.00005", day=DAY - 1)
    union.add("b", before, day=DAY - 1)
    union.say("b", before, day=DAY - 1)
    union.add("a", WHOLE)
    union.say("a", WHOLE, total_of(WHOLE))
    proof = union.proof()
    assert (proof.standing, proof.not_compared) == (NOT_PROVABLE, ("HK.00005",))


def test_a_pair_of_which_one_stays_silent_is_complete(union: Union) -> None:
    """The other has all its symbols."""
    union.add("b", ticks(range(1, 11), day=DAY - 1), day=DAY - 1)
    union.say("b", ticks(range(1, 11), day=DAY - 1), day=DAY - 1)
    union.add("a", WHOLE)
    union.say("a", WHOLE, total_of(WHOLE))
    assert union.proof().standing == COMPLETE


def test_collectors_with_private_numbers_prove_their_own_ticks(tmp_path: Path) -> None:
    """The union takes the symbol from one. The sums of the other are of other sequences, its totals of the market."""
    (tmp_path / DISAGREEMENT_NAME).write_text("{}")
    union, other = Union(tmp_path), renumbered(WHOLE[:99], lambda counter: counter + 7)
    union.add("a", WHOLE)
    union.add("b", other)
    union.say("a", WHOLE, total_of(WHOLE))
    union.say("b", other, total_of(other, UNEXPLAINED, WHOLE))
    assert union.proof().standing == COMPLETE
    own = {name: union.merger.days_of(name).path(DAY) for name in "ab"}
    assert own["b"].parent == tmp_path / COLLECTORS_DIRECTORY / "b"
    assert {name: union.words(path) for name, path in own.items()} == {
        "a": {"HK.00700": MATCH},
        "b": {"HK.00700": BY_GAP},
    }
    union.merger.close(None)


def test_what_collectors_said_is_known_after_a_restart(tmp_path: Path) -> None:
    """Ticks that come after it are compared with it before the day is sealed."""
    one = Union(tmp_path)
    one.add("a", WHOLE[:90])
    one.say("a", WHOLE[:90], total_of(WHOLE[:90], UNEXPLAINED, WHOLE))
    one.merger.close(at(9))
    two = Union(tmp_path)
    two.merger.resume()
    for step in two.merger.prepare([part("b", range(91, 101))], at(10)):
        step.commit()
    assert two.proof().standing == COMPLETE
