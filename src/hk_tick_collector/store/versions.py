"""Which SQLite is at work, and which ones may write beside another connection."""

from __future__ import annotations

from typing import Final

import apsw

# From 3.7.0 to 3.51.2 the WAL-reset defect can corrupt a database when two connections write or checkpoint at once.
SOUND_SINCE: Final = (3, 51, 3)


def library_version() -> str:
    """The version of SQLite that we write with, `3.54.0`."""
    return apsw.sqlite_lib_version()


def is_sound(version: str) -> bool:
    """Whether a SQLite of this version is free of the WAL-reset defect; an unknown version is not."""
    parts = version.split(".")
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) >= SOUND_SINCE
