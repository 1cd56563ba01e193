"""The few settings that a notice about a failed start needs, also if other settings, or some of these, are wrong.

Enters: environment and settings file. Leaves: the values that are valid, and the defaults for the others. Never raises
for a wrong setting: a wrong setting may be why the service did not start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from hk_tick_collector.errors import UsageError

from .envfile import read_env_file
from .language import operator_language
from .load import settings_file
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAMES: Final = ("ALERT_URLS", "INSTANCE_ID", "DATA_ROOT")


class NoticeSettings(NamedTuple):
    """See the settings of the same names. `unread` says why the settings file could not be read; empty if it could."""

    alert_urls: tuple[str, ...]
    instance_id: str
    data_root: Path
    lang: str
    unread: str


def notice_settings(
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    of_unit: Mapping[str, str] | None = None,
) -> NoticeSettings:
    """The settings for a notice; the environment wins over the file, and the file over `of_unit`: the variables that
    systemd gives the service by `Environment=`.
    """
    environ = os.environ if environ is None else environ
    path, unread = settings_file(env_file), ""
    try:
        variables = read_env_file(path)[0] if path else []
    except UsageError as error:
        variables, unread = [], error.one_line()
    of_file = {variable.name: variable.value for variable in variables}
    environ = {name: value for name, value in (of_unit or {}).items() if name not in of_file} | dict(environ)
    given = of_file | environ
    texts = {name: given[name] for name in _NAMES if name in given and _is_valid(name, given[name])}
    found = Settings.model_validate(texts)
    urls = tuple(url.get_secret_value() for url in found.alert_urls)
    return NoticeSettings(urls, found.instance_id, found.data_root, operator_language(env_file, environ), unread)


def _is_valid(name: str, text: str) -> bool:
    try:
        Settings.model_validate({name: text})
    except (ValidationError, UsageError):
        return False
    return True
