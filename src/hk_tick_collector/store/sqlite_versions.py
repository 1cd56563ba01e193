"""The version of SQLite in use, and which versions are safe for several connections."""

from __future__ import annotations

from typing import Final

import apsw

# In versions 3.7.0 to 3.51.2 the WAL-reset defect can corrupt a database when two connections write or checkpoint at
# the same time.
SOUND_SINCE: Final = (3, 51, 3)
READS_SINCE: Final = (3, 37, 0)  # has STRICT tables; older versions report a malformed schema for a day file


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
