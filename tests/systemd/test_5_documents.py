"""Every command of our own documents, page by page in the page's order, typed by the person on duty.

A block that cannot run here says so and why: `bash no-run REASON`; see pages.py for what else it may say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from . import pages
from .cargo import ROOT, edits

if TYPE_CHECKING:
    from pathlib import Path

    from .host import Host
    from .reader import Reader
    from .watching import Watch

# In Chinese only: tests/test_docs_languages.py keeps the commands of the English pages the same.
FOUND = [path for path in sorted((ROOT / "docs").glob("*.md")) if not path.name.endswith(".en.md")]
PAGES = [path for path in FOUND if pages.blocks(path.read_text("utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_document(machine: Host, reader: Reader, watch: Watch, path: Path) -> None:
    """Each with the exit code that the page promises, 0 where it says nothing; the collector collects afterwards."""
    edits(machine, "")
    for block in pages.blocks(path.read_text("utf-8")):
        print(f"\n=== {path.name}:{block.line} {block.title}")
        if block.not_run:
            print(f"  not run: {block.not_run}")
        for command in block.commands:
            try:
                reader.paste(command, who="root" if block.root else "duty", codes=block.codes)
            except AssertionError as error:
                raise AssertionError(f"{path.name}:{block.line}: {error}") from None
            if re.search(r"systemctl (start|restart|enable)", command):
                watch.collecting()
