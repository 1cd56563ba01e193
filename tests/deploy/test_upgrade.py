"""deploy/lib/upgrade.sh with a systemctl that only answers; upgrades for real need a booted systemd: tests/systemd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PID = 42
STEPS = r"""
set -Eeuo pipefail
TOP=$1 SOURCE=$2 ROLES=$3
HOME_DIR=$TOP RELEASES=$TOP/releases CURRENT=$TOP/current UNIT=hk-tick-collector DATA_DIR=$TOP/data
DRY_RUN=false LOG=/dev/null LOOK_S=0 GOOD_LOOKS=1 KEPT_RELEASES=3 FINISH=false
PATH=$TOP/programs:$PATH
say() { printf '%s\n' "$*"; }
act() { "$@"; }
. "$SOURCE/deploy/lib/upgrade.sh"
eval "$(sed -n '/^has_role() /p; /^remove_old_releases() {/,/^}/p; /^switch_to() {/,/^}/p' "$SOURCE/deploy/install.sh")"
as_service() { "$@"; }
"""


def run(top: Path, steps: str, *, roles: str = "collector") -> subprocess.CompletedProcess[str]:
    """Runs steps of a shell that has read the functions; `top` is the directory of the installation."""
    command = ["bash", "-c", STEPS + steps, "bash", str(top), str(ROOT), roles]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make_program(path: Path, text: str) -> None:
    """A program of the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def status(symbols: int, *findings: dict[str, str], connected: bool = True) -> dict[str, Any]:
    """What `status --json` says while OpenD refuses this number of symbols."""
    refused = {f"HK.{n:05}": "subscribe refused (code -1), no quote right for this stock" for n in range(symbols)}
    return {"live": {"pid": PID, "connected": connected, "refused": refused}, "findings": list(findings)}


def judge(top: Path, before: dict[str, Any], now: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`is_well` for what the old version and the new version say."""
    python = top / "releases" / "new" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.is_symlink():
        python.symlink_to(sys.executable)
    make_program(python.with_name("hk-tick-collector"), 'cat "$(dirname "$0")/status.json"')
    python.with_name("status.json").write_text(json.dumps(now, indent=1))
    (top / "before.json").write_text(json.dumps(before))
    return run(top, f'live_state new | is_well new {PID} "$(<$TOP/before.json)"')


def test_a_version_is_judged_also_if_its_status_is_longer_than_an_argument_may_be(tmp_path: Path) -> None:
    """Linux allows an argument 128 KiB: with 2,000 refused symbols a good version was rolled back."""
    long = status(2000)
    assert len(json.dumps(long)) > 1 << 17
    done = judge(tmp_path, long, long)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    fault = {"severity": "CRITICAL", "code": "writer_stuck", "text": "the writer is stuck"}
    done = judge(tmp_path, long, status(2000, fault))
    assert (done.returncode, done.stdout) == (1, "CRITICAL: the writer is stuck\n")


def test_a_version_may_have_the_problems_that_the_old_one_had(tmp_path: Path) -> None:
    """Only a new problem is a reason to go back."""
    fault = {"severity": "CRITICAL", "code": "opend_away", "text": "OpenD is away"}
    assert judge(tmp_path, status(1, fault, connected=False), status(1, fault, connected=False)).returncode == 0
    done = judge(tmp_path, status(1), status(1, connected=False))
    assert (done.returncode, done.stdout) == (1, "it does not reach OpenD, which the old one did\n")


@pytest.mark.parametrize(
    ("roles", "said", "copies"),
    [
        ("collector", "Start it: sudo systemctl start hk-tick-collector", "day_files keep"),
        ("merge", "no collector runs on this host", "day_files forget"),
    ],
)
def test_old_versions_are_removed_also_where_no_collector_runs(
    tmp_path: Path, roles: str, said: str, copies: str
) -> None:
    """A host that only merges kept every version. A collector that is stopped keeps the copies of its day files."""
    make_program(tmp_path / "programs" / "systemctl", '[ "$1" != is-active ] || { echo inactive; exit 3; }')
    for version in range(6):
        release = tmp_path / "releases" / f"v{version}"
        release.mkdir(parents=True)
        os.utime(release, (version, version))
    steps = r"""
        check_settings() { :; }
        put_in_force() { switch_to "$1"; }
        schema_of() { echo "${1#v}"; }
        day_files() { [ "$2" = fit ] || echo "day_files $2" >"$TOP/last"; }
        begin_change() { :; }
        upgrade v4 v5
    """
    done = run(tmp_path, steps, roles=roles)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith(said)
    assert (tmp_path / "last").read_text().strip() == copies
    assert sorted(path.name for path in (tmp_path / "releases").iterdir()) == ["v3", "v4", "v5"]
