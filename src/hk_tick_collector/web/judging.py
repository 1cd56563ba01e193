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
from hk_tick_collector.ops.live.status import STATUS_NAME

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.health import Limits

    from .live_file import Read
    from .site import Examination


def judged(read: Read, examined: Examination | None, now_ms: int, limits: Limits) -> list[Finding]:
    """The findings, the one to act on first at the head, as `status` would print them now."""
    silent = no_report(read, now_ms)
    fits = examined is not None and examined.silent == silent
    if silent and examined and fits:  # it has looked at the host as well: process, unit, settings, disk
        return examined.findings
    own = [_unread(read)] if read.error or read.is_first else health.check(read.live, now_ms, limits)
    if examined and fits:
        own += [each for each in examined.findings if _by_status_alone(each.code)]
    return health.in_order(own)


def no_report(read: Read, now_ms: int) -> bool:
    """Whether no service reports, as far as could be read."""
    return read.is_first or read.error is not None or is_silent(read.live, now_ms)


def _by_status_alone(code: str) -> bool:
    spec = REGISTRY.spec(code)
    return spec is None or spec.when is None


def _unread(read: Read) -> Finding:
    if read.error is None:
        remedy, error = remedies.Remedy(remedies.DISK_MESSAGES), f"{STATUS_NAME}: the disk does not answer"
        return LIVE_STATE.found(Severity.UNKNOWN, remedy=remedy, error=error)
    remedy = remedies.for_hint(read.error.hint, remedies.DOCTOR)
    return LIVE_STATE.found(Severity.UNKNOWN, remedy=remedy, error=str(read.error))
