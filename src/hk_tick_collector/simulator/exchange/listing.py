"""The listed securities: codes, names, board lots, closing prices, and their shares of the market's trades.

Input: symbols and a seed. Output: one Security for each symbol in the given order, the same for the same seed.
Activity follows Zipf's law in that order: the second symbol trades half as often as the first.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import UsageError

from .prices import LADDER, level_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_SYMBOLS: Final = 5000
_SYMBOL: Final = re.compile(r"HK\.\d{5}", re.ASCII)

# The most active names come first. Prices have a realistic size but are not those of any day.
_WELL_KNOWN: Final = (
    ("00700", "TENCENT", 100, 620.0),
    ("00981", "SMIC", 500, 72.5),
    ("09988", "BABA-W", 100, 160.0),
    ("03690", "MEITUAN-W", 100, 102.0),
    ("01810", "XIAOMI-W", 200, 44.5),
    ("00005", "HSBC HOLDINGS", 400, 111.0),
    ("00939", "CCB", 1000, 7.82),
    ("01299", "AIA", 200, 77.0),
    ("00388", "HKEX", 100, 430.0),
    ("02318", "PING AN", 500, 56.5),
    ("01398", "ICBC", 1000, 6.12),
    ("00941", "CHINA MOBILE", 500, 86.0),
    ("09618", "JD-SW", 50, 128.0),
    ("01211", "BYD COMPANY", 500, 101.0),
    ("03988", "BANK OF CHINA", 1000, 4.48),
    ("00883", "CNOOC", 1000, 20.5),
    ("01024", "KUAISHOU-W", 100, 72.0),
    ("09999", "NTES-S", 100, 225.0),
    ("02020", "ANTA SPORTS", 200, 88.0),
    ("02269", "WUXI BIO", 500, 35.5),
    ("00016", "SHK PPT", 500, 96.0),
    ("00001", "CKH HOLDINGS", 500, 52.0),
    ("00002", "CLP HOLDINGS", 500, 67.0),
    ("00003", "HK & CHINA GAS", 1000, 7.05),
    ("00011", "HANG SENG BANK", 100, 118.0),
    ("00027", "GALAXY ENT", 1000, 39.5),
    ("00175", "GEELY AUTO", 1000, 18.9),
    ("00267", "CITIC", 1000, 11.6),
    ("00992", "LENOVO GROUP", 2000, 10.4),
    ("02899", "ZIJIN MINING", 2000, 24.6),
)
_KNOWN: Final = {f"HK.{code}": (name, lot, price) for code, name, lot, price in _WELL_KNOWN}
_LOTS: Final = (100, 200, 400, 500, 1000, 2000, 4000, 5000, 10_000)
_LOT_VALUE_HKD: Final = 4_000  # the approximate price of a board lot of a less known security


@dataclass(frozen=True, slots=True)
class Security:
    """One listed share."""

    symbol: str  # HK.00700
    code: str  # 00700
    name: str
    lot: int  # shares in a board lot
    last_close: float  # HKD, a price of the spread table
    weight: float  # relative number of trades


def parse_symbols(words: Iterable[str]) -> list[str]:
    """The symbols in `words`, in order and once each; UsageError for the first invalid one."""
    symbols: dict[str, None] = {}
    for word in words:
        symbol = word.strip()
        if not symbol:
            continue
        if not _SYMBOL.fullmatch(symbol):
            raise UsageError(f"{symbol!r} is not a Hong Kong symbol", hint="write it like HK.00700")
        symbols[symbol] = None
    if not symbols:
        raise UsageError("there is no symbol to simulate", hint="give a count, or symbols like HK.00700,HK.00981")
    if len(symbols) > MAX_SYMBOLS:
        raise UsageError(f"{len(symbols)} symbols are more than the {MAX_SYMBOLS} that can be simulated")
    return list(symbols)


def default_symbols(number: int) -> list[str]:
    """The first `number` symbols of the simulated market: the well-known ones, then 00004, 00006, … in order."""
    if not 1 <= number <= MAX_SYMBOLS:
        raise UsageError(f"{number} symbols cannot be simulated", hint=f"give 1 to {MAX_SYMBOLS}")
    return list(islice(_board(), number))


def listing(symbols: Sequence[str], seed: int) -> list[Security]:
    """One Security for each of `symbols`, in order; `seed` decides the unknown data of the less known ones."""
    return [_security(symbol, rank, seed) for rank, symbol in enumerate(symbols, start=1)]


def _board() -> Iterator[str]:
    yield from _KNOWN
    yield from (symbol for number in count(1) if (symbol := f"HK.{number:05d}") not in _KNOWN)


def _security(symbol: str, rank: int, seed: int) -> Security:
    code = symbol.removeprefix("HK.")
    if known := _KNOWN.get(symbol):
        name, lot, price = known
    else:
        rng = random.Random(f"{seed}/{symbol}")
        price = min(max(rng.lognormvariate(1.2, 1.3), 0.05), 900.0)
        lot = min(_LOTS, key=lambda lot: abs(lot * price - _LOT_VALUE_HKD))
        name = f"COMPANY {code}"
    return Security(symbol, code, name, lot, LADDER[level_of(price)], 1.0 / rank)
