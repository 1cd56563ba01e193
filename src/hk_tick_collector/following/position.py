"""A position: everything that was delivered, as a value and as a text that can be saved.

It names the delivered ticks as stretches of sequences, a few numbers for each symbol and day. So a stream that begins
at a position delivers exactly the others, also those that were backfilled meanwhile. Finished days are left out.
"""

from __future__ import annotations

import json
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError
from hk_tick_collector.jetstream.anchor import Anchor

from .bound import Bound
from .delivered import Delivered

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION: Final = 1
_INT64: Final = 2**63
_HINT: Final = "give back what str(batch.position) returned, unchanged"


class DayPosition(NamedTuple):
    """What of one day was delivered."""

    delivered: Mapping[str, Delivered]  # by symbol
    open_gaps: Mapping[int, int | None]  # told gaps by their id, and how many ticks each missed
    is_partial: bool = False  # of a stream of new ticks from a server: what came before is not missing


class Position(NamedTuple):
    """Where a stream is. `str(position)` is the text to save; `stream(start=...)` takes either."""

    symbols: tuple[str, ...]  # of the stream; empty: all
    bound: Bound  # days before its day are finished
    days: Mapping[int, DayPosition]  # by day number
    at: Anchor | None = None  # of a stream from a server: the last message of which everything was delivered

    def __str__(self) -> str:
        bound = self.bound
        days = {
            market.day_name(number): {
                "delivered": {
                    symbol: [each.ticks, *chain.from_iterable(zip(each.firsts, each.lasts, strict=True))]
                    for symbol, each in day.delivered.items()
                },
                "gaps": {str(gap): missing for gap, missing in day.open_gaps.items()},
                **({"partial": True} if day.is_partial else {}),
            }
            for number, day in self.days.items()
        }
        document: dict[str, object] = {
            "position": _VERSION,
            "symbols": self.symbols,
            "from": [market.day_name(bound.day), bound.from_ms, bound.from_seq],
            "days": days,
        }
        if self.at is not None:
            document["at"] = list(self.at)
        return json.dumps(document, separators=(",", ":"))


def read_position(text: str) -> Position:
    """The position that a text names. UsageError for any other text."""
    try:
        document = json.loads(text)
        if document["position"] != _VERSION:
            _refuse(f"it has version {document['position']!r}, and this release reads {_VERSION}")
        day, from_ms, from_seq = document["from"]
        bound = Bound(market.parse_day(day), _whole_or_none(from_ms), _whole_or_none(from_seq))
        symbols = tuple(map(_text, document["symbols"]))
        days = {market.parse_day(name): _day(each) for name, each in document["days"].items()}
        at = document.get("at")
        anchor = None if at is None else Anchor(_whole(at[0]), _text(at[1]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        _refuse("it is damaged")
    return Position(symbols, bound, days, anchor)


def _day(document: Any) -> DayPosition:
    delivered = {_text(symbol): _delivered(numbers) for symbol, numbers in document["delivered"].items()}
    gaps = {_whole(int(gap)): _whole_or_none(missing) for gap, missing in document["gaps"].items()}
    return DayPosition(delivered, gaps, document.get("partial") is True)


def _delivered(numbers: Any) -> Delivered:
    ticks, *ends = map(_whole, numbers)
    found = Delivered(tuple(ends[::2]), tuple(ends[1::2]), ticks)
    if (
        len(ends) % 2
        or ticks < len(found.firsts)
        or any((low > high) if at % 2 == 0 else (low >= high) for at, (low, high) in enumerate(pairwise(ends)))
    ):
        raise ValueError
    return found


def _whole(value: Any) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise ValueError
    return value


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _refuse(why: str) -> NoReturn:
    raise UsageError(f"start is not a position of a stream: {why}", hint=_HINT) from None
