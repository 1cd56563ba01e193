"""Loads the settings in force: from the environment, else a file, else the defaults, with the origin of each value.

Only this module reads the process environment. A bad value, an unknown name with one of our prefixes or a damaged file
is a UsageError with the name, the value, its origin and the allowed values. Nothing is guessed.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from hk_tick_collector.errors import UsageError

from .envfile import UnacceptedBytesError, Variable, meant_variables, read_env_file
from .predecessor import Predecessor, became, is_distinctive, predecessor
from .settings import DEFINITIONS, Setting, Settings, ValidationContext, as_text, locale_language
from .values import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

INSTALLED_ENV_FILE: Final = Path("/opt/futu_tick_downloader/.env")

_USER_OF_URL: Final = re.compile(r"//[^/,\s]*@")  # a name and a password in an address where none belongs
_BY_NAME: Final = {setting.name: setting for setting in DEFINITIONS}
_OUR_PREFIXES: Final = ("FUTU_", "SQLITE_", "WATCHDOG_")
# Names with our prefixes that are used by other programs: systemd sets the first two, SQLite and its shell read the
# others.
_OF_OTHERS: Final = re.compile(
    r"TZ|LANG|LANGUAGE|LC_[A-Z]+|PATH|HOME|TMPDIR|NO_COLOR|(?i:[A-Z]+_PROXY)|AWS_\w+|PYTHON\w+|SSL_CERT_(FILE|DIR)"
    r"|(REQUESTS|CURL)_CA_BUNDLE|MALLOC_\w+|LD_\w+|APPRISE_\w+|OPENSSL_\w+|RES_OPTIONS"
)
_OTHERS: Final = frozenset({"WATCHDOG_USEC", "WATCHDOG_PID", "SQLITE_TMPDIR", "SQLITE_HISTORY"})
_ORDERED: Final = (  # the first setting must not exceed the second
    ("reconnect_min_delay", "reconnect_max_delay"),
    ("watchdog_queue_threshold_rows", "max_queue_rows"),
)

ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"


class Loaded(NamedTuple):
    """The settings in force, and how they were found."""

    settings: Settings
    origins: dict[str, str]  # name → "environment", "/path/.env:12" or "default"
    warnings: tuple[str, ...]  # one line each
    env_file: Path | None  # the file that was read
    predecessor: Predecessor = Predecessor()  # settings of the predecessor in the file or environment
    bad_symbols: tuple[str, ...] = ()  # invalid entries of FUTU_SYMBOLS, each with its place
    bad_symbols_zh: tuple[str, ...] = ()  # the same in Chinese

    def told(self, most: int = 20) -> tuple[str, ...]:
        """The warnings and the bad symbols, one line each; at most `most` bad symbols and the number of the others."""
        more = len(self.bad_symbols) - most
        others = (f"and {more} more bad symbols: hk-tick-collector config --check",) if more > 0 else ()
        return (*self.warnings, *self.bad_symbols[:most], *others)

    def told_zh(self, most: int = 20) -> tuple[str, ...]:
        """The same in Chinese, except for the warnings."""
        more = len(self.bad_symbols) - most
        others = (f"另有 {more} 隻無效的股票：hk-tick-collector config --check",) if more > 0 else ()
        return (*self.warnings, *self.bad_symbols_zh[:most], *others)


class Systemd(NamedTuple):
    """The values that systemd passes to a service in its environment; None if systemd did not start us."""

    runtime_directory: Path | None
    state_directory: Path | None
    notify_socket: str | None
    watchdog_usec: int | None


def load_settings(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings in force. A given `env_file` must exist; without it, `./.env` or the installed file is read, if it
    exists. Root reads only the installed file: see `_may_read`.

    Raises one UsageError for all invalid settings, each with its name, value, origin and allowed values. Settings of
    the predecessor are ignored; they are listed in `Loaded.predecessor`.
    """
    given = _given(env_file, environ)
    notes = ValidationContext(given.warnings)
    settings, wrong = _parsed(given.texts, given.origins, notes)
    if settings is None or given.faults:
        raise _together(list(dict.fromkeys([*given.faults, *wrong.values()])), given.path)
    return _loaded(settings, given, notes)


def load_rest(
    env_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Loaded, list[UsageError], frozenset[str]]:
    """What remains of settings that `load_settings` refuses, so that everything wrong can be told in one answer.

    A line of the file that is not accepted counts as it is probably meant. Returns the settings with the default in
    place of each wrong value, all errors, and the names of the settings that are wrong. Raises UsageError for a file
    that cannot be read.
    """
    given = _given(env_file, environ, meant=True)
    wrong: dict[str, UsageError] = {}
    while True:
        notes = ValidationContext([*given.warnings])
        texts = {name: text for name, text in given.texts.items() if name not in wrong}
        settings, found = _parsed(texts, given.origins, notes)
        if settings is not None:
            origins = given.origins | dict.fromkeys(wrong, DEFAULT)
            loaded = _loaded(settings, given._replace(texts=texts, origins=origins), notes)
            return loaded, list(dict.fromkeys([*given.faults, *wrong.values()])), frozenset(wrong)
        wrong |= found


class _Given(NamedTuple):
    """What file and environment say, before the values are checked."""

    path: Path | None
    texts: dict[str, str]
    origins: dict[str, str]
    former: dict[str, tuple[str, str]]  # settings of the predecessor: name → value and origin
    warnings: list[str]
    faults: list[UsageError]
    environ: Mapping[str, str]


def _given(env_file: Path | None, environ: Mapping[str, str] | None, *, meant: bool = False) -> _Given:
    environ = os.environ if environ is None else environ
    path = settings_file(env_file)
    given = _Given(path, {}, dict.fromkeys(_BY_NAME, DEFAULT), {}, [], [], environ)
    texts, origins, former, warnings = given.texts, given.origins, given.former, given.warnings
    if env_file is None and not _may_read(local := Path(".env").absolute()):
        warnings.append(f"{local} is not read as root: --env-file {local} reads it")
    for variable in _variables(path, given.faults, meant=meant) if path else []:
        where = f"{path}:{variable.line}"
        if variable.name in _BY_NAME:
            texts[variable.name], origins[variable.name] = variable.value, where
        elif became(variable.name):
            former[variable.name] = variable.value, where
        else:
            given.faults.extend(_unknown(variable.name, where))
            warnings += _not_a_setting(variable.name, where)
    by_systemd = "INVOCATION_ID" in environ  # EnvironmentFile= puts the lines of the file into the environment
    for name, value in environ.items():
        if name in _BY_NAME:
            if not (by_systemd and texts.get(name) == value):
                texts[name], origins[name] = value, ENVIRONMENT
        elif became(name):
            if by_systemd or is_distinctive(name):
                former.setdefault(name, (value, ENVIRONMENT))
        else:
            given.faults.extend(_unknown(name, ENVIRONMENT))
    return given


def _variables(path: Path, faults: list[UsageError], *, meant: bool) -> list[Variable]:
    """The variables of the file; adds its faults to `faults`. `meant`: also those of lines that are not accepted."""
    try:
        variables, found = read_env_file(path)
    except UnacceptedBytesError as fault:
        variables, found = [], [fault]
    faults += found
    return meant_variables(path, variables) if meant and found else variables


def _loaded(settings: Settings, given: _Given, notes: ValidationContext) -> Loaded:
    origins = given.origins
    if origins["OPERATOR_LANG"] == DEFAULT:
        settings = settings.model_copy(update={"operator_lang": locale_language(given.environ)})
    ours = {name: (text, origins[name]) for name, text in given.texts.items()}
    of_predecessor = predecessor(given.former, ours, alerts_in_force=bool(settings.alert_urls))
    origin = origins["FUTU_SYMBOLS"]
    bad = tuple(f"{entry.place or f'FUTU_SYMBOLS (from {origin})'}: {entry.words()}" for entry in notes.bad_symbols)
    bad_zh = tuple(f"{entry.place or f'FUTU_SYMBOLS（{origin}）'}：{entry.words_zh()}" for entry in notes.bad_symbols)
    return Loaded(settings, origins, tuple(notes.warnings), given.path, of_predecessor, bad, bad_zh)


def settings_file(env_file: Path | None = None) -> Path | None:
    """The file that `load_settings` reads, whether it exists or not; None if there is none."""
    return env_file.absolute() if env_file else _found_file()


def systemd_environment(environ: Mapping[str, str] | None = None) -> Systemd:
    """What systemd set for this service; a malformed value counts as missing."""
    environ = os.environ if environ is None else environ
    # a unit may have several; ours has one
    runtime, state = (environ.get(name, "").partition(":")[0] for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"))
    watchdog = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return Systemd(
        Path(runtime) if runtime.startswith("/") else None,
        Path(state) if state.startswith("/") else None,
        environ.get("NOTIFY_SOCKET") or None,
        int(watchdog) if ours and watchdog.isascii() and watchdog.isdigit() and int(watchdog) > 0 else None,
    )


def environment_without_settings(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without our settings, for a child process that gets its own settings."""
    environ = os.environ if environ is None else environ
    return {
        name: value for name, value in environ.items() if name not in _BY_NAME and not name.startswith(_OUR_PREFIXES)
    }


def _found_file() -> Path | None:
    local = Path(".env").absolute()
    # lexists: a symbolic link without a target must be an error, and not a start without settings.
    places = (local, INSTALLED_ENV_FILE) if _may_read(local) else (INSTALLED_ENV_FILE,)
    return next((path for path in places if os.path.lexists(path)), None)


def _may_read(local: Path) -> bool:
    """Whether `./.env` may be read. Root reads it only if no file is installed and only root can change it.

    Otherwise `sudo hk-tick-collector` in the directory of another account would use that account's DATA_ROOT and
    ALERT_URLS.
    """
    if os.geteuid() != 0 or local == INSTALLED_ENV_FILE or not os.path.lexists(local):
        return True
    return not os.path.lexists(INSTALLED_ENV_FILE) and _is_roots(local) and _is_roots(local.parent)


def _is_roots(path: Path) -> bool:
    """Whether only root can change a file, or the content of a directory."""
    found = path.lstat()
    return found.st_uid == 0 and (stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022)


def _unknown(name: str, where: str) -> list[UsageError]:
    """The error for an unknown name with one of our prefixes."""
    if name in _OTHERS or not name.startswith(_OUR_PREFIXES):
        return []
    nearest = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0)[0]
    return [
        UsageError(
            f"unknown setting {name} (from {where})",
            hint=f"the nearest that exists is {nearest}",
            zh=f"不明的設定 {name}（{where}）",
            hint_zh=f"最接近的是 {nearest}",
        )
    ]


def _not_a_setting(name: str, where: str) -> list[str]:
    """A warning for a name in the file that nothing reads. Names that the system or a library reads are allowed."""
    if name.startswith(_OUR_PREFIXES) or _OF_OTHERS.fullmatch(name):
        return []
    near = difflib.get_close_matches(name.upper(), _BY_NAME, n=1, cutoff=0.8)
    advice = f"perhaps {near[0]} is meant" if near else "remove the line"
    return [f"{name} ({where}) is no setting and does nothing: {advice}"]


def _parsed(
    texts: Mapping[str, str], origins: Mapping[str, str], notes: ValidationContext
) -> tuple[Settings | None, dict[str, UsageError]]:
    """The settings, or all errors by the name of the setting."""
    try:
        return _in_order(Settings.model_validate(_completed(texts, origins), context=notes), origins)
    except ValidationError as error:
        return None, _bad_values(error.errors(), texts, origins)


def _completed(texts: Mapping[str, str], origins: Mapping[str, str]) -> Mapping[str, str]:
    """On a host that only merges the default of DATA_ROOT is MERGE_ROOT: there is nothing else to read."""
    symbols = texts.get("FUTU_SYMBOLS", "" if origins["FUTU_SYMBOLS"] == DEFAULT else "wrong ones")
    root = texts.get("MERGE_ROOT", "").strip()
    if symbols.strip() or not root or origins["DATA_ROOT"] != DEFAULT:
        return texts
    return {**texts, "DATA_ROOT": root}


def _together(faults: list[UsageError], path: Path | None) -> UsageError:
    """One error with all errors, each with its allowed values."""
    if len(faults) == 1:
        return faults[0]
    told = "; ".join(f"{fault}: {fault.hint}" for fault in faults)
    told_zh = "；".join(f"{fault.zh or fault}：{fault.hint_zh or fault.hint}" for fault in faults)
    error = UsageError(
        f"{len(faults)} settings are wrong: {told}",
        hint=f"correct {path}" if path else "correct them",
        zh=f"{len(faults)} 項設定有錯：{told_zh}",
        hint_zh=f"更正 {path}" if path else "更正",
    )
    error.faults = tuple(faults)
    return error


def _bad_values(
    errors: list[ErrorDetails], texts: Mapping[str, str], origins: Mapping[str, str]
) -> dict[str, UsageError]:
    """An error for every bad value. A default that depends on a bad value is not an error."""
    faults = {str(error["loc"][0]): error for error in errors if error["loc"][0] in texts}
    return {name: _bad_value(name, fault, texts[name], origins[name]) for name, fault in faults.items()}


def _bad_value(name: str, details: ErrorDetails, text: str, origin: str) -> UsageError:
    setting = _BY_NAME[name]
    cause = details.get("ctx", {}).get("error")
    fault = "is empty" if not text else str(cause) if cause else "is out of bounds"
    unit = f" {setting.about.unit}" if setting.about.unit else ""
    fault_zh = "是空的" if not text else f"不正確（{cause}）" if cause else "超出範圍"
    return UsageError(
        f"{name}={_shown(setting, text)} (from {origin}) {fault}",
        hint=f"allowed is {setting.allowed.en}{unit}",
        zh=f"{name}={_shown(setting, text)}（{origin}）{fault_zh}",
        hint_zh=f"可用 {setting.allowed.zh}{unit}",
    )


def _shown(setting: Setting, text: str) -> str:
    if setting.about.secret:
        return "***"
    return printable(_USER_OF_URL.sub("//***@", text), 60)


def _in_order(settings: Settings, origins: Mapping[str, str]) -> tuple[Settings | None, dict[str, UsageError]]:
    """Adjusts a default that contradicts a given setting. Returns an error if two given settings contradict."""
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
            error = UsageError(
                f"{low.upper()}={as_text(smaller)} (from {origins[low.upper()]}) is more than "
                f"{high.upper()}={as_text(larger)} (from {origins[high.upper()]})",
                hint=f"allowed is at most {high.upper()}",
                zh=f"{low.upper()}={as_text(smaller)}（{origins[low.upper()]}）大於"
                f" {high.upper()}={as_text(larger)}（{origins[high.upper()]}）",
                hint_zh=f"不可大於 {high.upper()}",
            )
            return None, {low.upper(): error, high.upper(): error}
    return (settings.model_copy(update=moved) if moved else settings), {}
