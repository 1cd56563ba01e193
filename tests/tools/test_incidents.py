"""`python -m tools.incidents`: an incident with real processes, and pictures that do not say what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tools.incidents.incidents import INCIDENTS

from hk_tick_collector.ops.findings.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.incidents.incidents import Incident

ROOT: Final = Path(__file__).parent.parent.parent
PNG: Final = b"\x89PNG"


def run(directory: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs the command in a directory."""
    command = [sys.executable, "-m", "tools.incidents", *arguments]
    environ = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False, timeout=900)


@pytest.mark.early
def test_an_incident_leaves_pictures_and_a_key(tmp_path: Path) -> None:
    """Page and `top` name the cause and the command; nothing but the key has the incident's name."""
    done = run(tmp_path, ["--out", "pictures", "--key", "key", "--only", "opend_away"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "opend_away" not in done.stdout
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"1-phone.png", "1-desk.png", "1-top.txt"}
    assert all(path.read_bytes()[:4] == PNG for path in (tmp_path / "pictures").glob("*.png"))
    screen = (tmp_path / "pictures" / "1-top.txt").read_text("utf-8")
    assert "no connection to OpenD" in screen
    assert len(screen.splitlines()) == 24
    name, _, remedy = (tmp_path / "key").read_text("utf-8").partition(" -> ")
    assert name.startswith("1  opend_away: ")
    assert remedy.split(";")[0] in screen


def test_an_unknown_incident_is_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    done = run(tmp_path, ["--out", "pictures", "--key", "key", "--only", "earthquake"])
    assert done.returncode == 2
    assert "no incident is named earthquake" in done.stderr
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda each: each.name)
def test_each_incident_has_a_finding_that_exists(incident: Incident) -> None:
    """Otherwise it would wait for a finding that never comes."""
    assert REGISTRY.spec(incident.finding) is not None
