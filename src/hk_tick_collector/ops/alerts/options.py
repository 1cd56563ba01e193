"""The options of the alerts: plain values, from the settings of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .message import ENGLISH

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.ops.findings.health import Limits

    from .destination import Destination


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """Where messages go, about what, and in which language."""

    destinations: tuple[Destination, ...]
    limits: Limits
    data_root: Path
    mutes_path: Path  # beside status.json
    instance: str
    lang: str = ENGLISH
    heartbeat_min: int = 0  # minutes between two heartbeat messages; 0 for none
    streams: frozenset[str] = frozenset()  # `publish`, `merge`: those that the settings switch on
