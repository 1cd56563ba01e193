"""A small file that is replaced in one step: a reader finds the old or the new content, never a part.

Input: a text. Output: the file, mode 0640 less the umask. Nothing is synced: after a power cut the file may have the
old content or be empty, and readers must accept that. `read_small` reads such a file.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MODE: Final = 0o640


def replace_file(path: Path, text: str, draft_name: str) -> None:
    """Writes a draft with that name beside the file and renames it. OSError on failure; the draft may then remain."""
    draft = path.with_name(draft_name)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def read_small(path: Path, most_bytes: int) -> bytes:
    """A file's content; ValueError for what is never written here: a pipe, a device, a file above `most_bytes`."""
    fd = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    )  # opening a pipe would wait for a writer
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError("too long")
    return content
