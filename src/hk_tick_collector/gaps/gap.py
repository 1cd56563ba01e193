"""What is missing of one symbol: a contiguous gap, or a doubt. A value that the tracker works on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OpenGap:
    """Missing ticks of one symbol with counters `first` to `last`; their sequences lie within from_seq and to_seq.

    With `first` 0 it is a doubt: a stretch of time in which an unknown number of ticks may be missing. Without the rule
    a doubt has no sequences as bounds, only times.
    """

    id: int
    first: int
    last: int
    from_seq: int | None
    to_seq: int | None
    from_ts_ms: int
    to_ts_ms: int
    cause: str
    opened_ms: int
    tries: int = 0  # answers of OpenD that should have told of it, and did not
    tried_s: float = 0.0  # when the last of them came (monotonic)
    contradicted_s: float | None = None  # when an answer first showed its neighbours side by side (monotonic)
    final: bool = False  # OpenD can no longer give these ticks
    lost_ms: int = 0  # when that was first seen; 0 when it never was
    written: bool = False  # the day file knows this gap

    @property
    def missing(self) -> int | None:
        """How many ticks are missing; None for a doubt."""
        return self.last - self.first + 1 if self.first else None


def first_counter(gap: OpenGap) -> int:
    """The key by which the gaps of a symbol are ordered."""
    return gap.first
