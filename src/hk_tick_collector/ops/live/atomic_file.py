"""A small file that is replaced in one step: a reader finds the old or the new content, never a part.

Input: a text. Output: the file, mode 0640 less the umask. Nothing is synced: after a power cut the file may have the
old content or be empty, and readers must accept that.
"""

from __future__ import annotations

import os
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
