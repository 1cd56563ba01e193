"""Whether two collectors number the same ticks in the same way: found soon where they do not, never where they do."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.merging.feeds import DAY, tick, ticks

from hk_tick_collector.merging.agreement import Agreement
from hk_tick_collector.merging.parts import Part
from hk_tick_collector.model import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hk_tick_collector.merging.agreement import Disagreement
    from hk_tick_collector.model import TickRow


def feed(agreement: Agreement, a: Sequence[TickRow], b: Sequence[TickRow], *, step: int = 20) -> Disagreement | None:
    """Both collectors live, in small messages by turns."""
    for start in range(0, max(len(a), len(b)), step):
        parts = [Part(DAY, name, list(rows[start : start + step])) for name, rows in (("a", a), ("b", b))]
        found = agreement.see([part for part in parts if part.rows])
        if found is not None:
            return found
    return None


def renumbered(rows: Iterable[TickRow], number: Callable[[int], int]) -> list[TickRow]:
    """The same trades, numbered by a collector's own OpenD."""
    return [Tick(*row)._replace(seq=row[2] // 1000 << 32 | number(row[1] & 0xFFFFFFFF)) for row in rows]


def test_equal_sequences_agree() -> None:
    """The normal case: the same feed at both, received at other times."""
    agreement = Agreement()
    assert feed(agreement, ticks(range(1, 1001)), ticks(range(1, 1001), recv_ms=70)) is None
    assert agreement.agreed > 0


@pytest.mark.parametrize("seed", range(20))
def test_gaps_and_delays_are_no_disagreement(seed: int) -> None:
    """Each misses stretches of its own, the second is behind, messages are repeated, some come late."""
    random = Random(seed)
    whole = ticks(range(1, 3001))
    holes = [set[int](), set[int]()]
    for missing in holes:
        for _ in range(12):
            start = random.randrange(1, 3000)
            missing.update(range(start, start + random.choice((1, 5, 60, 300))))
    a, b = ([row for row in whole if row[1] & 0xFFFFFFFF not in missing] for missing in holes)
    b = b[: random.randrange(1, 200)] * 2 + b
    for _ in range(30):
        at = random.randrange(len(a) - 1)
        a[at], a[at + 1] = a[at + 1], a[at]
    assert feed(Agreement(), a, b, step=random.choice((5, 50, 400))) is None


def test_hosts_that_fail_in_turns_are_no_disagreement() -> None:
    """Each has what the other misses, so that they have nothing in common."""
    whole = ticks(range(1, 2001))
    a = [row for number, row in enumerate(whole) if number // 100 % 2 == 0]
    b = [row for number, row in enumerate(whole) if number // 100 % 2 == 1]
    assert feed(Agreement(), a, b) is None


def test_a_restart_of_the_counter_is_no_disagreement() -> None:
    """The counter restarts within the day at both, and one of them is behind by a minute."""
    first = [tick(counter, ms=counter * 100) for counter in range(1, 301)]
    second = [tick(counter, ms=40_000 + counter * 100) for counter in range(1, 601)]
    whole = first + second
    assert feed(Agreement(), whole[200:], whole) is None
    assert feed(Agreement(), whole, whole[200:]) is None


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(lambda counter: counter + 3, id="it has three more from before the open"),
        pytest.param(lambda counter: counter + 5000, id="it counts from another number"),
        pytest.param(lambda counter: counter * 2, id="every second number is of another board"),
        pytest.param(lambda counter: counter - 150, id="it began later and counts from one"),
    ],
)
def test_private_numbers_are_found_within_a_few_hundred_ticks(number: Callable[[int], int]) -> None:
    """Each OpenD has numbers of its own: that must show before the union is wrong for long."""
    whole = ticks(range(151, 1201))
    found = feed(Agreement(), whole, renumbered(whole, number))
    assert found is not None
    assert found.symbol == "HK.00700"
    assert set(found.sources) == {"a", "b"}
    assert found.compared >= 32
    assert found.why in ("counters_clash", "ticks_differ")


def test_two_pairs_that_disagree_once_are_not_a_disagreement() -> None:
    """Of three collectors one has its own numbers. Both its pairs disagree at the first comparison, and again later."""
    agreement, whole = Agreement(), ticks(range(151, 1201))
    feeds = {"a": whole, "b": renumbered(whole, lambda counter: counter * 2), "c": whole}
    seen, found = 0, None
    for start in range(0, len(whole), 20):
        for name, rows in feeds.items():
            found = found or agreement.see([Part(DAY, name, rows[start : start + 20])])
            seen += 0 if found else 20
    assert found is not None
    assert "b" in found.sources
    assert seen > 3 * 128  # each comparison needs so many new ticks, and the first has too few in common


def test_the_same_key_for_another_trade_is_found() -> None:
    """Sequences look alike, but they number other trades."""
    whole = ticks(range(1, 1001))
    other: list[TickRow] = [Tick(*row)._replace(volume=row[4] + 100) for row in whole]
    found = feed(Agreement(), whole, other)
    assert found is not None
    assert (found.same, found.why) == (0, "counters_clash")


def test_numbers_without_a_counter_are_compared_by_their_seconds() -> None:
    """Sequences that are just numbers: equal ones agree, and others in the same seconds do not."""
    whole: list[TickRow] = [
        Tick(*row)._replace(seq=7_000_000 + 13 * (row[1] & 0xFFFFFFFF)) for row in ticks(range(1, 801))
    ]
    agreement = Agreement()
    assert feed(agreement, whole, whole) is None
    assert agreement.agreed > 0
    other: list[TickRow] = [Tick(*row)._replace(seq=row[1] + 5) for row in whole]
    found = feed(Agreement(), whole, other)
    assert found is not None
    assert found.why == "nothing_in_common"


def test_memory_is_bounded() -> None:
    """Ten thousand symbols from two collectors: some are compared at a time."""
    agreement = Agreement()
    for source in ("a", "b"):
        agreement.see([Part(DAY, source, [tick(1, f"HK.{number:05d}") for number in range(10_000)])])
    assert len(agreement.compared) <= 128


def test_symbols_are_compared_again_although_each_collector_has_some_of_its_own() -> None:
    """One OpenD was restarted at noon and counts from another number: the symbol had agreed in the morning."""
    agreement = Agreement()
    agreement.see([Part(DAY, "a", [tick(1, "HK.00001")])])  # nobody else sends it
    whole = ticks(range(1, 2001))
    assert feed(agreement, whole[:1000], whole[:1000]) is None
    found = feed(agreement, whole[1000:], renumbered(whole[1000:], lambda counter: counter + 500))
    assert found is not None


def test_quiet_symbols_make_room_for_others() -> None:
    """At the open every symbol has a tick; most have few more that day, and the busy ones must be compared too."""
    agreement = Agreement()
    for source in ("a", "b"):
        agreement.see([Part(DAY, source, [tick(1, f"HK.{number:05d}") for number in range(1, 201)])])
    whole = ticks(range(1, 60_001), "HK.00700")
    assert feed(agreement, whole, renumbered(whole, lambda counter: counter + 500), step=1000) is not None
    assert len(agreement.compared) <= 128


def test_a_collector_that_alone_counts_from_one_again_is_found() -> None:
    """Its OpenD was restarted, and the other's was not."""
    whole = ticks(range(1, 1201))
    own = whole[:600] + renumbered(whole[600:], lambda counter: counter - 600)
    assert feed(Agreement(), whole, own) is not None
