"""`config`: every setting in force with its source, default, unit and bounds."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector.config import (
    DEFAULT,
    DEFINITIONS,
    Address,
    Loaded,
    Setting,
    as_text,
    load_rest,
    load_settings,
    settings_file,
    settings_tables,
)
from hk_tick_collector.errors import UsageError
from hk_tick_collector.ops.findings import remedies

from ._options import AsJson, EnvFile  # noqa: TC001 - typer reads the annotations
from ._show import complain, show, show_json, show_lines, warn
from ._table import print_table

if TYPE_CHECKING:
    from pathlib import Path

_SPARE: Final = ("allowed", "unit", "default", "from")
_FOLD: Final = frozenset({"value", "default", "allowed"})


def config(
    env_file: EnvFile = None,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="check before a restart: one line a fault; exit code 2 if there is one")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="print a .env with every setting and its default")] = False,
) -> int:
    """Shows every setting in force with its source, default, unit and bounds. Secrets are masked.

    With --check it shows what a restart of the service would refuse or ignore, and changes nothing: exit code 0 if
    every line is right, 2 if a line must be corrected.

    \b
    Examples:
      hk-tick-collector config
      sudo hk-tick-collector config --check
      hk-tick-collector config --env-file /opt/futu_tick_downloader/.env --json
      hk-tick-collector config --example > .env
    """
    if example:
        show_lines(settings_tables.env_example())
    elif check:
        return _check(env_file, as_json=as_json)
    else:
        loaded = load_settings(env_file)
        for line in (*loaded.told(3), *loaded.predecessor.lines):
            warn(line)
        if as_json:
            show_json(_document(loaded), indent=2)
        else:
            _print_table(loaded)
        _print_next(loaded)
    return 0


def _check(env_file: Path | None, *, as_json: bool) -> int:
    """What `run` would refuse, leave out or ignore: one line each."""
    errors, odd, right, restart = _faults(env_file)
    file = settings_file(env_file)
    where, edit = file or "the environment", f" -> sudo vim {shlex.quote(str(file))}" if file else ""
    if as_json:
        faults = [{"severity": "ERROR", "text": str(error), "remedy": error.hint} for error in errors]
        faults += [{"severity": "WARNING", "text": text, "remedy": ""} for text in odd]
        show_json({"settings": str(where), "faults": faults})
        return 2 if faults else 0
    for error in errors:
        show(f"ERROR: {error.one_line()}")
    for text in odd:
        show(f"WARNING: {text}")
    if errors:
        show(f"the service would not start with these settings; it still runs with the old ones until a restart{edit}")
    elif odd:
        show(f"the service would start, but without the entries named above{edit}")
    else:
        show(f"OK: {where}: {right} -> {restart}")
    return 2 if errors or odd else 0


def _faults(env_file: Path | None) -> tuple[list[UsageError], list[str], str, str]:
    """Errors that prevent a start, warnings, a short description of the valid settings, and the restart."""
    from ._merge_host import RESTART_MERGE, merge_refusals, merges_only
    from ._refused_settings import blocked, check_made, refusals  # imported late: they need SQLite

    try:
        loaded, errors, wrong = load_rest(env_file)
    except UsageError as error:  # the file cannot be read
        return [error], [], "", ""
    given = sum(origin != DEFAULT for origin in loaded.origins.values())
    if merges_only(loaded) and "FUTU_SYMBOLS" not in wrong:
        errors += merge_refusals(loaded, leave_out=tuple(wrong)).values()
        right = f"{given} settings given, for merge into {loaded.settings.merge_root}"
        return errors, [*loaded.warnings], right, RESTART_MERGE
    right = f"{given} settings given, {len(loaded.settings.symbols):,} symbols"
    errors += refusals(loaded, leave_out=tuple(wrong)).values()
    if not wrong & {"DATA_ROOT", "SPOOL_DIR"} and (stopped := blocked(loaded.settings)):
        errors.append(UsageError(stopped[0].en, hint=stopped[1]))
    odd = [*loaded.warnings, *loaded.bad_symbols]
    try:
        check_made("SNAPSHOT_DIR", loaded.settings.snapshot_dir, loaded)
    except UsageError as error:  # the service collects anyway, but every snapshot fails
        odd.append(error.one_line())
    return errors, odd, right, remedies.RESTART


def _print_table(loaded: Loaded) -> None:
    header = ("setting", "value", "from", "default", "unit", "allowed")
    print_table(header, [_row(setting, loaded) for setting in DEFINITIONS], spare=_SPARE, fold=_FOLD)


def _print_next(loaded: Loaded) -> None:
    """Prints lines to paste. They go to stderr: they may contain a token, and stdout must not show one."""
    found, file = loaded.predecessor, loaded.env_file or "the settings file"
    if found.alerts and found.alerts.lines:
        either = "one of these lines" if len(found.alerts.lines) > 1 else "this line"
        complain(f"alerts are sent to the same places as before once {either} is in {file}:")
        for line in found.alerts.lines:
            complain(line)
    if loaded.env_file and (command := found.removal(loaded.env_file)):
        complain(f"to remove these settings (a copy is kept in {file}.predecessor):")
        complain(command)


def _row(setting: Setting, loaded: Loaded) -> tuple[str, ...]:
    about = setting.about
    default = about.default.en if about.default else setting.default or "(empty)"
    value = _brief(getattr(loaded.settings, setting.attribute))
    return (setting.name, value or "(empty)", loaded.origins[setting.name], default, about.unit, setting.allowed.en)


def _brief(value: object) -> str:
    """The value as one cell. A long list of symbols is shortened to the first three and the total."""
    if isinstance(value, tuple) and not isinstance(value, Address) and len(value) > 3:
        return f"{as_text(value[:3])}, ... ({len(value)})"
    return as_text(value)


def _document(loaded: Loaded) -> dict[str, object]:
    settings = [
        {
            "name": setting.name,
            "value": _json_value(getattr(loaded.settings, setting.attribute)),
            "from": loaded.origins[setting.name],
            "default": setting.default,
            "unit": setting.about.unit or None,
            "allowed": setting.allowed.en,
            "description": setting.about.text.en,
        }
        for setting in DEFINITIONS
    ]
    document: dict[str, object] = {"env_file": str(loaded.env_file) if loaded.env_file else None, "settings": settings}
    found = loaded.predecessor
    document["warnings"] = [*loaded.warnings, *found.lines]
    document["bad_symbols"] = loaded.bad_symbols
    document["predecessor"] = {
        "became": {name: group.became for group in (*found.former, *found.same_name) for name in group.names},
        "alerts": found.alerts.said if found.alerts else None,
        "remove": found.removal(loaded.env_file) or None if loaded.env_file else None,
    }
    return document


def _json_value(value: object) -> object:
    """Numbers and lists as JSON values, everything else as it would be written in a settings file."""
    if isinstance(value, tuple) and not isinstance(value, Address):
        return [as_text(item) for item in value]
    return value if value is None or isinstance(value, int | float) else as_text(value)
