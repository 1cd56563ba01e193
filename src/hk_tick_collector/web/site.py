"""What the page is about, and what it may ask: plain values and two functions that the verb `web` passes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.ops.findings.words import Words

    from .reading import Reading


@dataclass(frozen=True, slots=True)
class Examination:
    """What the verb `status` finds: everything that the live state alone does not tell."""

    findings: list[Finding]
    explained: Words  # why there are no ticks, and what is lost
    figures: dict[str, list[tuple[str, str]]]  # language → the lines of `status`: name and text
    day: dict[str, Any] | None  # the counters of the newest day file, as in `status --json`
    silent: bool  # no service reported
    at_ms: int  # when it was made, UTC epoch ms


@dataclass(frozen=True, slots=True)
class Site:
    """One page of one collector."""

    data_root: Path
    archive: str | None  # ARCHIVE_DIR
    instance: str
    lang: str  # OPERATOR_LANG: the language of a browser that has not chosen one
    limits: Limits
    reading: Reading
    examine: Callable[[], Examination]  # picklable; limits its waits for a disk by itself
    names: frozenset[str] = field(default_factory=frozenset)  # under which browsers may ask
    token: str | None = None
