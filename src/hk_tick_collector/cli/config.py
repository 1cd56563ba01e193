"""`config`: every setting in force, where it came from, default, unit, bounds."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hk_tick_collector.config import DEFINITIONS, Address, Loaded, Setting, as_text, load_settings, reference

from ._options import AsJson, EnvFile  # noqa: TC001 - typer reads the annotations
from ._show import complain, show_json, show_lines, warn
from ._table import print_table

_SPARE: Final = ("allowed", "unit", "default", "from")
_FOLD: Final = frozenset({"value", "default", "allowed"})


def config(
    env_file: EnvFile = None,
    as_json: AsJson = False,
    example: Annotated[bool, typer.Option("--example", help="print a .env with every setting and its default")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", hidden=True)] = False,
) -> None:
    """Shows every setting in force, where it came from, its default, unit and bounds. Secrets are masked.

    \b
    Examples:
      hk-tick-collector config
      hk-tick-collector config --env-file /opt/futu_tick_downloader/.env --json
      hk-tick-collector config --example > .env
    """
    if example:
        show_lines(reference.env_example())
    elif markdown:
        show_lines(reference.markdown())
    else:
        loaded = load_settings(env_file)
        for line in (*loaded.warnings, *loaded.predecessor.lines):
            warn(line)
        if as_json:
            show_json(_document(loaded), indent=2)
        else:
            _print_table(loaded)
        _print_next(loaded)


def _print_table(loaded: Loaded) -> None:
    header = ("setting", "value", "from", "default", "unit", "allowed")
    print_table(header, [_row(setting, loaded) for setting in DEFINITIONS], spare=_SPARE, fold=_FOLD)


def _print_next(loaded: Loaded) -> None:
    """What to paste, beside the output: the line may hold a token, which stdout never shows."""
    found, file = loaded.predecessor, loaded.env_file or "the settings file"
    if found.alerts and found.alerts.lines:
        either = "one of these lines" if len(found.alerts.lines) > 1 else "this line"
        complain(f"alerts go where they went once {either} is in {file}:")
        for line in found.alerts.lines:
            complain(line)
    if loaded.env_file and (command := found.removal(loaded.env_file)):
        complain(f"to take these settings out (a copy stays in {file}.predecessor):")
        complain(command)


def _row(setting: Setting, loaded: Loaded) -> tuple[str, ...]:
    about = setting.about
    default = about.default.en if about.default else setting.default or "(empty)"
    value = _brief(getattr(loaded.settings, setting.attribute))
    return (setting.name, value or "(empty)", loaded.origins[setting.name], default, about.unit, setting.allowed.en)


def _brief(value: object) -> str:
    """The value in one cell: of a thousand symbols the first ones and their number."""
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
    document["predecessor"] = {
        "became": {name: group.became for group in (*found.former, *found.same_name) for name in group.names},
        "alerts": found.alerts.said if found.alerts else None,
        "remove": found.removal(loaded.env_file) or None if loaded.env_file else None,
    }
    return document


def _json_value(value: object) -> object:
    """Numbers and lists as such, everything else as it would be written in a file."""
    if isinstance(value, tuple) and not isinstance(value, Address):
        return [as_text(item) for item in value]
    return value if value is None or isinstance(value, int | float) else as_text(value)
