"""A finding: one thing that is wrong, how bad it is, what to type next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hk_tick_collector.text import plain


class Severity(IntEnum):
    """As the exit codes of `status`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `code` names it for machines, `remedy` is what to type next; empty: nothing to type.

    `since_ms` is when it began (UTC epoch ms), where that is known. `size` grows with what is lost; it does not fall
    while the service runs, and is None where nothing is counted.

    Text and remedy are one line each and fit to be shown, whatever words of others are in them.
    """

    code: str
    severity: Severity
    text: str
    remedy: str
    since_ms: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        """Cleans what others said."""
        object.__setattr__(self, "text", plain(self.text))
        object.__setattr__(self, "remedy", plain(self.remedy))
