"""Orders findings: a cause comes before the findings that it explains. Pure.

A full disk makes the writer wait, then rows queue, go to the spool, and lag: four findings with one remedy. So a cause
takes the severity of the findings that it explains, and comes before them. The specs declare causes. Several causes are
separated by their place in the flow of data: a problem near OpenD is not explained by one near the disk.
"""

from __future__ import annotations

from typing import Final

from .finding import Finding, Severity
from .registry import REGISTRY

_BADNESS: Final = (Severity.OK, Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL)


def in_order(findings: list[Finding]) -> list[Finding]:
    """Sorts by severity, the worst first. With equal severity causes come first; otherwise the given order is kept."""

    def place(finding: Finding) -> tuple[int, bool]:
        below = [other for other in findings if explains(finding.code, other.code)]
        explained = any(explains(other.code, finding.code) for other in findings)
        return -max(_BADNESS.index(each.severity) for each in (finding, *below)), explained

    return sorted(findings, key=place)


def worst(findings: list[Finding]) -> Severity:
    """The overall severity: a known critical finding outweighs an unknown state."""
    return max((finding.severity for finding in findings), key=_BADNESS.index, default=Severity.OK)


def explains(cause: str, other: str) -> bool:
    """Whether the finding `other` is explained by the finding `cause`, as either of their specs declares."""
    if cause == other:
        return False
    causing, caused = REGISTRY.spec(cause), REGISTRY.spec(other)
    return bool(
        (causing and any(_is_of(other, code) for code in causing.causes))
        or (caused and any(_is_of(cause, code) for code in caused.caused_by))
    )


def _is_of(code: str, declared: str) -> bool:
    """Matches a code; a pattern that ends in `_` matches every code that begins with it."""
    return code == declared or (declared.endswith("_") and code.startswith(declared))
