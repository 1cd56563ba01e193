"""Finds the settings in force: the environment, then a file, then the defaults; and tells where each came from.

This is the only part that reads the process environment. A bad value, an unknown name of ours or a damaged file is a
UsageError with name, value, place and what is allowed; nothing is guessed.
"""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from hk_tick_collector.errors import UsageError

from .envfile import read_env_file
from .settings import DEFINITIONS, Setting, Settings, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

INSTALLED_ENV_FILE: Final = Path("/opt/futu_tick_downloader/.env")

_BY_NAME: Final = {setting.name: setting for setting in DEFINITIONS}
_OUR_PREFIXES: Final = ("FUTU_", "SQLITE_", "WATCHDOG_")
# Names with our prefixes that others own: systemd sets the first two for a service that it watches, SQLite and its
# shell read the last two.
_OTHERS: Final = frozenset({"WATCHDOG_USEC", "WATCHDOG_PID", "SQLITE_TMPDIR", "SQLITE_HISTORY"})
_ORDERED: Final = (  # the first may not exceed the second
    ("reconnect_min_delay", "reconnect_max_delay"),
    ("watchdog_queue_threshold_rows", "max_queue_rows"),
)

ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"


class Loaded(NamedTuple):
    """The settings in force and their story."""

    settings: Settings
    origins: dict[str, str]  # name → "environment", "/path/.env:12" or "default"
    warnings: tuple[str, ...]  # what is odd but works, one line each
    env_file: Path | None  # the file that was read


class Systemd(NamedTuple):
    """What systemd tells a service through its environment; nothing when it did not start us."""

    runtime_directory: Path | None
    notify_socket: str | None
    watchdog_usec: int | None


def load_settings(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings in force. `env_file` must exist where given; else `./.env` or the installed one is read, if there.
    Root reads the installed one alone: see `_may_read`.

    Raises UsageError for anything that cannot work, with the setting's name, value, place and what is allowed.
    """
    environ = os.environ if environ is None else environ
    path = settings_file(env_file)
    texts: dict[str, str] = {}
    origins = dict.fromkeys(_BY_NAME, DEFAULT)
    warnings: list[str] = []
    if env_file is None and not _may_read(local := Path(".env").absolute()):
        warnings.append(f"{local} is not read as root: --env-file {local} reads it")
    for variable in read_env_file(path) if path else []:
        where = f"{path}:{variable.line}"
        _check_name(variable.name, where, warnings)
        if variable.name in _BY_NAME:
            texts[variable.name], origins[variable.name] = variable.value, where
    by_systemd = "INVOCATION_ID" in environ  # whose EnvironmentFile= hands over the file's lines: theirs is the origin
    for name, value in environ.items():
        _check_name(name, ENVIRONMENT, None)
        if name in _BY_NAME and not (by_systemd and texts.get(name) == value):
            texts[name], origins[name] = value, ENVIRONMENT
    try:
        settings = Settings.model_validate(texts, context=warnings)
    except ValidationError as error:
        raise _bad_value(error.errors(), texts, origins) from None
    return Loaded(_in_order(settings, origins), origins, tuple(warnings), path)


def settings_file(env_file: Path | None = None) -> Path | None:
    """The file that `load_settings` reads, right or wrong; None when there is none."""
    return env_file.absolute() if env_file else _found_file()


def systemd_environment(environ: Mapping[str, str] | None = None) -> Systemd:
    """RUNTIME_DIRECTORY, NOTIFY_SOCKET and WATCHDOG_USEC as systemd set them; what is malformed counts as absent."""
    environ = os.environ if environ is None else environ
    directory = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # a unit may have several; ours has one
    watchdog = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return Systemd(
        Path(directory) if directory.startswith("/") else None,
        environ.get("NOTIFY_SOCKET") or None,
        int(watchdog) if ours and watchdog.isascii() and watchdog.isdigit() and int(watchdog) > 0 else None,
    )


def environment_without_settings(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process that gets settings of its own: all but ours."""
    environ = os.environ if environ is None else environ
    return {
        name: value for name, value in environ.items() if name not in _BY_NAME and not name.startswith(_OUR_PREFIXES)
    }


def _found_file() -> Path | None:
    local = Path(".env").absolute()
    # lexists, because a link to nowhere must be an error and not a start without settings.
    places = (local, INSTALLED_ENV_FILE) if _may_read(local) else (INSTALLED_ENV_FILE,)
    return next((path for path in places if os.path.lexists(path)), None)


def _may_read(local: Path) -> bool:
    """Whether `./.env` counts. Root reads the installed file; where none is installed, one that root alone may change.

    `sudo hk-tick-collector` in the directory of another account would follow that account's DATA_ROOT and ALERT_URLS.
    """
    if os.geteuid() != 0 or local == INSTALLED_ENV_FILE or not os.path.lexists(local):
        return True
    return not os.path.lexists(INSTALLED_ENV_FILE) and _is_roots(local) and _is_roots(local.parent)


def _is_roots(path: Path) -> bool:
    """Whether root alone may change a file, or what a directory holds."""
    found = path.lstat()
    return found.st_uid == 0 and (stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022)


def _check_name(name: str, where: str, warnings: list[str] | None) -> None:
    """Refuses an unknown name of ours; in a file, which may hold others such as TZ, warns of one like a setting's."""
    if name in _BY_NAME or name in _OTHERS:
        return
    if name.startswith(_OUR_PREFIXES):
        nearest = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0)[0]
        raise UsageError(f"unknown setting {name} (from {where})", hint=f"the nearest that exists is {nearest}")
    if warnings is not None and (near := difflib.get_close_matches(name.upper(), _BY_NAME, n=1, cutoff=0.8)):
        warnings.append(f"{name} ({where}) is no setting and does nothing: perhaps {near[0]} is meant")


def _bad_value(errors: list[ErrorDetails], texts: Mapping[str, str], origins: Mapping[str, str]) -> UsageError:
    """The first bad value in full, and the names of any others; defaults that wait for a bad value are no fault."""
    faults = {str(error["loc"][0]): error for error in errors if error["loc"][0] in texts}
    name, *others = faults
    setting = _BY_NAME[name]
    cause = faults[name].get("ctx", {}).get("error")
    fault = "is empty" if not texts[name] else str(cause) if cause else "is out of bounds"
    unit = f" {setting.about.unit}" if setting.about.unit else ""
    more = f" (also wrong: {', '.join(others)})" if others else ""
    return UsageError(
        f"{name}={_shown(setting, texts[name])} (from {origins[name]}) {fault}",
        hint=f"allowed is {setting.allowed.en}{unit}{more}",
    )


def _shown(setting: Setting, text: str) -> str:
    if setting.about.secret:
        return "***"
    text = text if len(text) <= 60 else text[:57] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _in_order(settings: Settings, origins: Mapping[str, str]) -> Settings:
    """A default beyond a bound that was given moves with it; two given ones that exclude each other are an error."""
    moved: dict[str, Any] = {}
    for low, high in _ORDERED:
        smaller, larger = getattr(settings, low), getattr(settings, high)
        if smaller <= larger:
            continue
        if origins[high.upper()] == DEFAULT:
            moved[high] = smaller
        elif origins[low.upper()] == DEFAULT:
            moved[low] = larger
        else:
            raise UsageError(
                f"{low.upper()}={as_text(smaller)} (from {origins[low.upper()]}) is more than "
                f"{high.upper()}={as_text(larger)} (from {origins[high.upper()]})",
                hint=f"allowed is at most {high.upper()}",
            )
    return settings.model_copy(update=moved) if moved else settings
