"""The service sends that `publish` or `merge` on its host has ended: the live states are real files."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from tests.ops.alerts.conftest import CAP_S, LIMITS
from tests.ops.conftest import NOW_MS
from tests.receiver import PATIENT

from hk_tick_collector.ops.alerts.alerter import MEMORY_NAME, Alerter
from hk_tick_collector.ops.alerts.destination import open_destinations
from hk_tick_collector.ops.alerts.mutes import MUTES_NAME
from hk_tick_collector.ops.alerts.options import AlertOptions
from hk_tick_collector.ops.alerts.rules import Memory, Open
from hk_tick_collector.ops.alerts.stream_watch import StreamWatch
from hk_tick_collector.ops.live import stream_states
from hk_tick_collector.ops.live.merge_state import MergeState
from hk_tick_collector.ops.live.publish_state import PublishState
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ops.conftest import MakeStatus
    from tests.receiver import Receiver

BOTH = frozenset({"publish", "merge"})
HOUR_MS = 3_600_000


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host: `root` is DATA_ROOT, `publish` and `merge` the directories that systemd makes."""
    for name in ("root", "publish", "merge"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(stream_states, "PUBLISH_DIRECTORY", tmp_path / "publish")
    monkeypatch.setattr(stream_states, "MERGE_DIRECTORY", tmp_path / "merge")
    return tmp_path


def publishes(host: Path, written_ms: int, state: str = "publishing", directory: str = "publish") -> None:
    """The live state of a publish of this DATA_ROOT."""
    told = PublishState(written_ms, NOW_MS, 1, "1", "one", str(host / "root"), state)
    (host / directory / "publish.json").write_text(json.dumps(asdict(told)))


def merges(host: Path, written_ms: int, state: str = "running") -> None:
    """The live state of the merge of this host."""
    told = MergeState(written_ms, NOW_MS, 1, "1", "one", state, "/merged")
    (host / "merge" / "merge.json").write_text(json.dumps(asdict(told)))


def found(host: Path, wanted: frozenset[str] = BOTH) -> list[tuple[str, str]]:
    """Code and process of what the service finds now."""
    watch = StreamWatch(host / "root", wanted, lambda: NOW_MS)
    watch.poll()
    return [(each.code, each.text.split()[0]) for each in watch.findings]


def test_processes_that_run_or_were_never_here_are_no_finding(host: Path) -> None:
    """Without a live state nothing is expected; what is wrong with a process that runs it sends itself."""
    assert found(host) == []
    publishes(host, NOW_MS - 900)
    merges(host, NOW_MS - 900)
    assert found(host) == []


def test_a_process_that_ended_or_is_stuck_is_found(host: Path) -> None:
    """Killed, stuck or stopped, each of the two."""
    publishes(host, NOW_MS - HOUR_MS)
    merges(host, NOW_MS - HOUR_MS)
    assert found(host) == [("stream_not_reporting", "publish"), ("stream_not_reporting", "merge")]
    publishes(host, NOW_MS - HOUR_MS, "stopped")
    merges(host, NOW_MS - HOUR_MS, "stopped")
    assert found(host) == [("stream_stopped", "publish"), ("stream_stopped", "merge")]


def test_a_process_that_was_switched_off_is_no_finding(host: Path) -> None:
    """It was stopped, and its setting removed; systemd keeps its directory."""
    publishes(host, NOW_MS - HOUR_MS, "stopped")
    merges(host, NOW_MS - HOUR_MS, "stopped")
    assert found(host, frozenset({"merge"})) == [("stream_stopped", "merge")]
    assert found(host, frozenset()) == []


@pytest.mark.parametrize(("running", "killed"), [("publish", "root"), ("root", "publish")])
def test_an_old_live_state_beside_that_of_a_process_that_runs_is_no_finding(
    host: Path, running: str, killed: str
) -> None:
    """One run by hand was killed, with a clock ahead or not; systemd's runs, or the other way round."""
    publishes(host, NOW_MS - 900, directory=running)
    for written_ms in (NOW_MS - HOUR_MS, NOW_MS + HOUR_MS):
        publishes(host, written_ms, directory=killed)
        assert found(host) == []


def test_what_cannot_be_read_is_no_finding(host: Path) -> None:
    """A file of another version, of another DATA_ROOT, or none at all: `status` says what is wrong with it."""
    (host / "publish" / "publish.json").write_text("{}")
    (host / "merge" / "merge.json").write_text("[")
    assert found(host) == []
    other = PublishState(NOW_MS - HOUR_MS, NOW_MS, 1, "1", "one", "/elsewhere", "publishing")
    (host / "publish" / "publish.json").write_text(json.dumps(asdict(other)))
    assert found(host) == []


def test_the_service_sends_it_and_its_heartbeat_has_it(
    host: Path, receiver: Callable[..., Receiver], make_status: MakeStatus
) -> None:
    """CRITICAL once it has lasted for 30 s, here in an earlier run; the heartbeat's verdict is that of `status`."""
    publishes(host, NOW_MS - HOUR_MS)
    lasted = Open(NOW_MS - HOUR_MS, NOW_MS, NOW_MS, held_ms=30_000, critical_ms=NOW_MS - 30_000)
    (host / "root" / MEMORY_NAME).write_text(Memory({"stream_not_reporting": lasted}, []).to_json())
    there = receiver()
    destinations = open_destinations([f"json://127.0.0.1:{there.port}/{PATIENT}"])
    root = host / "root"
    options = AlertOptions(destinations, LIMITS, root, root / MUTES_NAME, "one", heartbeat_min=1, streams=BOTH)
    alerter = Alerter(options, Stats(), lambda: NOW_MS)
    alerter.start()

    def update_until(titles: list[str], **changes: Any) -> None:
        deadline_s = time.monotonic() + CAP_S
        while there.titles() != titles:
            assert time.monotonic() < deadline_s, there.titles()
            alerter.update(make_status(**changes))
            time.sleep(0.01)

    update_until(["[one] CRITICAL stream_not_reporting"], market_state="closed", trading=False)
    update_until(["[one] CRITICAL stream_not_reporting", "[one] heartbeat"])
    assert there.messages[1]["message"].startswith("CRITICAL stream_not_reporting: ")
    alerter.stop()
    alerter.join(time.monotonic() + CAP_S)
