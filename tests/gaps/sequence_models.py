"""Models of a symbol's sequence, including those that do not follow the rule."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY: Final = market.parse_day("20261120")
TEN_S: Final = market.day_start_ms(DAY) // 1000 + 36_000


def _counter(rng: random.Random) -> Iterator[int]:
    return itertools.count(1)


def _steps(rng: random.Random) -> Iterator[int]:
    counter = 0
    while True:
        counter += rng.randint(1, 3)
        yield counter


def _jumps(rng: random.Random) -> Iterator[int]:
    yield from range(1, 6)  # a day that begins with a jump looks like a day whose first ticks were missed
    counter = 5
    while True:
        counter += 1 if rng.random() < 0.95 else rng.randint(10, 900)
        yield counter


def _restarts(rng: random.Random) -> Iterator[int]:
    while True:
        yield from range(1, rng.randint(30, 300))


def _shared(rng: random.Random) -> Iterator[int]:
    counter = rng.randint(1_000, 50_000)
    while True:
        counter += rng.choice((1, 1, 2, 5, 9, 20))
        yield counter


COUNTERS: Final[dict[str, Callable[[random.Random], Iterator[int]]]] = {
    "counter": _counter,
    "steps": _steps,
    "jumps": _jumps,
    "restarts": _restarts,
    "shared": _shared,
}
OTHERS: Final = ("random", "negative", "time", "small")
MODELS: Final = (*COUNTERS, *OTHERS)


class Sequence:
    """The sequences of one symbol: `next(ts_ms)` gives that of its next tick, unique within the day."""

    def __init__(self, model: str, seed: int) -> None:
        self._rng = random.Random(seed)
        self._model = model
        self._counters = COUNTERS[model](self._rng) if model in COUNTERS else itertools.count(1)
        self._used: set[int] = set()

    def next(self, ts_ms: int) -> int:
        """The sequence of a tick of this moment."""
        counter = next(self._counters)
        match self._model:
            case "random":
                seq = self._rng.getrandbits(62)
            case "negative":
                seq = -self._rng.getrandbits(62) - 1
            case "time":
                seq = ts_ms * 1000 + counter
            case "small":
                seq = counter
            case _:
                seq = ts_ms // 1000 << 32 | counter
                while seq in self._used:
                    seq = ts_ms // 1000 << 32 | next(self._counters)
        self._used.add(seq)
        return seq
