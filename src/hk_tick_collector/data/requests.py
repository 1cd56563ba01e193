"""A request as the methods of `Store` pass it on: which symbols, which days and where they are, which times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from .days import Source
    from .ranges import Times

Symbols: TypeAlias = "str | Sequence[str] | None"

_SYMBOL: Final = re.compile(r"HK\.[0-9]{5}")
_MEANT: Final = re.compile(r"(?:HK[.:]?)?([0-9]{1,5})(?:[.:]?HK)?")


class Request(NamedTuple):
    """What is read."""

    symbols: Sequence[str]  # empty: all
    sources: tuple[Source, ...]
    times: Times

    @property
    def dates(self) -> tuple[date, ...]:
        """The days that are read."""
        return tuple(market.day_date(source.day) for source in self.sources)

    def __str__(self) -> str:
        if not self.symbols:
            who = "all symbols"
        else:
            who = self.symbols[0] if len(self.symbols) == 1 else f"{len(self.symbols)} symbols"
        days = f"{self.sources[0].name} to {self.sources[-1].name}" if len(self.sources) > 1 else self.sources[0].name
        archived = sum(source.is_archived for source in self.sources)
        return f"{who}, {days}: {len(self.sources)} days, {archived} of them archived"


def read_symbols(symbols: Symbols) -> tuple[str, ...]:
    """The symbols of a request, each once; none for all. UsageError for what is no symbol."""
    if symbols is None:
        return ()
    try:
        given = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    except TypeError:
        raise UsageError(f"symbols={symbols!r} is no symbol and no list of symbols", hint="write HK.00700") from None
    if not given:
        raise UsageError("symbols is an empty list", hint="name symbols like HK.00700, or leave it out for all")
    for each in given:
        if not isinstance(each, str) or not _SYMBOL.fullmatch(each):
            match = _MEANT.fullmatch(str(each).strip().upper())
            meant = f"did you mean HK.{match[1]:0>5}?" if match and int(match[1]) else "a symbol looks like HK.00700"
            raise UsageError(f"{each!r} is not a valid symbol", hint=meant)
    return tuple(dict.fromkeys(given))
