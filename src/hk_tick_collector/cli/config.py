"""`config`: every setting in force, where it came from, default, unit, bounds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hk_tick_collector.config import (
    DEFAULT,
    DEFINITIONS,
    Address,
    Loaded,
    Setting,
    as_text,
    load_settings,
    reference,
    settings_file,
)
from hk_tick_collector.errors import UsageError
from hk_tick_collector.ops import remedies

from ._options import AsJson, EnvFile, warn
from ._table import print_table
from .run import refusals

if TYPE_CHECKING:
    from pathlib import Path


def config(
    env_file: EnvFile = None,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="one line for each fault, before a restart; exit code 2 when there is one")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="print a .env with every setting and its default")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", hidden=True)] = False,
) -> int:
    """Shows every setting in force, where it came from, its default, unit and bounds. Secrets are masked.

    With --check it says what a restart of the service would meet, and changes nothing: exit code 0 when every line is
    right, 2 when one is to be corrected.

    \b
    Examples:
      hk-tick-collector config
      sudo hk-tick-collector config --check
      hk-tick-collector config --env-file /opt/futu_tick_downloader/.env --json
      hk-tick-collector config --example > .env
    """
    if example:
        print(reference.env_example(), end="")
    elif markdown:
        print(reference.markdown(), end="")
    elif check:
        return _check(env_file, as_json=as_json)
    else:
        loaded = load_settings(env_file)
        for line in loaded.told(3):
            warn(line)
        if as_json:
            print(_as_json(loaded))
        else:
            _print_table(loaded)
    return 0


def _check(env_file: Path | None, *, as_json: bool) -> int:
    """What `run` would refuse, and what it would leave out or pass by: one line each."""
    errors, odd, right = _faults(env_file)
    where = settings_file(env_file) or "the environment"
    if as_json:
        faults = [{"severity": "ERROR", "text": str(error), "remedy": error.hint} for error in errors]
        faults += [{"severity": "WARNING", "text": text, "remedy": ""} for text in odd]
        print(json.dumps({"settings": str(where), "faults": faults}, ensure_ascii=False))
        return 2 if faults else 0
    for error in errors:
        print(f"ERROR: {error.one_line()}")
    for text in odd:
        print(f"WARNING: {text}")
    if errors:
        print(f"the service would not start with these settings; until a restart it runs on -> sudo vim {where}")
    elif odd:
        print(f"the service would start, without what is named above -> sudo vim {where}")
    else:
        print(f"OK: {where}: {right} -> {remedies.RESTART}")
    return 2 if errors or odd else 0


def _faults(env_file: Path | None) -> tuple[list[UsageError], list[str], str]:
    """Errors that stop a start, what is odd beside them, and what is right in a few words."""
    try:
        loaded = load_settings(env_file)
    except UsageError as error:
        return list(error.faults or (error,)), [], ""
    given = sum(origin != DEFAULT for origin in loaded.origins.values())
    right = f"{given} settings given, {len(loaded.settings.symbols):,} symbols"
    return refusals(loaded.settings), [*loaded.warnings, *loaded.bad_symbols], right


def _print_table(loaded: Loaded) -> None:
    header = ("setting", "value", "from", "default", "unit", "allowed")
    print_table(header, [_row(setting, loaded) for setting in DEFINITIONS])


def _row(setting: Setting, loaded: Loaded) -> tuple[str, ...]:
    about = setting.about
    default = about.default.en if about.default else setting.default or "(empty)"
    value = _brief(getattr(loaded.settings, setting.attribute))
    return (setting.name, value or "(empty)", loaded.origins[setting.name], default, about.unit, setting.allowed.en)


def _brief(value: object) -> str:
    """The value in one cell: of a thousand symbols the first ones and their number."""
    if isinstance(value, tuple) and not isinstance(value, Address) and len(value) > 3:
        return f"{as_text(value[:3])},… ({len(value)})"
    return as_text(value)


def _as_json(loaded: Loaded) -> str:
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
    document = {"env_file": str(loaded.env_file) if loaded.env_file else None, "settings": settings}
    return json.dumps(
        {**document, "warnings": loaded.warnings, "bad_symbols": loaded.bad_symbols}, ensure_ascii=False, indent=2
    )


def _json_value(value: object) -> object:
    """Numbers and lists as such, everything else as it would be written in a file."""
    if isinstance(value, tuple) and not isinstance(value, Address):
        return [as_text(item) for item in value]
    return value if value is None or isinstance(value, int | float) else as_text(value)
