"""What to simulate: plain values, checked. Tests build one; `cli` builds one from arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.model import Tick

MAX_RATE: Final = 1_000_000
MAX_SPEED: Final = 10_000
MAX_FILLS: Final = 100
_MAX_QUOTA: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A market to simulate. Raises UsageError for values that cannot work."""

    symbols: Sequence[str]
    rate: float = 100.0  # mean of ticks per second of wall time, over all symbols, while the market trades
    seed: int = 1
    start_ms: int | None = None  # where exchange time begins, UTC epoch ms; None: it is wall time, at any hour
    speed: float = 1.0  # seconds of exchange time per second of wall time
    sequence: Mapping[str, str] = field(default_factory=dict)  # models by symbol, "" for all others; see `sequences`
    fills: int = 1  # ticks of one trade, which one push carries
    recorded: Iterable[Tick] | None = None  # these ticks instead of made ones, in the order of their time
    total: int | None = None  # make so many ticks, then only serve
    seconds: float | None = None  # make ticks for so long in wall time, then only serve
    wait: bool = False  # begin once one client is subscribed to every symbol that is not refused
    truth: Path | None = None
    resume: bool = False  # go on from what the truth file holds already, as the same exchange

    def __post_init__(self) -> None:
        """Names the first value that cannot work."""
        _within("rate", self.rate, 0, MAX_RATE)
        _within("speed", self.speed, 0.001, MAX_SPEED)
        _within("ticks per push", self.fills, 1, MAX_FILLS)
        if self.total is not None:
            _within("total", self.total, 1, 10**12)
        if self.seconds is not None:
            _within("seconds", self.seconds, 0.001, 10**9)
        if self.sequence and self.recorded is not None:
            raise UsageError("a recorded day has sequences of its own", hint="leave out --sequence, or the recording")
        if self.resume and (self.truth is None or self.recorded is not None):
            raise UsageError("only made ticks with a truth file can be resumed", hint="leave out the recording")
        if self.start_ms is None and self.speed != 1:
            raise UsageError(
                "a speed needs a simulated clock", hint="give the day or the time of day to start from too"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The OpenD that serves it. Raises UsageError for values that cannot work."""

    host: str = "127.0.0.1"
    port: int = 11111  # 0 takes a free one
    quota: int = 2000  # subscriptions, security × type
    refused: frozenset[str] = frozenset()  # symbols that exist but that OpenD does not know
    rsa_pem: bytes | None = None  # the private key of an OpenD that encrypts
    buffer_bytes: int = 64 << 20  # what may wait for a client that does not read
    min_hold_s: float = 60.0  # how long a subscription must be held

    def __post_init__(self) -> None:
        """Names the first value that cannot work."""
        _within("port", self.port, 0, 65535)
        _within("quota", self.quota, 1, _MAX_QUOTA)
        _within("buffer", self.buffer_bytes, 1, 1 << 40)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}", hint=f"give {low} to {high}")
