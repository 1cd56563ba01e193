"""Generates `.env.example` and the tables of docs/configuration.md and .en.md from the definitions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .settings import DEFINITIONS

if TYPE_CHECKING:
    from .settings import Setting

BEGIN: Final = "<!-- settings: begin, by tools/write_configuration.py from src/hk_tick_collector/config/settings.py -->"
END: Final = "<!-- settings: end -->"
_HEADS: Final = {
    "en": "| Name | Meaning | Default | Unit | Allowed |",
    "zh-Hant": "| 名稱 | 說明 | 預設 | 單位 | 可用範圍 |",
}


def env_example() -> str:
    """A working settings file: every setting with its meaning, defaults commented out."""
    head = (
        "# Settings of hk-tick-collector, read by systemd (EnvironmentFile=) and by the command line alike.\n"
        "# One KEY=VALUE a line, no quotes, no blanks around the value; # begins a comment in the first column only.\n"
        "# The environment wins over this file. `hk-tick-collector config` shows what is in force and from where.\n"
    )
    return head + "".join(_example(setting) for setting in DEFINITIONS)


def _example(setting: Setting) -> str:
    about = setting.about
    unit = f" [{about.unit}]" if about.unit else ""
    unset = "" if setting.attribute == "symbols" else "#"  # without symbols nothing is collected
    line = f"{unset}{setting.name}={about.example or setting.default}"
    return f"\n# {about.text.en}{unit}\n# allowed: {setting.allowed.en}\n{line}\n"


def table(language: str) -> str:
    """Every setting as a row of a Markdown table, in English (`en`) or in Traditional Chinese (`zh-Hant`)."""
    head = _HEADS[language]
    return "\n".join([head, "|---|---|---|---|---|", *(_row(setting, language) for setting in DEFINITIONS)])


def _row(setting: Setting, language: str) -> str:
    about, english = setting.about, language == "en"
    text, allowed, default = (
        (words.en if english else words.zh) if words else "" for words in (about.text, setting.allowed, about.default)
    )
    if not default:
        default = f"`{setting.default}`" if setting.default else "(empty)" if english else "（空）"
    return f"| `{setting.name}` | {text} | {default} | {about.unit} | {allowed} |"
