"""Checks of settings that are valid one by one but that `run` still refuses: no symbols, a directory, a key, a URL.

Input: the loaded settings. Output: a UsageError for each, with name, value and source, worded as by `load_settings`.
`run`, `config --check`, `status` and `doctor` all use these checks, so that they agree.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final

from hk_tick_collector.config import DEFAULT
from hk_tick_collector.errors import CryptoError, UsageError
from hk_tick_collector.ops.doctor.files import check_directory, check_locks, service_account
from hk_tick_collector.ops.doctor.result import Outcome
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.store.small_file import read_small

from ._options import today

_KEY_BYTES: Final = 1 << 20

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.config import Loaded, Settings
    from hk_tick_collector.opend.crypto import RsaCipher
    from hk_tick_collector.ops.alerts.destination import Destination
    from hk_tick_collector.ops.doctor.files import Account


def refusals(
    loaded: Loaded, *, given_only: bool = False, account: Account | None = None, leave_out: tuple[str, ...] = ()
) -> dict[str, UsageError]:
    """The errors for which `run`, as the service's account, would refuse these settings, by the setting's name.

    `run` itself stops at the first one.

    With `given_only` default values are not checked: where no service is installed, nobody needs to set them.
    """
    settings, account = loaded.settings, account or service_account()
    checks: dict[str, Callable[[], object]] = {
        "FUTU_SYMBOLS": partial(symbols, loaded),
        "DATA_ROOT": partial(check_data_root, loaded),
        "SPOOL_DIR": partial(check_made, "SPOOL_DIR", settings.spool_dir, loaded),
        "FUTU_RSA_KEY": partial(_check_key, loaded, account),
        "ALERT_URLS": partial(destinations, loaded),
    }
    found = {}
    for name, check in checks.items():
        if name in leave_out or (given_only and loaded.origins[name] == DEFAULT):
            continue
        try:
            check()
        except UsageError as error:
            # We may not read it, but perhaps the service's account may.
            if not (isinstance(error.__cause__, PermissionError) and os.geteuid() != account.uid):
                found[name] = error
    return found


def blocked(settings: Settings) -> tuple[Words, str] | None:
    """Files of another account, or locks, that would prevent a start: a description and the remedy."""
    account, root = service_account(), settings.data_root
    try:
        if not root.is_dir():
            return None
    except OSError:  # `check_data_root` says why
        return None
    for check in (
        check_directory("DATA_ROOT", root, account, made_by_service=False),
        check_directory("SPOOL_DIR", settings.spool_dir, account, made_by_service=True),
        check_locks(root, settings.spool_dir, today(), account),
    ):
        if check.outcome is Outcome.FAILURE:
            return Words(check.text, check.text_zh), check.remedy
    return None


def symbols(loaded: Loaded) -> tuple[str, ...]:
    """The symbols; UsageError if there are none."""
    try:
        return loaded.settings.needed_symbols()
    except UsageError as error:
        raise UsageError(
            f"FUTU_SYMBOLS{_place('FUTU_SYMBOLS', loaded)} is empty",
            hint=error.hint,
            zh=f"FUTU_SYMBOLS{_place('FUTU_SYMBOLS', loaded)} 是空的",
        ) from None


def check_data_root(loaded: Loaded) -> None:
    """UsageError for a DATA_ROOT that is not a directory."""
    path = loaded.settings.data_root
    given = _given("DATA_ROOT", path, loaded)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        account = service_account()
        made = f"sudo install -d -o {account.name} -g {account.name} -m 0750" if account.installed else "mkdir -p"
        raise UsageError(
            f"{given} does not exist", hint=f"{made} {quote_word(str(path))}", zh=f"{given} 不存在"
        ) from None
    except OSError as error:  # this account may not enter a directory above it
        raise UsageError(
            f"{given} cannot be reached: {error.strerror}",
            hint=remedies.DOCTOR,
            zh=f"{given} 不能存取：{error.strerror}",
        ) from error
    if not stat.S_ISDIR(mode):
        raise UsageError(
            f"{given} is not a directory", hint="name a directory", zh=f"{given} 不是目錄", hint_zh="指定一個目錄"
        )


def check_made(name: str, path: Path, loaded: Loaded) -> None:
    """UsageError if a directory that the service will create is a file, or is below a file."""
    for place in (path, *path.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and loaded.origins[name] != DEFAULT:  # a default is below DATA_ROOT
                raise UsageError(
                    f"{_given(name, path, loaded)} cannot be used: {error.strerror}",
                    hint=f"name a directory in {name}",
                    zh=f"{_given(name, path, loaded)} 不能使用：{error.strerror}",
                    hint_zh=f"在 {name} 設定一個目錄",
                ) from None
            return  # this account may not enter it: `run` reports what it may not do
        if not stat.S_ISDIR(mode):
            below = "" if place == path else f" is below {place}, which"
            raise UsageError(
                f"{_given(name, path, loaded)}{below} is not a directory",
                hint=f"name a directory in {name}",
                zh=f"{_given(name, path, loaded)}：{place} 不是目錄",
                hint_zh=f"在 {name} 設定一個目錄",
            )
        return


def rsa_key(loaded: Loaded) -> RsaCipher | None:
    """The key of FUTU_RSA_KEY, or None if it is not set; UsageError for a file without a valid key."""
    path = loaded.settings.futu_rsa_key
    if path is None:
        return None
    from hk_tick_collector.opend.crypto import RsaCipher

    given = _given("FUTU_RSA_KEY", path, loaded)
    try:
        return RsaCipher(read_small(path, _KEY_BYTES))
    except ValueError as error:  # a pipe, a device, a file that is too long
        raise UsageError(
            f"{given}: {error}",
            hint="name the PEM file that OpenD uses",
            zh=f"{given} 不是金鑰檔",
            hint_zh="指定 OpenD 所用的 PEM 檔",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{given}: {error.strerror}", hint="name the PEM file that OpenD uses", hint_zh="指定 OpenD 所用的 PEM 檔"
        ) from error
    except CryptoError as error:
        raise UsageError(f"{given}: {error}", hint=error.hint) from None


def destinations(loaded: Loaded) -> tuple[Destination, ...]:
    """The destinations of alerts; UsageError for a URL that Apprise does not support."""
    from hk_tick_collector.ops.alerts.destination import open_destinations

    try:
        return open_destinations([url.get_secret_value() for url in loaded.settings.alert_urls])
    except UsageError as error:
        text = str(error).removeprefix("ALERT_URLS: ")
        raise UsageError(
            f"ALERT_URLS{_place('ALERT_URLS', loaded)}: {text}",
            hint=error.hint,
            zh=f"ALERT_URLS{_place('ALERT_URLS', loaded)}：{error.zh}",
            hint_zh=error.hint_zh,
        ) from None


def _check_key(loaded: Loaded, account: Account) -> None:
    """UsageError for an invalid key, or for one that we may read and the service's account may not."""
    path = loaded.settings.futu_rsa_key
    rsa_key(loaded)
    if path and not account.may(path.stat(), 4):
        whose = f"root:{account.name}" if account.installed else account.owner
        given = _given("FUTU_RSA_KEY", path, loaded)
        word = quote_word(str(path))
        command = f"sudo chown {whose} {word}; sudo chmod 0640 {word}"
        raise UsageError(
            f"{given}: {account.name} may not read it", hint=command, zh=f"{given}：{account.name} 不能讀取"
        )


def _given(name: str, value: object, loaded: Loaded) -> str:
    return f"{name}={value}{_place(name, loaded)}"


def _place(name: str, loaded: Loaded) -> str:
    origin = loaded.origins[name]
    return "" if origin == DEFAULT else f" (from {origin})"
