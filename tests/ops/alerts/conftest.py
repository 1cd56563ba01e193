"""Shared by the tests of alerts: the log as text, and waiting for threads."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import log
from hk_tick_collector.ops.findings.health import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

CAP_S: Final = 300.0
LIMITS: Final = Limits(drift_warn_s=2, lag_critical_s=300, disk_min_free_mb=100, queue_warn_rows=1000)


@pytest.fixture
def lines() -> io.StringIO:
    """The log from here on."""
    stream = io.StringIO()
    log.configure("DEBUG", stream)
    return stream


def wait_until(condition: Callable[[], object]) -> None:
    """Until it holds."""
    deadline_s = time.monotonic() + CAP_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
