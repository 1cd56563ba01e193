"""Live state + what `status` found → the findings of this second, in order. Pure.

The live state is judged every second. What `status` alone finds, in the day file, the settings and on the host, is some
seconds older; it is left out as soon as it no longer fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.ops.findings import health, remedies
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.not_reporting import is_silent
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.service import LIVE_STATE

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.health import Limits

    from .live_file import Read
    from .site import Examination


def judged(read: Read, examined: Examination | None, now_ms: int, limits: Limits) -> list[Finding]:
    """The findings, the one to act on first at the head, as `status` would print them now."""
    silent = read.error is not None or is_silent(read.live, now_ms)
    fits = examined is not None and examined.silent == silent
    if silent and examined and fits:  # it has looked at the host as well: process, unit, settings, disk
        return examined.findings
    own = [_unread(read)] if read.error else health.check(read.live, now_ms, limits)
    if examined and fits:
        own += [each for each in examined.findings if _by_status_alone(each.code)]
    return health.in_order(own)


def _by_status_alone(code: str) -> bool:
    spec = REGISTRY.spec(code)
    return spec is None or spec.when is None


def _unread(read: Read) -> Finding:
    hint = read.error.hint if read.error else ""
    return LIVE_STATE.found(Severity.UNKNOWN, remedy=remedies.for_hint(hint, remedies.DOCTOR), error=str(read.error))
