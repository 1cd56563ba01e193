"""The service follows a real file of mutes; the log says what begins and ends."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from tests.ops.conftest import NOW_MS

from hk_tick_collector import log
from hk_tick_collector.ops.alerts.mute_watch import MuteWatch
from hk_tick_collector.ops.alerts.mutes import MUTES_NAME, Mute, change_mutes

if TYPE_CHECKING:
    from pathlib import Path


def test_it_follows_the_file(tmp_path: Path) -> None:
    """A new mute, a changed one, one that ends, a damaged file: each is in force at the next look, logged once."""
    lines = io.StringIO()
    log.configure("INFO", lines)
    moment = [NOW_MS]
    path = tmp_path / MUTES_NAME
    watch = MuteWatch(path, lambda: moment[0])
    watch.poll()
    assert watch.now(NOW_MS) == []

    disk, lag = Mute("disk", NOW_MS, NOW_MS + 60_000, "duty"), Mute("lag", NOW_MS, NOW_MS + 600_000, "root")
    change_mutes(path, lambda _: [disk, lag], NOW_MS)
    for _ in range(3):
        watch.poll()
    assert watch.now(NOW_MS) == [disk, lag]
    assert watch.now(NOW_MS + 60_000) == [lag], "it ends at its time, read again or not"
    assert lines.getvalue().count("alerts_muted") == 2
    assert "finding=disk until=2026-11-20T10:01:00+08:00 by=duty" in lines.getvalue()

    moment[0] += 60_000
    watch.poll()
    assert lines.getvalue().count("alerts_unmuted finding=disk") == 1
    path.write_text("{")
    for _ in range(3):
        watch.poll()
    assert watch.now(moment[0]) == []
    assert lines.getvalue().count("mutes_not_read") == 1
    assert lines.getvalue().count("alerts_unmuted finding=lag") == 1
