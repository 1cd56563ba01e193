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
from .predecessor import Predecessor, became, is_distinctive, predecessor
from .settings import DEFINITIONS, Notes, Setting, Settings, as_text, locale_language
from .values import printable

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
    predecessor: Predecessor = Predecessor()  # what of the predecessor's settings is in there
    bad_symbols: tuple[str, ...] = ()  # entries of FUTU_SYMBOLS that are none, each with its place

    def told(self, most: int = 20) -> tuple[str, ...]:
        """What is odd and what is left out, one line each; of bad symbols the first and the number of the others."""
        more = len(self.bad_symbols) - most
        others = (f"and {more} more bad symbols: hk-tick-collector config --check",) if more > 0 else ()
        return (*self.warnings, *self.bad_symbols[:most], *others)


class Systemd(NamedTuple):
    """What systemd tells a service through its environment; nothing when it did not start us."""

    runtime_directory: Path | None
    notify_socket: str | None
    watchdog_usec: int | None


def load_settings(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings in force. `env_file` must exist where given; else `./.env` or the installed one is read, if there.
    Root reads the installed one alone: see `_may_read`.

    Raises one UsageError for all that cannot work, with each setting's name, value, place and what is allowed.
    Settings of the predecessor are passed by; `Loaded.predecessor` tells them.
    """
    environ = os.environ if environ is None else environ
    path = settings_file(env_file)
    texts: dict[str, str] = {}
    origins = dict.fromkeys(_BY_NAME, DEFAULT)
    former: dict[str, tuple[str, str]] = {}  # the predecessor's: name → value and place
    notes = Notes()
    warnings = notes.warnings
    if env_file is None and not _may_read(local := Path(".env").absolute()):
        warnings.append(f"{local} is not read as root: --env-file {local} reads it")
    variables, faults = read_env_file(path) if path else ([], [])
    for variable in variables:
        where = f"{path}:{variable.line}"
        if variable.name in _BY_NAME:
            texts[variable.name], origins[variable.name] = variable.value, where
        elif became(variable.name):
            former[variable.name] = variable.value, where
        else:
            faults += _unknown(variable.name, where)
            warnings += _near_miss(variable.name, where)
    by_systemd = "INVOCATION_ID" in environ  # whose EnvironmentFile= hands over the file's lines: theirs is the origin
    for name, value in environ.items():
        if name in _BY_NAME:
            if not (by_systemd and texts.get(name) == value):
                texts[name], origins[name] = value, ENVIRONMENT
        elif became(name):
            if by_systemd or is_distinctive(name):
                former.setdefault(name, (value, ENVIRONMENT))
        else:
            faults += _unknown(name, ENVIRONMENT)
    settings, wrong = _parsed(texts, origins, notes)
    if settings is None or faults:
        raise _together([*faults, *wrong], path)
    if origins["OPERATOR_LANG"] == DEFAULT:
        settings = settings.model_copy(update={"operator_lang": locale_language(environ)})
    ours = {name: (text, origins[name]) for name, text in texts.items()}
    of_predecessor = predecessor(former, ours, alerts_in_force=bool(settings.alert_urls))
    origin = origins["FUTU_SYMBOLS"]
    bad = tuple(f"{entry.place or f'FUTU_SYMBOLS (from {origin})'}: {entry.words()}" for entry in notes.bad_symbols)
    return Loaded(settings, origins, tuple(warnings), path, of_predecessor, bad)


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


def _unknown(name: str, where: str) -> list[UsageError]:
    """The fault of a name that is like ours and none of them."""
    if name in _OTHERS or not name.startswith(_OUR_PREFIXES):
        return []
    nearest = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0)[0]
    return [UsageError(f"unknown setting {name} (from {where})", hint=f"the nearest that exists is {nearest}")]


def _near_miss(name: str, where: str) -> list[str]:
    """A file may hold names of others, such as TZ; one that is like a setting's is warned of."""
    near = () if name.startswith(_OUR_PREFIXES) else difflib.get_close_matches(name.upper(), _BY_NAME, n=1, cutoff=0.8)
    return [f"{name} ({where}) is no setting and does nothing: perhaps {near[0]} is meant"] if near else []


def _parsed(
    texts: Mapping[str, str], origins: Mapping[str, str], notes: Notes
) -> tuple[Settings | None, list[UsageError]]:
    """The settings, or all that is wrong with them."""
    try:
        return _in_order(Settings.model_validate(texts, context=notes), origins), []
    except ValidationError as error:
        return None, _bad_values(error.errors(), texts, origins)
    except UsageError as error:
        return None, [error]


def _together(faults: list[UsageError], path: Path | None) -> UsageError:
    """All that is wrong in one answer, each with what is allowed."""
    if len(faults) == 1:
        return faults[0]
    told = "; ".join(f"{fault}: {fault.hint}" for fault in faults)
    error = UsageError(f"{len(faults)} settings are wrong: {told}", hint=f"correct {path}" if path else "correct them")
    error.faults = tuple(faults)
    return error


def _bad_values(errors: list[ErrorDetails], texts: Mapping[str, str], origins: Mapping[str, str]) -> list[UsageError]:
    """Every bad value in full; defaults that wait for a bad value are no fault."""
    faults = {str(error["loc"][0]): error for error in errors if error["loc"][0] in texts}
    return [_bad_value(name, fault, texts[name], origins[name]) for name, fault in faults.items()]


def _bad_value(name: str, details: ErrorDetails, text: str, origin: str) -> UsageError:
    setting = _BY_NAME[name]
    cause = details.get("ctx", {}).get("error")
    fault = "is empty" if not text else str(cause) if cause else "is out of bounds"
    unit = f" {setting.about.unit}" if setting.about.unit else ""
    return UsageError(
        f"{name}={_shown(setting, text)} (from {origin}) {fault}", hint=f"allowed is {setting.allowed.en}{unit}"
    )


def _shown(setting: Setting, text: str) -> str:
    if setting.about.secret:
        return "***"
    return printable(text, 60)


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
