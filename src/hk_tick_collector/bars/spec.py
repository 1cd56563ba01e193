"""What bars are asked for: by time, ticks, volume or turnover, and which ticks form prices. Needs no extra."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError

USUAL: Final = ("1s", "5s", "10s", "15s", "30s", "1m", "5m", "10m", "15m", "30m", "1h", "1d")
PRICES: Final = ("forming", "all")
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": market.DAY_MS}
_MOST: Final = 2**62  # no day has so many ticks, shares or HKD; sums of two such values fit in 64 bits


@dataclass(frozen=True, slots=True)
class BarSpec:
    """Exactly one of `every`, `ticks`, `volume` and `turnover` is given; UsageError otherwise, and for a bad value.

    `every`: the length of a bar, like `30s`, `1m`, `2h`; it must divide a day. `ticks`, `volume` (shares) and
    `turnover` (HKD): a bar ends with the tick that reaches this many. `prices`: `forming` takes open, high, low,
    close and vwap from AUTO_MATCH, INTER_AUTO_MATCH and AUCTION, `all` from every known type but LATE.
    """

    every: str | None = None
    ticks: int | None = None
    volume: int | None = None
    turnover: float | None = None
    prices: str = "forming"

    def __post_init__(self) -> None:
        given = [name for name in ("every", "ticks", "volume", "turnover") if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} exclude each other" if given else "no length of a bar is given"
            raise UsageError(found, hint="give one of every (like 1m), ticks, volume and turnover")
        if self.every is not None:
            length_ms(self.every)
        for name, value in (("ticks", self.ticks), ("volume", self.volume), ("turnover", self.turnover)):
            if value is not None:
                _demand_count(name, value)
        if self.prices not in PRICES:
            raise UsageError(f"prices {self.prices} is neither forming nor all", hint="forming leaves out odd lots")

    @property
    def every_ms(self) -> int | None:
        """The length of a time bar in milliseconds; None for other bars."""
        return None if self.every is None else length_ms(self.every)


def length_ms(text: str) -> int:
    """Milliseconds of a length like `30s`, `1m`, `2h` or `1d`. UsageError unless it divides a day into equal bars."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", str(text), re.ASCII)
    if not found:
        raise UsageError(f"every {text} is not a length of time", hint=f"write one like {' '.join(USUAL)}")
    length = int(found[1]) * _UNITS_MS[found[2]]
    if length > market.DAY_MS or market.DAY_MS % length:
        raise UsageError(f"every {text} does not divide a day into equal bars", hint=f"usual are {' '.join(USUAL)}")
    return length


def _demand_count(name: str, value: float) -> None:
    kinds = (int, float) if name == "turnover" else (int,)
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value <= _MOST:  # NaN is not in the range
        kind = "a number" if name == "turnover" else "a whole number"
        raise UsageError(f"{name} {value} is not {kind} above 0", hint="for example 1000")
