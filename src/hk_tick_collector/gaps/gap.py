"""One gap of one symbol, of known or of unknown size. The tracker changes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OpenGap:
    """Missing ticks of one symbol with counters `first` to `last`. Their sequences lie between from_seq and to_seq.

    With `first` 0 it is a doubt: a time range in which an unknown number of ticks may be missing. For a symbol without
    the rule a doubt has only times as bounds, and no sequences.
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
    tries: int = 0  # answers of OpenD that should have contained its ticks, and did not
    tried_s: float = 0.0  # when the last of these answers arrived (monotonic)
    contradicted_s: float | None = None  # first answer with the ticks before and after it, but not its own (monotonic)
    final: bool = False  # OpenD can no longer return these ticks
    lost_ms: int = 0  # when that was first found, UTC epoch ms; 0 if it never was
    written: bool = False  # the day file has a row for this gap

    @property
    def missing(self) -> int | None:
        """How many ticks are missing; None for a doubt."""
        return self.last - self.first + 1 if self.first else None


def first_counter(gap: OpenGap) -> int:
    """The sort key for the gaps of a symbol."""
    return gap.first
