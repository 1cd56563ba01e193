"""A host that only merges: what `merge` would refuse of its settings, and the checks of `doctor` that differ there.

Such a host has a MERGE_ROOT, no symbols and no OpenD, so nothing is said of a collector.
"""

from __future__ import annotations

from functools import partial
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Final

from hk_tick_collector import clock
from hk_tick_collector.errors import CollectorError, StoreError, UsageError
from hk_tick_collector.ops.doctor import files
from hk_tick_collector.ops.doctor.result import Check, failure, ok
from hk_tick_collector.ops.findings.words import Words, cause_of, hint_of
from hk_tick_collector.ops.live.merge_state import MERGE_DIRECTORY, MERGE_NAME, read_merge_state
from hk_tick_collector.ops.live.record import is_running

from ._options import today
from ._patience import demand_writable, in_child
from ._refused_settings import check_made, destinations
from ._stream_report import collectors_root, collects_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.config import Loaded, Settings

RESTART_MERGE: Final = "sudo systemctl restart hk-tick-merge"


def merges_only(loaded: Loaded) -> bool:
    """Whether these are the settings of such a host. One whose symbols are all misspelt is none."""
    return collects_nothing(loaded.settings) and not loaded.bad_symbols


def merge_refusals(loaded: Loaded, *, leave_out: tuple[str, ...] = ()) -> dict[str, UsageError]:
    """The errors for which `merge` would refuse these settings, by the setting's name."""
    checks: dict[str, Callable[[], object]] = {
        "MERGE_ROOT": partial(_check_root, loaded),
        "STREAM_URL": partial(_check_servers, loaded.settings),
        "ALERT_URLS": partial(destinations, loaded),
    }
    found = {}
    for name, check in checks.items():
        if name in leave_out:
            continue
        try:
            check()
        except UsageError as error:
            if not isinstance(error.__cause__, PermissionError):  # the service's account may be able to read it
                found[name] = error
    return found


def _check_root(loaded: Loaded) -> None:
    root = root_of(loaded.settings)
    collected = collectors_root(loaded)
    if collected is not None and root == collected.absolute():
        raise UsageError(
            f"MERGE_ROOT={root} is DATA_ROOT",
            hint="name another directory: a collector owns that one",
            zh=f"MERGE_ROOT={root} 即是 DATA_ROOT",
            hint_zh="指定另一個目錄：該目錄屬收集器",
        )
    check_made("MERGE_ROOT", root, loaded)
    if not root.parent.is_dir():
        raise UsageError(
            f"MERGE_ROOT={root} is in a directory that does not exist",
            hint=f"sudo mkdir -p {quote_word(str(root.parent))}",
            zh=f"MERGE_ROOT={root} 所在的目錄不存在",
        )


def _check_servers(settings: Settings) -> None:
    from hk_tick_collector.jetstream.connect import Servers

    try:
        Servers(settings.stream_url, "check", settings.stream_creds, settings.stream_ca).check()
    except UsageError:
        raise
    except CollectorError as error:  # a package is missing
        raise UsageError(str(error), hint=error.hint) from None


def root_of(settings: Settings) -> Path:
    """The directory of the merged day files of such a host."""
    if settings.merge_root is None:
        raise ValueError("MERGE_ROOT is empty")
    return settings.merge_root.absolute()


def version_that_runs(settings: Settings) -> str:
    """The version of the merge that runs; empty if none does."""
    newest = ("", 0)
    for directory in (MERGE_DIRECTORY, root_of(settings)):
        try:
            state = read_merge_state(directory / MERGE_NAME)
        except StoreError:
            continue
        if state is not None and is_running(state, clock.now_ms()):
            newest = max(newest, (state.version, state.written_ms), key=lambda each: each[1])
    return newest[0]


def check_merge_settings(loaded: Loaded, wrong: dict[str, UsageError], given: int) -> Iterator[Check]:
    """The settings that `merge` needs."""
    for error in (wrong[name] for name in ("MERGE_ROOT", "STREAM_URL") if name in wrong):
        yield failure("settings", cause_of(error), hint_of(error))
    if not {"MERGE_ROOT", "STREAM_URL"} & wrong.keys():
        root = root_of(loaded.settings)
        text = Words(
            f"{given} given, the rest default; this host merges into {root} and collects nothing",
            f"設定了 {given} 項，其餘用預設值；本機合併至 {root}，不作收集",
        )
        yield ok("settings", text)


def check_merge_disk(settings: Settings, account: files.Account) -> list[Check]:
    """The directory of the merged day files, as `check_data` for that of a collector."""
    root = root_of(settings)
    try:
        demand_writable(root)
        return in_child(lambda: list(_check_root_files(root, settings, account)), root)
    except StoreError as error:
        return [failure("MERGE_ROOT", cause_of(error), hint_of(error))]


def _check_root_files(root: Path, settings: Settings, account: files.Account) -> Iterator[Check]:
    yield files.check_directory("MERGE_ROOT", root, account, made_by_service=True)
    yield files.check_file_system(root)
    yield files.check_files(root, account)
    yield files.check_space(root, today(), settings.disk_min_free_mb)
    yield files.check_day(root, today())
    yield files.check_damaged(root)
