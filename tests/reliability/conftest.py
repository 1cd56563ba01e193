"""For the reliability tests: trials, each with processes of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from .stuck_loop import Loop
from .trial import Market, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.nursery import Nursery


class Begin(Protocol):
    """Begins a trial in the test's directory."""

    def __call__(self, *args: str, symbols: str = "20", rate: float = 1000.0) -> Trial:
        """A market with these arguments of `simulate`; the collector is still to be started."""


@contextmanager
def beginning(nursery: Nursery, directory: Path) -> Iterator[Begin]:
    """Begins trials in a directory, and ends them with the block."""
    trials: list[Trial] = []

    def start(*args: str, symbols: str = "20", rate: float = 1000.0) -> Trial:
        place = directory / f"trial-{len(trials) + 1}"
        place.mkdir()
        (place / ".env").touch()
        trials.append(Trial(nursery, place, Market(nursery, place, *args, symbols=symbols, rate=rate)))
        return trials[-1]

    try:
        yield start
    finally:
        for trial in trials:
            trial.close()
            trial.market.close()


@pytest.fixture(autouse=True)
def _one_day(one_day: None) -> None:
    """A trial stays within one day, unless it sets another clock."""


@pytest.fixture
def begin(nursery: Nursery, workdir: Path) -> Iterator[Begin]:
    """Begins trials, and ends them with the test."""
    with beginning(nursery, workdir) as start:
        yield start


@pytest.fixture
def loop(nursery: Nursery, workdir: Path) -> Iterator[Loop]:
    """A collector whose event loop is stuck for 36 s."""
    loop = Loop(nursery, workdir)
    yield loop
    loop.close()
