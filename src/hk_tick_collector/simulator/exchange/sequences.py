"""The sequences of the simulated exchange: by the rule that the vendor's samples suggest, or against it.

Input: the nth tick of a symbol on a day, and its time. Output: its sequence, unique for symbol and day. The same seed,
day and time give the same sequences. MODELS lists the models; a symbol without one has `counter`.
"""

from __future__ import annotations

import difflib
import random
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Protocol

from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.market import day_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .made import MadeRow

COUNTER: Final = "counter"
MODELS: Final = {
    COUNTER: "second << 32 | a counter that grows by one",
    "steps": "the counter grows by 1 to 3",
    "jumps": "the counter grows by one, and once in 50 ticks by 10 to 5,000 more",
    "restarts": "the counter restarts at 1, once in ten minutes on average and whenever OpenD is started again",
    "random": "63-bit numbers in random order",
    "shared": "one counter for all symbols of this model, after the second",
    "small": "1, 2, 3 and so on, without the second",
    "falling": "2**40 and downwards, without the second",
    "negative": "negative numbers in random order",
    "time": "microseconds since the epoch, rising",
    "time-ms-shared": "milliseconds since the epoch, rising over all symbols of this model",
}
_EVERY_SYMBOL: Final = ""
_COUNTER_MASK: Final = 0xFFFF_FFFF
_JUMP_EVERY: Final = 50  # ticks
_JUMP_LEAST, _JUMP_MOST = 10, 5_000
_RESTART_EVERY_S: Final = 600
_MASK_63: Final = (1 << 63) - 1
_FALLS_FROM: Final = 1 << 40


def parse_sequence(text: str) -> dict[str, str]:
    """`random`, `HK.00005=random,HK.00700=steps` or both → symbol → model, "" for all other symbols. UsageError."""
    models: dict[str, str] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        symbol, equals, model = word.rpartition("=")
        if model not in MODELS or bool(equals) != bool(symbol):
            near = difflib.get_close_matches(model, MODELS, n=1)
            raise UsageError(
                f"there is no sequence model {model!r}{f', did you mean {near[0]}' if near else ''}",
                hint=f"allowed are {', '.join(MODELS)}, also by symbol like HK.00700=steps",
            )
        models[symbol] = model
    return models


class Seen:
    """The sequences that an earlier process used: their number, the lowest, the highest."""

    __slots__ = ("count", "highest", "lowest")

    def __init__(self, seq: int) -> None:
        self.highest = self.lowest = seq
        self.count = 1

    def add(self, seq: int) -> None:
        """Counts one more tick."""
        self.highest, self.lowest = max(self.highest, seq), min(self.lowest, seq)
        self.count += 1


class Numbering(Protocol):
    """The sequences of one symbol, or of all symbols that share one."""

    def number(self, nth: int, ts_ms: int) -> int:
        """The sequence of the nth tick of its day, at that time."""
        ...

    def take_back(self, ts_ms: int) -> None:
        """Takes back the latest tick of that day."""
        ...

    def restart_counters(self, now_ms: int) -> None:
        """Restarts the counter at 1 with the next second; CollectorError if sequences would repeat."""
        ...

    def day_of(self, seq: int, ts_ms: int | None) -> int | None:
        """The day of a sequence. None if the sequence does not contain the day and the time is unknown."""
        ...

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        """Continues after the sequences of a day, and those of unknown days; returns how many ticks that day counts."""
        ...


class Sequences:
    """Gives ticks their sequences. UsageError for a symbol with a model that is not simulated."""

    def __init__(self, symbols: Sequence[str], models: Mapping[str, str], seed: int) -> None:
        unknown = models.keys() - {_EVERY_SYMBOL, *symbols}
        if unknown:
            raise UsageError(f"{min(unknown)} has a sequence model but is not simulated", hint="add it to the symbols")
        shared: dict[str, Numbering] = {"shared": _Shared(seed), "time-ms-shared": _Time(1)}
        default = models.get(_EVERY_SYMBOL, COUNTER)
        self._seed = seed
        self._symbols = symbols
        self._numberings: dict[int, Numbering] = {}  # by position in the listing; the others keep the market's counter
        for place, symbol in enumerate(symbols):
            model = models.get(symbol, default)
            if model != COUNTER:
                self._numberings[place] = shared.get(model) or _numbering(model, seed, symbol)

    def number(self, ticks: list[MadeRow]) -> None:
        """Replaces the market's own sequences, which are `second << 32 | nth of the day`, in place."""
        numberings = self._numberings
        if not numberings:
            return
        for index, (place, seq, ts_ms, price, volume, turnover, direction, tick_type) in enumerate(ticks):
            if numbering := numberings.get(place):
                own = numbering.number(seq & _COUNTER_MASK, ts_ms)
                ticks[index] = (place, own, ts_ms, price, volume, turnover, direction, tick_type)

    def take_back(self, ticks: Iterable[MadeRow]) -> None:
        """Takes back the last ticks."""
        for place, _, ts_ms, *_ in ticks if self._numberings else ():
            if numbering := self._numberings.get(place):
                numbering.take_back(ts_ms)

    def restart_counters(self, places: Iterable[int], now_ms: int) -> None:
        """Restarts the counters of these symbols at 1 with the next second; CollectorError if that is impossible."""
        for place in sorted(places):
            numbering = self._numberings.get(place)
            if numbering is None:
                numbering = self._numberings[place] = _numbering(COUNTER, self._seed, self._symbols[place])
            numbering.restart_counters(now_ms)

    def is_plain(self, place: int) -> bool:
        """Whether the sequences of a symbol only number its ticks, in the same way on each day."""
        return isinstance(self._numberings.get(place), _Small | _Falling)

    def resume(self, rows: Iterable[tuple[int, int, int | None]]) -> dict[int, dict[int, int]]:
        """Continues after these (position, sequence, time if known); returns day → position → ticks so far."""
        seen: dict[tuple[Numbering, int | None], Seen] = {}
        places: dict[int, Numbering] = {}
        for place, seq, ts_ms in rows:
            numbering = places.get(place)
            if numbering is None:
                numbering = places[place] = self._numberings.get(place) or _Counter(0)
            key = numbering, numbering.day_of(seq, ts_ms)
            if before := seen.get(key):
                before.add(seq)
            else:
                seen[key] = Seen(seq)
        counts: dict[int, dict[int, int]] = {}
        for (numbering, day), own in seen.items():
            if day is not None:
                count = numbering.resume(day, own, seen.get((numbering, None)))
                counts.setdefault(day, {}).update((place, count) for place in places if places[place] is numbering)
        return counts


class _DayCount:
    """The state of a counter on one day."""

    __slots__ = ("anew", "base", "nth", "second")

    def __init__(self) -> None:
        self.nth = 0  # ticks so far
        self.base = 0  # of these, those before the counter restarted
        self.second = -1  # of the latest tick
        self.anew = False  # whether the counter restarts with the next second


class _Counter:
    """`second << 32 | counter`. Always rising: a counter restarts in a second that has no tick yet."""

    def __init__(self, key: int, *, restarts: bool = False) -> None:
        self._key = key
        self._restarts = restarts
        self._days: dict[int, _DayCount] = {}

    def number(self, nth: int, ts_ms: int) -> int:
        state, second = self._day(ts_ms), ts_ms // 1000
        nth = state.nth = self._nth(state, nth)
        if second > state.second:
            if state.anew or (self._restarts and _mix(self._key + second) % _RESTART_EVERY_S == 0):
                state.base, state.anew = nth - 1, False
            state.second = second
        state.base = min(state.base, nth - 1)  # after ticks were taken back
        return second << 32 | self.value(nth - state.base)

    def take_back(self, ts_ms: int) -> None:
        self._day(ts_ms).nth -= 1

    def restart_counters(self, now_ms: int) -> None:
        state = self._day(now_ms)
        state.anew, state.second = True, max(state.second, now_ms // 1000)

    def day_of(self, seq: int, ts_ms: int | None) -> int | None:
        del ts_ms  # a wrong date does not change a tick's place in the order
        return day_number((seq >> 32) * 1000)

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        del dayless
        last, state = seen.highest, self._days.setdefault(day, _DayCount())
        state.second, state.anew = last >> 32, self._restarts
        state.nth, state.base = self.nth(last & _COUNTER_MASK), 0
        return state.nth

    def value(self, nth: int) -> int:
        """The counter of the nth tick since its restart."""
        return nth

    def nth(self, value: int) -> int:
        """The inverse of `value`."""
        return value

    def _nth(self, state: _DayCount, nth: int) -> int:
        del state
        return nth

    def _day(self, ts_ms: int) -> _DayCount:
        day = day_number(ts_ms)
        return self._days.get(day) or self._days.setdefault(day, _DayCount())


class _Shared(_Counter):
    """One counter for several symbols: the number of a tick within its own symbol is not used."""

    def _nth(self, state: _DayCount, nth: int) -> int:
        del nth
        return state.nth + 1


class _Steps(_Counter):
    """Grows by 1 to 3 each time: 2n, plus one at random."""

    def value(self, nth: int) -> int:
        return 2 * nth - 1 + (_mix(self._key + nth) & 1)

    def nth(self, value: int) -> int:
        return (value + 1) // 2


class _Jumps(_Counter):
    """In each block of ticks one jump, at a random place and of a random size."""

    def __init__(self, key: int) -> None:
        super().__init__(key)
        self._before = [0]  # the sum of the jumps before each block

    def value(self, nth: int) -> int:
        block, place = divmod(nth - 1, _JUMP_EVERY)
        while len(self._before) <= block:
            self._before.append(self._before[-1] + self._jump(len(self._before) - 1)[1])
        jumps_at, size = self._jump(block)
        return nth + self._before[block] + (size if place >= jumps_at else 0)

    def nth(self, value: int) -> int:
        return bisect_left(range(1, value + 1), value, key=self.value) + 1

    def _jump(self, block: int) -> tuple[int, int]:
        chance = _mix(self._key + block)
        return chance % _JUMP_EVERY, _JUMP_LEAST + (chance >> 16) % (_JUMP_MOST - _JUMP_LEAST + 1)


class _Plain:
    """Numbers without a second before them; the day is that of the tick's time."""

    def __init__(self, key: int) -> None:
        self._key = key

    def number(self, nth: int, ts_ms: int) -> int:
        raise NotImplementedError

    def take_back(self, ts_ms: int) -> None:
        del ts_ms

    def restart_counters(self, now_ms: int) -> None:
        del now_ms
        raise CollectorError("its sequences would not be unique after a restart")

    def day_of(self, seq: int, ts_ms: int | None) -> int | None:
        del seq
        return None if ts_ms is None else day_number(ts_ms)

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        del day
        return seen.count + (dayless.count if dayless else 0)


class _Small(_Plain):
    def number(self, nth: int, ts_ms: int) -> int:
        del ts_ms
        return nth

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        del day
        return max(seen.highest, dayless.highest if dayless else 0)


class _Falling(_Plain):
    def number(self, nth: int, ts_ms: int) -> int:
        del ts_ms
        return _FALLS_FROM - nth

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        del day
        return _FALLS_FROM - min(seen.lowest, dayless.lowest if dayless else _FALLS_FROM)


class _Random(_Plain):
    def number(self, nth: int, ts_ms: int) -> int:
        return _mix(self._key + (day_number(ts_ms) << 40) + nth)


class _Negative(_Random):
    def number(self, nth: int, ts_ms: int) -> int:
        return -1 - super().number(nth, ts_ms)


class _Time(_Plain):
    """The time of the tick, in units of 1/`units` ms and random within the millisecond. It rises with each tick."""

    def __init__(self, units: int, key: int = 0) -> None:
        super().__init__(key)
        self._units = units
        self._last: dict[int, int] = {}  # by day

    def number(self, nth: int, ts_ms: int) -> int:
        day = day_number(ts_ms)
        moment = ts_ms * self._units + _mix(self._key + nth) % self._units
        self._last[day] = moment = max(moment, self._last.get(day, 0) + 1)
        return moment

    def resume(self, day: int, seen: Seen, dayless: Seen | None) -> int:
        self._last[day] = max(seen.highest, dayless.highest if dayless else 0)
        return seen.count


def _numbering(model: str, seed: int, symbol: str) -> Numbering:
    key = random.Random(f"{seed}/{symbol}/{model}").getrandbits(62)
    match model:
        case "steps":
            return _Steps(key)
        case "jumps":
            return _Jumps(key)
        case "random":
            return _Random(key)
        case "small":
            return _Small(key)
        case "falling":
            return _Falling(key)
        case "negative":
            return _Negative(key)
        case "time":
            return _Time(1000, key)
        case _:
            return _Counter(key, restarts=model == "restarts")


def _mix(number: int) -> int:
    """Another number of 63 bits; different inputs give different results (the finalizer of splitmix64, 63 bits)."""
    number = (number & _MASK_63) * 0x9E37_79B9_7F4A_7C15 & _MASK_63
    number = (number ^ number >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK_63
    number = (number ^ number >> 27) * 0x94D0_49BB_1331_11EB & _MASK_63
    return number ^ number >> 31
