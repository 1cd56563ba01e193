"""`make cluster`: real processes, a host that is killed, and a verdict that fits on a terminal of 80 columns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.cluster.cluster import Cluster, Layout
from tools.cluster.hosts import Market
from tools.cluster.process import wait_until

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.early
def test_a_host_is_killed_and_the_union_is_whole(tmp_path: Path) -> None:
    """It ends by itself with exit code 0, says which host was killed and what each source lacks alone."""
    command = [sys.executable, "-m", "tools.cluster", "--seconds", "20", "--seed", "7", "--directory", "cluster-data"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " is killed: SIGKILL to nats-" in done.stdout
    assert "verdict: ok: every tick of the market is in the union, once" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.glob("cluster-data/c/merged/*.db")), "the union is left for the user to query"


@pytest.mark.early
def test_a_host_may_be_killed_when_the_other_has_what_it_lacks(tmp_path: Path) -> None:
    """Host b's market begins seconds after a's: after the wait, b has stored up to where a's market was."""
    with Cluster(tmp_path, Market(seconds=15, rate=200), Layout(servers=("c",))) as cluster:
        first, second = cluster.sources.values()
        for host in (first, second):
            host.opend.start()
            host.collector.start()
            host.is_up = True
            if host is first:
                wait_until(lambda: first.opend.made() > 800, "the market does not begin")
        wait_until(second.is_collecting, "the second does not collect")
        behind = second.status()
        before_ms = first.opend.newest_ms()
        assert behind is not None
        assert (behind.newest_ts_ms or 0) < before_ms, "both markets are at the same time: this proves nothing"
        cluster.wait_collecting()
        assert second.has_stored(before_ms)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--seconds", "3"], "--seconds 3 is too short to kill a host: give 20 or more"),
        (["--directory", "."], "is not empty, and not from an earlier run: name another --directory"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_starts(tmp_path: Path, args: list[str], named: str) -> None:
    """A directory of somebody else is never emptied."""
    (tmp_path / "mine").touch()
    command = [sys.executable, "-m", "tools.cluster", *args]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert (tmp_path / "mine").exists()
