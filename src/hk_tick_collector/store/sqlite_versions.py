"""Which SQLite is at work, and which ones may write beside another connection."""

from __future__ import annotations

from typing import Final

import apsw

# From 3.7.0 to 3.51.2 the WAL-reset defect can corrupt a database when two connections write or checkpoint at once.
SOUND_SINCE: Final = (3, 51, 3)
READS_SINCE: Final = (3, 37, 0)  # STRICT tables; an older one calls the schema of a day file malformed


def library_version() -> str:
    """The version of SQLite that we write with, `3.54.0`."""
    return apsw.sqlite_lib_version()


def is_sound(version: str) -> bool:
    """Whether a SQLite of this version is free of the WAL-reset defect; an unknown version is not."""
    return _is_since(version, SOUND_SINCE)


def reads_days(version: str) -> bool:
    """Whether a SQLite of this version can read a day file; an unknown version cannot."""
    return _is_since(version, READS_SINCE)


def _is_since(version: str, first: tuple[int, ...]) -> bool:
    parts = version.split(".")
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) >= first
