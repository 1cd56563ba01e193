"""What the process is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.ops.alerts.process_alerts import ProcessAlerts


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """All that `serve` needs."""

    servers: Servers
    source: str  # INSTANCE_ID
    data_root: Path
    cursor_path: Path
    state_path: Path  # of publish.json
    poll_s: float  # between two reads of the day files
    since: str = ""  # the first day to send; empty: the one that is being written at the first start
    until_sent: bool = False  # ends once all that is stored now is acknowledged
    notify_socket: str | None = None
    alerts: ProcessAlerts | None = None
    summary_s: float = 60.0  # between two lines of the log with the figures
    watch_s: float = 4.0  # between two checks of the anchors, the requests of readers and other publishers
    again_apart_s: float = 60.0  # between two times that readers have a day sent again
