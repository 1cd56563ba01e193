"""When commits wait for another process's copy of the day, and when not: with an injected clock."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.collect.writing.backup_rule import ENDED, LIMIT, LIMIT_S, STILL, STILL_S, TOTAL_S, CopyRule

COPY: Final = "/data/20261120.snapshot.db"
OTHER: Final = "/data/other.db"
LOOK_S: Final = 0.5


class Watched:
    """A rule that is called every half second. `look` gives the state of each copy: a growing figure, or not."""

    def __init__(self) -> None:
        self.rule = CopyRule()
        self.now_s = 1000.0
        self.stored = True
        self.look()

    def look(self, **size: int) -> str:
        """One look: `copy=` and `other=` are there with this size."""
        names = {"copy": COPY, "other": OTHER}
        self.now_s += LOOK_S
        seen = {names[name]: (value,) for name, value in size.items()}
        return self.rule.judge(seen, self.now_s, all_stored=self.stored)

    def grow(self, for_s: float, name: str = "copy") -> list[str]:
        """Looks at a copy that grows all the time; what each look decided."""
        looks = range(int(for_s / LOOK_S))
        return [self.look(**{name: int(self.now_s * 100) + look}) for look in looks]


def test_commits_wait_from_the_first_check_that_sees_a_copy_until_it_is_gone() -> None:
    """Commits wait while it grows, and continue after the check that no longer sees it."""
    watched = Watched()
    assert set(watched.grow(30)) == {COPY}
    assert watched.look() == ""
    assert watched.rule.ended == ENDED


def test_a_journal_of_a_killed_copy_delays_no_commit() -> None:
    """A file that exists at the start is not waited for, and one that stops growing only for two seconds."""
    lying = Watched()
    lying.rule = CopyRule()
    assert [lying.look(copy=1) for _ in range(20)] == [""] * 20
    killed = Watched()
    assert killed.look(copy=1) == COPY
    waited = [killed.look(copy=1) for _ in range(20)]
    assert waited.count(COPY) * LOOK_S <= STILL_S
    assert killed.rule.ended == STILL
    assert waited[-1] == killed.rule.unfinished == ""
    assert killed.look(copy=2) == COPY, "a copy that goes on is waited for again"


def test_a_copy_that_is_under_way_at_the_start_is_seen_by_its_growth() -> None:
    """A collector that starts during a copy waits from its second check on."""
    watched = Watched()
    watched.rule = CopyRule()
    assert watched.grow(2) == ["", COPY, COPY, COPY]


def test_an_endless_copy_is_waited_for_once() -> None:
    """After the limit commits continue until that copy has ended; then another one is waited for."""
    watched = Watched()
    held = watched.grow(10 * LIMIT_S)
    assert held.count(COPY) * LOOK_S == LIMIT_S
    assert held[-1] == ""
    assert watched.rule.ended == LIMIT
    assert watched.rule.unfinished == COPY
    watched.look()
    assert watched.rule.unfinished == ""
    assert watched.look(copy=1) == COPY


def test_after_the_limit_everything_is_stored_before_commits_wait_again() -> None:
    """Another copy begins right after one that took too long: commits continue while ticks wait in the spool."""
    watched = Watched()
    watched.stored = False
    watched.grow(LIMIT_S + 1)
    watched.look()
    assert set(watched.grow(10, "other")) == {""}
    assert watched.rule.unfinished == OTHER
    watched.stored = True
    assert watched.grow(1, "other")[-1] == OTHER


def test_two_copies_in_turn_are_both_waited_for() -> None:
    """The second one begins before the rows that waited for the first are stored."""
    watched = Watched()
    watched.stored = False
    assert set(watched.grow(40)) == {COPY}
    watched.look()
    assert set(watched.grow(40, "other")) == {OTHER}


def test_two_copies_at_once_share_one_wait() -> None:
    """Commits wait until both are done, and no longer than for one."""
    watched = Watched()
    assert watched.look(copy=1, other=1) == COPY
    assert watched.look(copy=2, other=2) == COPY
    assert watched.look(other=3) == OTHER
    assert watched.look() == ""


def test_repeated_copies_cannot_delay_commits_without_end() -> None:
    """For one copy after another it waits three minutes in total, then everything is stored first."""
    watched = Watched()
    watched.stored = False
    held = 0
    for turn in range(100):
        held += sum(map(bool, watched.grow(20, "copy" if turn % 2 else "other")))
        watched.look()
    assert TOTAL_S <= held * LOOK_S <= TOTAL_S + LOOK_S


def test_endless_changes_of_a_file_delay_commits_no_longer_than_a_copy() -> None:
    """A file that changes every second and is created again each time has the same limits."""
    watched = Watched()
    watched.stored = False
    held = sum(bool(watched.look(copy=look)) for look in range(int(10 * LIMIT_S / LOOK_S)))
    assert held * LOOK_S == LIMIT_S
