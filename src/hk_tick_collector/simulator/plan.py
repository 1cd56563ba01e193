"""What to simulate: plain, checked values. Tests create them; `cli` creates them from arguments."""

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
    """A market to simulate. Raises UsageError for invalid values."""

    symbols: Sequence[str]
    rate: float = 100.0  # mean number of ticks per second of real time, over all symbols, while the market trades
    seed: int = 1
    start_ms: int | None = (
        None  # the start of exchange time, UTC epoch ms; None: exchange time is real time, at any hour
    )
    speed: float = 1.0  # seconds of exchange time per second of real time
    sequence: Mapping[str, str] = field(default_factory=dict)  # models by symbol, "" for all others; see `sequences`
    fills: int = 1  # ticks of one trade; one push has them all
    recorded: Iterable[Tick] | None = None  # these ticks instead of synthetic ones, in the order of their time
    total: int | None = None  # make this many ticks, then only answer requests
    seconds: float | None = None  # make ticks for this much real time, then only answer requests
    wait: bool = False  # start when one client is subscribed to every symbol that is not refused
    within_window: bool = False  # make no ticks while a client would lose some by coming back too late
    truth: Path | None = None
    resume: bool = False  # continue from the ticks in the truth file, as the same exchange

    def __post_init__(self) -> None:
        """Raises an error for the first invalid value."""
        _within("rate", self.rate, 0, MAX_RATE)
        _within("speed", self.speed, 0.001, MAX_SPEED)
        _within("ticks per push", self.fills, 1, MAX_FILLS)
        if self.total is not None:
            _within("total", self.total, 1, 10**12)
        if self.seconds is not None:
            _within("seconds", self.seconds, 0.001, 10**9)
        if self.sequence and self.recorded is not None:
            raise UsageError("a recorded day has its own sequences", hint="leave out --sequence, or the recording")
        if self.resume and (self.truth is None or self.recorded is not None):
            raise UsageError("only synthetic ticks with a truth file can be resumed", hint="leave out the recording")
        if self.start_ms is None and self.speed != 1:
            raise UsageError(
                "a speed needs a simulated clock", hint="also give the day or the time of day to start from"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The simulated OpenD. Raises UsageError for invalid values."""

    host: str = "127.0.0.1"
    port: int = 11111  # 0 takes a free one
    quota: int = 2000  # subscriptions, security × type
    refused: frozenset[str] = frozenset()  # symbols that exist but that OpenD reports as unknown
    rsa_pem: bytes | None = None  # the private key of an OpenD that encrypts
    buffer_bytes: int = 64 << 20  # the most bytes that may wait for a slow client
    min_hold_s: float = 60.0  # how long a subscription must be held

    def __post_init__(self) -> None:
        """Raises an error for the first invalid value."""
        _within("port", self.port, 0, 65535)
        _within("quota", self.quota, 1, _MAX_QUOTA)
        _within("buffer", self.buffer_bytes, 1, 1 << 40)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}", hint=f"give {low} to {high}")
