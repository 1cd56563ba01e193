"""Shared by `plan`: the symbols files of a directory, one a host, compared with a plan and replaced.

A file is `HOST.txt`: a first line by which this program knows its own files, then one symbol a line, sorted. A file
without that line belongs to somebody else and is never replaced. Equal plans give equal bytes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.config import read_symbols
from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.store.disk import open_without_waiting, sync_directory, write_synced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MARK: Final = "# hk-tick-collector plan: the symbols of "
_SUFFIX: Final = ".txt"


class Change(NamedTuple):
    """What a plan changes for a host."""

    host: str
    path: Path
    is_new: bool  # there is no file yet
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {"file": str(self.path), "new": self.is_new, "added": list(self.added), "removed": list(self.removed)}


def compare(directory: Path, plan: Mapping[str, Iterable[str]]) -> list[Change]:
    """What the plan changes, host by host. UsageError for a file that no plan wrote, or that cannot be read."""
    found = []
    for host, symbols in plan.items():
        path = path_of(directory, host)
        there, wanted = _symbols_in(path, host), set(symbols)
        old = there or set()
        found.append(Change(host, path, there is None, tuple(sorted(wanted - old)), tuple(sorted(old - wanted))))
    return found


def others(directory: Path, hosts: Iterable[str]) -> list[str]:
    """Hosts of earlier plans whose files are in the directory, and which are none of `hosts`."""
    known, found = set(hosts), []
    for name in sorted(path.stem for path in directory.glob(f"*{_SUFFIX}") if path.stem not in known):
        with suppress(UsageError):  # a file that cannot be read, or a directory, is somebody else's
            if _first_line(path_of(directory, name)) == f"{_MARK}{name}":
                found.append(name)
    return found


def path_of(directory: Path, host: str) -> Path:
    """The file of a host."""
    return directory / f"{host}{_SUFFIX}"


def write(directory: Path, plan: Mapping[str, Iterable[str]]) -> None:
    """Replaces the files of all hosts, each in one step and only once all are written completely.

    A file that would have no symbol is written too: its collector refuses to start, and says why. CollectorError if one
    cannot be written, for example on a full disk; then every file is as before.
    """
    drafts: list[tuple[Path, Path]] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for host, symbols in plan.items():
            path = path_of(directory, host)
            drafts.append((path.with_name(f".{path.name}.{os.getpid()}"), path))
            write_synced(drafts[-1][0], "\n".join([f"{_MARK}{host}", *symbols, ""]))
        for draft, path in drafts:
            draft.replace(path)
        sync_directory(directory)
    except OSError as error:
        raise CollectorError(
            f"cannot write {error.filename or directory} ({error.strerror})",
            hint="name a directory with space that this user may write to: --out DIR",
        ) from None
    finally:
        for draft, _ in drafts:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _symbols_in(path: Path, host: str) -> set[str] | None:
    """The symbols of a host's present file; None without one."""
    first = _first_line(path)
    if first is None:
        return None
    if first != f"{_MARK}{host}":
        raise UsageError(f"{path} was not written by plan", hint="move it away, or name another directory: --out DIR")
    try:
        return set(read_symbols(f"@{path}", most=None).symbols)
    except ValueError:
        return set()  # no symbol in it


def _first_line(path: Path) -> str | None:
    """The first line of a file; None if there is no file."""
    try:
        with os.fdopen(open_without_waiting(path), encoding="utf-8", errors="replace") as file:
            return file.readline(256).rstrip("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror})", hint="check its permissions, or name another directory: --out DIR"
        ) from None
