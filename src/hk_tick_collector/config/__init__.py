"""The settings. Only this package reads the process environment, and only `cli` imports it; other parts get values.

settings.py     every setting: name, unit, bounds, default, meaning
values.py       converts the text of a setting to its value
symbols.py      reads the list or file of symbols and reports invalid entries
envfile.py      reads the settings file exactly as systemd does
load.py         combines environment, file and defaults, with the origin of each value
language.py     the operator's language, also when other settings are wrong
notice.py       the settings that a notice about a failed start needs, also when they are wrong
object_store.py the usual AWS_ variables, which are no settings of ours
predecessor.py  the replacements for the predecessor's settings
"""

from __future__ import annotations

from . import settings_tables
from .language import operator_language
from .load import (
    DEFAULT,
    ENVIRONMENT,
    Loaded,
    Systemd,
    environment_without_settings,
    load_rest,
    load_settings,
    settings_file,
    systemd_environment,
)
from .notice import NoticeSettings, notice_settings
from .object_store import object_store_variables
from .predecessor import Predecessor
from .settings import DEFINITIONS, Setting, Settings, as_text
from .stream_urls import read_stream_urls
from .symbols import read_symbols
from .values import Address

__all__ = [
    "DEFAULT",
    "DEFINITIONS",
    "ENVIRONMENT",
    "Address",
    "Loaded",
    "NoticeSettings",
    "Predecessor",
    "Setting",
    "Settings",
    "Systemd",
    "as_text",
    "environment_without_settings",
    "load_rest",
    "load_settings",
    "notice_settings",
    "object_store_variables",
    "operator_language",
    "read_stream_urls",
    "read_symbols",
    "settings_file",
    "settings_tables",
    "systemd_environment",
]
