"""deploy/lib/trust.sh: only root can change what root executes, otherwise it is refused with the command to type."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
NOBODY = 65534
_SHELL = """
set -Eeuo pipefail
require() { printf 'refused: %s\\n' "$1"; }
. "$1/deploy/lib/trust.sh"
shift
"$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own what is root's")


def ask(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Calls a function of the library."""
    arguments = ["bash", "-c", _SHELL, "bash", str(ROOT), *map(str, command)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of root, below directories of root."""
    with tempfile.TemporaryDirectory(dir="/opt") as name:
        place = Path(name, "place")
        place.parent.chmod(0o755)
        place.mkdir(0o755)
        place.joinpath("program").touch(0o755)
        yield place


def test_a_path_that_only_root_can_change_is_accepted(place: Path) -> None:
    """Also a path that does not exist yet, and one through links of root."""
    (place / "link").symlink_to(place / "program")
    for path in (place / "program", place / "link", place / "later/program"):
        assert ask("demand_roots", path, "a program").stdout == ""


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_that_others_may_write_is_refused(place: Path, mode: int) -> None:
    """At any level of the path; a group without members except root does not count."""
    place.chmod(mode)
    os.chown(place, 0, NOBODY)
    said = ask("demand_roots", place / "program", "a program").stdout
    assert f"refused: {place} is root:" in said
    assert f"sudo chown root:root {place} && sudo chmod go-w {place}" in said


def test_a_directory_of_another_account_is_refused_even_higher_up(place: Path) -> None:
    """Its owner could replace our directory."""
    os.chown(place.parent, NOBODY, NOBODY)
    assert f"refused: {place.parent} is" in ask("demand_roots", place / "program", "a program").stdout


def test_a_link_is_followed_to_where_it_leads(place: Path) -> None:
    """A Python below a user's home, through a link of root."""
    home = place / "home"
    home.mkdir()
    (home / "python3").touch(0o755)
    os.chown(home, NOBODY, NOBODY)
    (place / "python3").symlink_to("home/python3")
    assert f"refused: {home} is" in ask("demand_roots", place / "python3", "a Python").stdout


def test_a_tree_with_one_file_of_another_account_is_refused(place: Path) -> None:
    """Nor is one that others may write."""
    assert ask("is_roots_tree", place).returncode == 0
    (place / "program").chmod(0o775)
    assert ask("is_roots_tree", place).returncode != 0
    (place / "program").chmod(0o755)
    os.chown(place / "program", NOBODY, 0)
    assert ask("is_roots_tree", place).returncode != 0
