"""A finding: one thing that is wrong, how bad it is, what to type next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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
    """

    code: str
    severity: Severity
    text: str
    remedy: str
    since_ms: int | None = None
    size: int | None = None
