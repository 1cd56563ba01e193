"""The operator's language: OPERATOR_LANG, or else the language of the locale, or else English."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import UsageError

from .envfile import UnacceptedBytesError, Variable, meant_variables, read_env_file
from .load import settings_file
from .settings import LANGUAGES, locale_language

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME: Final = "OPERATOR_LANG"


def operator_language(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    """`en` or `zh-Hant`, for a verb at a terminal. Never raises, also if other settings are wrong or unreadable."""
    environ = os.environ if environ is None else environ
    given = environ.get(_NAME) or _of_file(env_file)
    return given if given in LANGUAGES else locale_language(environ)


def _of_file(env_file: Path | None) -> str:
    path = settings_file(env_file)
    try:
        variables = _variables(path) if path else []
    except UsageError:
        return ""
    return next((variable.value for variable in variables if variable.name == _NAME), "")


def _variables(path: Path) -> list[Variable]:
    """Also those of lines that are not accepted: what is wrong with them is told in the language that is meant."""
    try:
        variables, faults = read_env_file(path)
    except UnacceptedBytesError:
        return meant_variables(path, [])
    return meant_variables(path, variables) if faults else variables
