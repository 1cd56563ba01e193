"""Reads a small file whole, whatever is at its path: a pipe without a writer or an endless device holds nobody up."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from .disk import open_without_waiting

if TYPE_CHECKING:
    from pathlib import Path


def read_small(path: Path, most_bytes: int) -> bytes:
    """A file's content; ValueError for what is never written here: a pipe, a device, a file above `most_bytes`."""
    with os.fdopen(open_without_waiting(path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError("too long")
    return content
