"""Writes the page: complete or not at all, and never over a file that is not such a page."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

BEGINS: Final = "<!doctype html>\n<!-- hk-tick-collector quality -->\n"


def demand_replaceable(path: Path) -> None:
    """UsageError if there is something else at this path: only an older page is replaced."""
    try:
        if not path.is_symlink() and not path.exists():
            return
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(BEGINS)) == BEGINS.encode():
                    return
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})", hint="choose another name") from error
    raise UsageError(f"{path} exists and is not a page of quality", hint="choose another name")


def write_page(path: Path, text: str) -> None:
    """Writes a page under a hidden name and renames it. Raises UsageError if the directory does not allow that."""
    demand_replaceable(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(BEGINS + text)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        finally:
            with suppress(OSError):
                draft.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})", hint="choose another directory") from error
