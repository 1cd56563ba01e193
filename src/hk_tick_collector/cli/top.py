"""The verb `top`: a live view of the running service, from `status.json` and the day file."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.ops.findings import health

from ._options import AsJson, EnvFile  # noqa: TC001 - typer reads the annotations
from ._service_report import known_settings
from ._show import show, show_json
from ._terminal import can_redraw, in_colour
from .live_view.choice import missing_of
from .live_view.frame import whole_frame
from .live_view.sample import Ask, ServiceSource
from .live_view.view import scene_of, watch

if TYPE_CHECKING:
    from .live_view.frame import Scene
    from .live_view.sample import Sample

_LATEST: Final = 8
_OVER_S: Final = 1.0  # without a terminal rates are of this time
_LEAST_WIDTH: Final = 40
_SYMBOLS: Final = 40  # without a terminal; --json has all


def top(as_json: AsJson = False, env_file: EnvFile = None) -> int:
    """The live view of the running service: what is wrong and what to do, its figures, its symbols.

    It is refreshed once a second and fits any terminal from 40 columns on. Keys: q ends it, ? lists the others; s sorts
    the symbols, Enter shows the last ticks of one. It only reads: the service goes on.

    Without a terminal it prints one frame, with --json one document, and ends; both read twice, a second apart, because
    a rate needs that. The exit code is 0 whatever is found; `status` has other exit codes.

    \b
    Examples:
      hk-tick-collector top
      hk-tick-collector top --json
    """
    known_settings(env_file)  # a wrong --env-file or environment is refused before anything is drawn
    source = ServiceSource(env_file)
    if as_json:
        scene = scene_of("hk-tick-collector top", env_file)
        _read_twice(source, scene)
        show_json(_document(scene))
        return 0
    scene = scene_of("hk-tick-collector top", env_file)
    if not can_redraw(sys.stdout):
        _read_twice(source, scene)
        width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
        for line in whole_frame(scene, width, _SYMBOLS):
            show("".join(span.text for span in line).rstrip())
        return 0
    ended_by = watch(scene, source, coloured=in_colour(sys.stdout))
    return 128 + ended_by if ended_by else 0


def _read_twice(source: ServiceSource, scene: Scene) -> None:
    """Reads a sample, and another one for the rates if there is anything to rate."""
    scene.take(source(Ask("", _LATEST)))
    if scene.sample and scene.sample.live and scene.sample.as_of_ms == scene.sample.now_ms and scene.sample.symbols:
        time.sleep(_OVER_S)
        shown = scene.choice.sorted(scene.sample.symbols, scene.history)[:_SYMBOLS]
        scene.take(source(Ask("", _LATEST, tuple(each.symbol for each in shown))))


def _document(scene: Scene) -> dict[str, Any]:
    """The frame for programs, always in English. `rate_per_s` is null where only one reading was possible."""
    sample: Sample | None = scene.sample
    assert sample is not None
    severity, line = health.summary(sample.findings, sample.explained)
    live = sample.live
    return {
        "verdict": severity.name,
        "line": line,
        "findings": [finding.as_json() for finding in sample.findings],
        "now_ms": sample.now_ms,
        "as_of_ms": sample.as_of_ms,
        "run": None
        if live is None
        else {
            "started_ms": live.started_ms,
            **{name: getattr(live, name) for name in ("received", "stored", "duplicate", "rejected", "dropped")},
            "waiting": live.waiting,
            "rows_per_s": live.rows_per_s[-1] if live.rows_per_s else 0,
            "lag_s": health.lag_s(live, sample.as_of_ms),
            "connected": live.connected,
            "outage_budget_s": live.outage_budget_s,
        },
        "day": sample.day,
        "symbols": [
            {
                **each._asdict(),
                "missing": None if each.expected is None else missing_of(each, none=0),
                "rate_per_s": scene.history.rate(each.symbol),
            }
            for each in scene.choice.sorted(sample.symbols, scene.history)
        ],
        "ticks": [tick._asdict() for tick in sample.ticks],
    }
