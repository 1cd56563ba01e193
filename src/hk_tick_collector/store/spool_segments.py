"""The segments in a spool directory: lists them, and checks those of an earlier run.

Enters: a directory. Leaves: segments that can be replayed, and the damage found. An incomplete record at the end of a
segment, left by a crash, was never acknowledged and is truncated.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from . import spool_record as record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME: Final = re.compile(r"[0-9]{10}\.spool")
_RUN: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]+")  # followed by .YYYYMMDD for a held day


class Damage(NamedTuple):
    """A part of a file in the spool directory that cannot be replayed."""

    path: Path
    offset: int  # its start in the file
    size_bytes: int
    rows: int | None  # rows lost with it; None if unknown
    cause: str  # for the operator


@dataclass(slots=True)
class Segment:
    """One file of the spool."""

    path: Path
    end: int = 0  # offset of the next record; everything before it is on disk
    rows: int = 0  # appended and not yet forgotten
    position: int = len(record.FILE_HEAD)  # offset of the oldest record that is not forgotten
    damage: dict[int, int] = field(default_factory=dict)  # damage found at the start: offset of its start → of its end


@dataclass(slots=True)
class Found:
    """The content of a spool directory at the start."""

    segments: list[Segment] = field(default_factory=list)  # oldest first
    number: int = 0  # of the newest segment, 0 without any
    damage: list[Damage] = field(default_factory=list)  # includes foreign files, which are not changed


def path_in(directory: Path, number: int) -> Path:
    """The path of the segment with a number."""
    return directory / f"{number:010}.spool"


def is_run(name: str) -> bool:
    """Whether a directory in SPOOL_DIR is the spool of a run, or of one of its held days. Others are never changed:
    SPOOL_DIR may be DATA_ROOT, or a mount point with lost+found.
    """
    return _RUN.match(name) is not None


def segments_below(spool_dir: Path) -> list[Path]:
    """The segments of all runs in SPOOL_DIR; empty if SPOOL_DIR does not exist. Each run has its own directory, and one
    more for each held day. Raises OSError when a directory cannot be listed.
    """
    try:
        runs = sorted(
            path for path in spool_dir.iterdir() if is_run(path.name) and path.is_dir() and not path.is_symlink()
        )
    except FileNotFoundError:
        return []
    return [path for run in runs for path in sorted(run.iterdir()) if _NAME.fullmatch(path.name)]


def read_segments(paths: Iterable[Path]) -> Found:
    """Reads and checks the segments among the files of a spool directory, in the order of their names."""
    found = Found()
    for path in paths:
        ours = _NAME.fullmatch(path.name) is not None
        if ours:
            found.number = int(path.stem)
        if ours and path.is_file():
            _open_segment(path, found)
        elif not path.is_dir():  # a directory may be lost+found, if the spool is a mount point
            _leave_alone(path, record.NOT_OURS, found)
    return found


def _open_segment(path: Path, found: Found) -> None:
    """Counts the rows of a segment and truncates an incomplete end. Foreign or unreadable files are not changed."""
    try:
        size = path.stat().st_size
        head = record.read(path, 0, len(record.FILE_HEAD))
        if head != record.FILE_HEAD[:size]:
            _leave_alone(path, record.whose(head), found)
            return
        segment = Segment(path, end=len(head))
        damage = [Damage(path, 0, size, None, record.UNFINISHED)] if 0 < size < len(record.FILE_HEAD) else []
        for position, part in record.read_parts(path, len(head), size):
            if part.payload is None:
                segment.damage[position] = part.end
                damage.append(Damage(path, position, part.end - position, part.rows, part.cause))
            else:
                segment.rows += part.rows or 0
                segment.end = part.end
    except OSError as error:
        _leave_alone(path, error.strerror or "", found)
        return
    found.damage += damage
    if segment.rows:
        found.segments.append(segment)
    if all(item.cause != record.UNREADABLE for item in damage):  # an unreadable record may be readable later
        with suppress(OSError):  # if this fails, the next run does it
            if not segment.rows:
                path.unlink()
            elif segment.end < size:
                os.truncate(path, segment.end)


def _leave_alone(path: Path, cause: str, found: Found) -> None:
    with suppress(OSError):
        found.damage.append(Damage(path, 0, path.lstat().st_size, None, f"not changed: {cause}"))
