"""A small file that is replaced in one step: whoever reads it finds the old one or the new one, never half.

Enters: a text. Leaves: the file, mode 0640 less the umask. Nothing is synced: after a power cut it may be the old one,
or empty, which those who read it understand.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MODE: Final = 0o640


def replace_file(path: Path, text: str, draft_name: str) -> None:
    """Writes a draft of that name beside it and renames that. OSError when it cannot; the draft may stay then."""
    draft = path.with_name(draft_name)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
