"""For the reliability tests: the nursery of processes, trials, and cases that run side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

from .nursery import Nursery
from .trial import Market, Trial
from .waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

_AT_ONCE: Final = 4  # cases; most of each is waiting
_EARLY_AT_ONCE: Final = 3  # of those that nobody waits for yet; none of them keeps another back


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


class Crowd:
    """Runs cases side by side, of a parametrized test and of others; each test then has its own one's outcome."""

    def __init__(self, nursery: Nursery, factory: pytest.TempPathFactory) -> None:
        self._nursery = nursery
        self._factory = factory
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._early = ThreadPoolExecutor(_EARLY_AT_ONCE)
        self._running: dict[tuple[object, object], Future[None]] = {}

    def judge(self, case: Callable[[Begin, Any], None], keys: Iterable[Any], key: object) -> None:
        """The outcome of `case(begin, key)`; it is started for all `keys`, unless it was."""
        self._start(self._pool, case, keys)
        self._running[case, key].result()

    def begin_early(self, case: Callable[[Begin, Any], None], keys: Iterable[Any]) -> None:
        """Runs `case(begin, key)` for each key beside whatever the session waits for."""
        self._start(self._early, case, keys)

    def _start(self, pool: ThreadPoolExecutor, case: Callable[[Begin, Any], None], keys: Iterable[Any]) -> None:
        for each in keys:
            if (case, each) not in self._running:
                directory = self._factory.mktemp("crowd")
                self._running[case, each] = pool.submit(self._run, case, each, directory)

    def close(self) -> None:
        """Ends with the last case."""
        self._early.shutdown(cancel_futures=True)
        self._pool.shutdown()

    def _run(self, case: Callable[[Begin, Any], None], key: object, directory: Path) -> None:
        with beginning(self._nursery, directory) as begin:
            case(begin, key)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where processes come from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def begin(nursery: Nursery, workdir: Path) -> Iterator[Begin]:
    """Begins trials, and ends them with the test."""
    with beginning(nursery, workdir) as start:
        yield start


@pytest.fixture(scope="session")
def crowd(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Cases that run side by side."""
    crowd = Crowd(nursery, tmp_path_factory)
    yield crowd
    crowd.close()


@pytest.fixture(scope="session")
def waits(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waits]:
    """What takes half a minute and more to be found."""
    waits = Waits(nursery, tmp_path_factory)
    yield waits
    waits.close()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """The long waits, and the cases of tests marked `early(case, keys)`, pass while the other tests run."""
    if any("test_long_waits" in item.nodeid for item in request.session.items):
        request.getfixturevalue("waits")
    for item in request.session.items:
        if marker := item.get_closest_marker("early"):
            request.getfixturevalue("crowd").begin_early(*marker.args)
