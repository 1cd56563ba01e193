"""Faulty answers to GetTicker: what each fault does to the entries of a correct answer, or to the request.

Input: the desk, and the symbols and arguments of a step. Output: a change of the Conditions. The truth file is not
affected: ticks missing from an answer were made all the same.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from hk_tick_collector.simulator.gateway.conditions import Reply, ReplyFault, TickerChange, TickerFate

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from hk_tick_collector.simulator.gateway.answers import Desk

_TIMESTAMP: Final = struct.Struct("<d")  # an entry ends with it, see encode.py
_SAMPLE_SHARE: Final = 0.5

T = TypeVar("T")
_Entries: TypeAlias = "list[bytes]"


def _partial(desk: Desk, rng: random.Random, entries: _Entries, rows: float) -> _Entries:
    del desk, rng
    return entries[-int(rows) :]


def _sample(desk: Desk, rng: random.Random, entries: _Entries, value: float) -> _Entries:
    del desk, value
    return [entry for entry in entries if rng.random() < _SAMPLE_SHARE]


def _without_latest(desk: Desk, rng: random.Random, entries: _Entries, seconds: float) -> _Entries:
    del rng
    until_s = desk.clock.now_ms() / 1000 - seconds
    return [entry for entry in entries if _TIMESTAMP.unpack(entry[-_TIMESTAMP.size :])[0] < until_s]


def _unordered(desk: Desk, rng: random.Random, entries: _Entries, value: float) -> _Entries:
    del desk, value
    return rng.sample(entries, len(entries))


def _doubled(desk: Desk, rng: random.Random, entries: _Entries, value: float) -> _Entries:
    del desk, rng, value
    return [entry for entry in entries for _ in range(2)]


def _empty(desk: Desk, rng: random.Random, entries: _Entries, value: float) -> _Entries:
    del desk, rng, entries, value
    return []


_CHANGES: Final[dict[str, Callable[[Desk, random.Random, _Entries, float], _Entries]]] = {
    "ticker-partial": _partial,
    "ticker-sample": _sample,
    "ticker-without-latest": _without_latest,
    "ticker-unordered": _unordered,
    "ticker-doubled": _doubled,
    "ticker-empty": _empty,
}
_IN_WINDOW: Final = frozenset({"ticker-without-latest"})
_OTHER_SYMBOL: Final = "ticker-other-symbol"
_FATES: Final = {"ticker-refused": Reply.REFUSED, "ticker-never": Reply.NONE, "ticker-late": Reply.SLOW}
TICKER_FAULTS: Final = (*_CHANGES, _OTHER_SYMBOL, *_FATES)


def begin(
    name: str, desk: Desk, rng: random.Random, places: frozenset[int], value: float, left: int | None
) -> Callable[[], None]:
    """Begins one of TICKER_FAULTS and returns what ends it; `value` is rows or seconds, `left` the answers."""
    conditions = desk.conditions
    if name in _FATES:
        fate = TickerFate(places, ReplyFault(_FATES[name], left, value))
        return _put(conditions.ticker_fates, name, fate)
    if name == _OTHER_SYMBOL:
        return _put(conditions.ticker_changes_by, name, TickerChange(places, _another(desk), left=left))
    change = _CHANGES[name]

    def changed(place: int, entries: _Entries) -> tuple[int, _Entries]:
        return place, change(desk, rng, entries, value)

    return _put(conditions.ticker_changes_by, name, TickerChange(places, changed, name in _IN_WINDOW, left))


def _put(where: dict[str, T], name: str, fault: T) -> Callable[[], None]:
    where[name] = fault

    def end() -> None:
        if where.get(name) is fault:
            del where[name]

    return end


def _another(desk: Desk) -> Callable[[int, _Entries], tuple[int, _Entries]]:
    """The ticks of the next security, under its name; as many, and at least one."""

    def change(place: int, entries: _Entries) -> tuple[int, _Entries]:
        other = (place + 1) % len(desk.securities)
        return other, desk.tape.latest(other, len(entries) or 1)

    return change
