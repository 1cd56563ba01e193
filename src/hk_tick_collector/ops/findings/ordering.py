"""Findings in the order in which they are to be read: the cause before what follows from it. Pure.

A disk that is full lets the writer wait, then rows queue, spool, and lag: four findings, and one thing to do. So a
cause takes over the severity of what it explains, and stands before it. What explains what is told by the specs:
causes are told apart by where on the data's way they are, for what is nearer to OpenD does not follow from what is
nearer to the disk.
"""

from __future__ import annotations

from typing import Final

from .finding import Finding, Severity
from .registry import REGISTRY

_BADNESS: Final = (Severity.OK, Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL)


def in_order(findings: list[Finding]) -> list[Finding]:
    """The one to act on first; of equal ones the causes, then as they came."""

    def place(finding: Finding) -> tuple[int, bool]:
        below = [other for other in findings if explains(finding.code, other.code)]
        explained = any(explains(other.code, finding.code) for other in findings)
        return -max(_BADNESS.index(each.severity) for each in (finding, *below)), explained

    return sorted(findings, key=place)


def worst(findings: list[Finding]) -> Severity:
    """The severity of the whole: what is known to be critical outweighs what is not known."""
    return max((finding.severity for finding in findings), key=_BADNESS.index, default=Severity.OK)


def explains(cause: str, other: str) -> bool:
    """Whether a finding of the code `other` follows from one of the code `cause`, as either of them declares."""
    if cause == other:
        return False
    causing, caused = REGISTRY.spec(cause), REGISTRY.spec(other)
    return bool(
        (causing and any(_is_of(other, code) for code in causing.causes))
        or (caused and any(_is_of(cause, code) for code in caused.caused_by))
    )


def _is_of(code: str, declared: str) -> bool:
    """A code that ends in `_` stands for all that begin so."""
    return code == declared or (declared.endswith("_") and code.startswith(declared))
