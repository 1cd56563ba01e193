"""The verb `status`: the 30-second check, from live state and day file counters; it sends the service no request."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import clock
from hk_tick_collector.ops.findings import health

from ._options import AsJson, EnvFile  # noqa: TC001 - typer reads the annotations
from ._patience import Disk
from ._service_report import examine
from ._show import padded, show, show_json
from ._status_lines import figure_lines
from ._stream_report import stream_lines
from ._terminal import language_on

if TYPE_CHECKING:
    from ._service_report import Report

_NAME_COLUMNS: Final = 14
_EXPOSURE: Final = ("rows", "seconds", "synchronous", "power_cut")  # the keys of `exposure` in --json


def status(env_file: EnvFile = None, as_json: AsJson = False) -> int:
    """The 30-second check: one line that says what is wrong and what to do, then the figures.

    Exit code 0 fine, 1 warning, 2 critical, 3 unknown.

    Example: hk-tick-collector status
    """
    found = examine(env_file, clock.now_ms(), Disk())
    live, day, exposure = found.live, found.day, _exposure(found)
    if as_json:  # always in English: scripts read it
        severity, line = health.summary(found.findings, found.explained, work=found.work)
        document = {
            "verdict": severity.name,
            "line": line,
            "findings": [finding.as_json() for finding in found.findings],
            "silence": found.quiet.en,
            "lag_s": health.lag_s(live, found.now_ms) if live else None,
            "as_of_ms": found.as_of_ms,
            "live": asdict(live) if live else None,
            "exposure": exposure and {name: exposure[name] for name in _EXPOSURE},
            "day": day,
            "publish": asdict(found.streams.publish) if found.streams.publish else None,
            "merge": asdict(found.streams.merge) if found.streams.merge else None,
        }
        show_json(document)
        return int(severity)
    lang = language_on(sys.stdout, env_file)
    severity, line = health.summary(found.findings, found.explained, lang, found.work)
    show(line)
    for finding in found.findings[1:]:
        show(f"  {health.line_of(finding, lang=lang)}")
    for name, text in figures_of(found, lang):
        show(f"{padded(name, _NAME_COLUMNS)}{text}")
    return int(severity)


def figures_of(found: Report, lang: str) -> list[tuple[str, str]]:
    """The lines below the first one: name and text."""
    figures = figure_lines(found.live, found.day, _exposure(found), found.now_ms, found.as_of_ms, lang)
    return [*figures, *stream_lines(found.streams, found.now_ms, lang)]


def _exposure(found: Report) -> dict[str, Any] | None:
    """The rows to backfill if the process died now, and what else a power cut may lose; None if no service reports."""
    live, settings = found.live, found.settings
    if live is None or settings is None or not found.is_live:
        return None
    at_risk = live.synchronous == "NORMAL"
    wal_mb, pages = (live.wal_bytes / 2**20, settings.sqlite_wal_autocheckpoint) if at_risk else (None, None)
    cost = "nothing that is committed"
    if at_risk:
        cost = f"commits since the last checkpoint, at most the {wal_mb:.1f} MB of the WAL (one every {pages:,} pages)"
    return {
        "rows": live.exposed_rows,
        "seconds": live.exposed_s,
        "synchronous": live.synchronous,
        "power_cut": cost,
        "wal_mb": wal_mb,
        "pages": pages,
    }
