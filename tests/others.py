"""Opens a test's directory for processes of another account."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_to_others(directory: Path) -> None:
    """Lets other accounts enter it: pytest makes its directories private, and there is one more for each worker."""
    for each in (directory, *directory.parents):
        mode = each.stat().st_mode
        if not mode & 0o001:
            each.chmod(mode | 0o011)
