"""Shared by tests of reports about a running service: a healthy live state."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any, Protocol

import pytest

from hk_tick_collector.ops.live.status import LiveStatus

NOW_MS = 1_795_140_000_000  # 2026-11-20 10:00 in Hong Kong

_HEALTHY: dict[str, Any] = {
    "written_ms": NOW_MS - 500,
    "started_ms": NOW_MS - 3_600_000,
    "version": "1.0",
    "instance": "one",
    "state": "running",
    "data_root": "/data/sqlite/HK",
    "address": "127.0.0.1:11111",
    "connected": True,
    "link_since_ms": NOW_MS - 3_500_000,
    "program": "ready",
    "quote_logged_in": True,
    "market_state": "morning",
    "trading": True,
    "trading_since_ms": NOW_MS - 1_800_000,
    "drift_s": 0.1,
    "symbols": 10,
    "subscribed": 10,
    "received": 1_000,
    "stored": 1_000,
    "max_queue_rows": 1_000_000,
    "newest_day": "20261120",
    "newest_ts_ms": NOW_MS - 1_000,
    "last_commit_ms": NOW_MS - 300,
    "writer_alive_ms": NOW_MS - 300,
    "disk_free_mb": 50_000,
}
_EMPTY: dict[str, Any] = {"int": 0, "str": "", "bool": False, "float": 0.0, "dict[str, str]": {}}


class MakeStatus(Protocol):
    """Makes a live state; keywords are the differences from a healthy one."""

    def __call__(self, **changes: Any) -> LiveStatus:
        """A live state of NOW_MS."""


@pytest.fixture
def make_status() -> MakeStatus:
    """A service that collects, without findings."""
    needed = [spec for spec in fields(LiveStatus) if spec.default is MISSING and spec.default_factory is MISSING]
    values: dict[str, Any] = {spec.name: _EMPTY.get(str(spec.type)) for spec in needed} | _HEALTHY
    healthy = LiveStatus(**values)

    def make(**changes: Any) -> LiveStatus:
        return replace(healthy, **changes)

    return make
