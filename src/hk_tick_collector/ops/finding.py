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
    """One thing that is wrong: `code` names it for machines, `remedy` is what to type or do next."""

    code: str
    severity: Severity
    text: str
    remedy: str
