"""For the reliability tests: the nursery of collectors, and trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from .nursery import Nursery
from .trial import Market, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Begin(Protocol):
    """Begins a trial in the test's directory."""

    def __call__(self, *args: str, symbols: str = "20", rate: float = 1000.0) -> Trial:
        """A market with these arguments of `simulate`; the collector is still to be started."""


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where collectors come from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def begin(nursery: Nursery, workdir: Path) -> Iterator[Begin]:
    """Begins trials, and ends them with the test."""
    trials: list[Trial] = []

    def start(*args: str, symbols: str = "20", rate: float = 1000.0) -> Trial:
        directory = workdir / f"trial-{len(trials) + 1}"
        directory.mkdir()
        (directory / ".env").touch()
        trials.append(Trial(nursery, directory, Market(directory, *args, symbols=symbols, rate=rate)))
        return trials[-1]

    yield start
    for trial in trials:
        trial.close()
        trial.market.close()
