"""The settings: the only part that reads the process environment. Imported by `cli` alone; others take plain values.

predecessor.py  what became of the predecessor's settings
settings.py   every setting: name, unit, bounds, default, meaning
values.py     from text to value, exactly
symbols.py    the list or file of symbols; what is none is named
envfile.py    the settings file, as systemd reads it or not at all
language.py   the operator's language, also where other settings are wrong
load.py       environment, file, defaults; where each value came from
"""

from __future__ import annotations

from . import reference
from .language import operator_language
from .load import (
    DEFAULT,
    ENVIRONMENT,
    Loaded,
    Systemd,
    environment_without_settings,
    load_settings,
    settings_file,
    systemd_environment,
)
from .predecessor import Predecessor
from .settings import DEFINITIONS, Setting, Settings, as_text
from .symbols import read_symbols
from .values import Address

__all__ = [
    "DEFAULT",
    "DEFINITIONS",
    "ENVIRONMENT",
    "Address",
    "Loaded",
    "Predecessor",
    "Setting",
    "Settings",
    "Systemd",
    "as_text",
    "environment_without_settings",
    "load_settings",
    "operator_language",
    "read_symbols",
    "reference",
    "settings_file",
    "systemd_environment",
]
