"""Shared by the verbs: common options, the settings in force, and how days and symbols on the command line are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.config import load_settings, read_symbols
from hk_tick_collector.errors import UsageError

from ._show import warn

if TYPE_CHECKING:
    from hk_tick_collector.config import Loaded, Settings
    from hk_tick_collector.ops.findings.health import Limits

EnvFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="settings file to read instead of ./.env or the installed one"),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else")]
Day: TypeAlias = Annotated[
    str | None, typer.Option("--day", metavar="YYYYMMDD", help="the Hong Kong trading day; default: today")
]


def settings_in_force(env_file: Path | None) -> Settings:
    """The settings, for a verb on a terminal: warnings go to stderr. UsageError for wrong settings."""
    return loaded_in_force(env_file).settings


def loaded_in_force(env_file: Path | None, *, warns: bool = True) -> Loaded:
    """The same, with the source of each setting. Without `warns` nothing is said: it was said before."""
    loaded = load_settings(env_file)
    if not warns:
        return loaded
    for warning in loaded.told(3):
        warn(warning)
    warn_of_predecessor(loaded)
    return loaded


def warn_of_predecessor(loaded: Loaded) -> None:
    """One line about settings of the predecessor; `config` and `doctor` list each one."""
    found = loaded.predecessor
    if found.alerts and not found.alerts.done:
        warn("no alerts are sent: the predecessor's TG_ settings have no effect -> sudo hk-tick-collector config")
    elif found.lines:
        warn("settings of the predecessor have no effect or another meaning -> sudo hk-tick-collector config")


def limits(settings: Settings) -> Limits:
    """The limits at which a figure becomes a finding, the same for `status` and metrics."""
    from hk_tick_collector.ops.findings.health import Limits  # imported late: most verbs do not need it

    return Limits(
        drift_warn_s=settings.drift_warn_sec,
        lag_critical_s=settings.lag_critical_sec,
        disk_min_free_mb=settings.disk_min_free_mb,
        queue_warn_rows=settings.watchdog_queue_threshold_rows,
    )


def day_named(text: str | None) -> str:
    """The day file's name for `--day`, or for today in Hong Kong without it; UsageError for an invalid date."""
    if text is None:
        return today()
    try:
        return market.day_name(market.parse_day(text))
    except ValueError:
        raise UsageError(f"--day {text} is not a date", hint="write a day like 20261120") from None


def symbols_named(arguments: list[str]) -> tuple[str, ...]:
    """Symbols from arguments, comma-separated lists or @FILE, each once; UsageError for an invalid symbol."""
    found: dict[str, None] = {}
    for argument in arguments:
        try:
            read = read_symbols(argument)
        except ValueError as error:
            raise UsageError(f"{argument} {error}", hint="name symbols like HK.00700, or @FILE") from None
        for bad in read.bad:
            place = f"{bad.place}: " if bad.place else ""
            raise UsageError(f"{place}{bad.words()}", hint="name symbols like HK.00700, or @FILE")
        found.update(dict.fromkeys(read.symbols))
    return tuple(found)


def today() -> str:
    """The Hong Kong date by this host's clock. It only chooses which file to read."""
    return market.day_name(market.day_number(now_ms()))
