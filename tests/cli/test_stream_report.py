"""What `status` and `doctor` say of publish, merge and the NATS servers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.merging.feeds import NOW_MS as DAY_MS
from tests.merging.feeds import ticks
from tests.nats_keys import Key
from tests.nats_servers import NatsServers

from hk_tick_collector import market
from hk_tick_collector.cli._patience import Disk
from hk_tick_collector.cli._stream_checks import check_streams
from hk_tick_collector.cli._stream_report import is_merge_host, stream_lines, streams_of
from hk_tick_collector.clock import now_ms
from hk_tick_collector.config import Settings
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.ops.doctor.files import Account
from hk_tick_collector.ops.doctor.result import Check, Outcome
from hk_tick_collector.ops.live.merge_state import MERGE_NAME, MergeState, write_merge_state
from hk_tick_collector.ops.live.publish_state import PUBLISH_NAME, PublishState, write_publish_state
from hk_tick_collector.ops.live.record import text_of
from hk_tick_collector.publishing.presence import Publisher, answer_for
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

NOW_MS = 1_795_140_000_000


def settings_of(root: Path, **changes: Any) -> Settings:
    return Settings.model_validate({"data_root": str(root), **changes})


def merging(root: Path, **changes: Any) -> MergeState:
    fields = {"server": "nats://10.0.0.1:4222", "sources": {"a": NOW_MS - 500}, **changes}
    state = MergeState(NOW_MS - 500, NOW_MS - 9000, 1, "1", "m", "running", str(root), **fields)
    write_merge_state(root / MERGE_NAME, text_of(state), 1)
    return state


def test_a_host_without_both_says_nothing(tmp_path: Path) -> None:
    """The single host stays as it is."""
    found = streams_of(settings_of(tmp_path), NOW_MS, Disk())
    assert (found.publish, found.merge, found.findings) == (None, None, ())
    assert stream_lines(found, NOW_MS, "en") == []


def test_both_are_read_and_judged(tmp_path: Path) -> None:
    """Live states beside the day files, with a line and a finding for what is wrong."""
    merging(tmp_path)
    state = PublishState(NOW_MS - 60_000, 0, 1, "1", "a", str(tmp_path), "publishing", server="nats://10.0.0.1:4222")
    write_publish_state(tmp_path / PUBLISH_NAME, text_of(state), 1)
    found = streams_of(settings_of(tmp_path), NOW_MS, Disk())
    assert [finding.code for finding in found.findings] == ["stream_not_reporting"]
    names = [name for name, _ in stream_lines(found, NOW_MS, "en")]
    assert names == ["publish", "merge", "collectors"]
    chinese = stream_lines(found, NOW_MS, "zh-Hant")
    assert [name for name, _ in chinese] == ["發布", "合併", "收集器"]


def test_a_publish_that_was_switched_off_is_no_warning(tmp_path: Path) -> None:
    """systemd keeps its last state. Where STREAM_URL is set, it is to run, and the warning stays."""
    state = PublishState(NOW_MS - 9_000_000, 0, 1, "1", "a", str(tmp_path), "stopped", server="nats://10.0.0.1:4222")
    write_publish_state(tmp_path / PUBLISH_NAME, text_of(state), 1)
    found = streams_of(settings_of(tmp_path), NOW_MS, Disk())
    assert (found.publish, found.findings) == (None, ())
    found = streams_of(settings_of(tmp_path, stream_url="nats://10.0.0.1:4222"), NOW_MS, Disk())
    assert [finding.code for finding in found.findings] == ["stream_stopped"]


def test_the_state_of_another_directory_is_not_ours(tmp_path: Path) -> None:
    """A copied directory brings the file along; it tells of another merge."""
    (tmp_path / "other").mkdir()
    state = merging(tmp_path / "other")
    write_merge_state(tmp_path / MERGE_NAME, text_of(state), 1)
    assert streams_of(settings_of(tmp_path), NOW_MS, Disk()).merge is None


def test_a_host_that_only_merges_needs_no_collector(tmp_path: Path) -> None:
    """No symbols, or DATA_ROOT is the merged directory; a collector's host that also merges is none."""
    (tmp_path / "merged").mkdir()
    state = merging(tmp_path / "merged")
    assert is_merge_host(state, settings_of(tmp_path))
    assert is_merge_host(state, settings_of(tmp_path / "merged", symbols="HK.00700"))
    assert not is_merge_host(state, settings_of(tmp_path, symbols="HK.00700"))
    assert not is_merge_host(None, settings_of(tmp_path))


def test_status_of_a_merge_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb: exit code and JSON come from the merge, not from a collector that does not exist."""
    from hk_tick_collector import cli, clock

    merging(tmp_path, stream_replicas=3, stream_servers=2)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    assert cli.main(["status", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in document["findings"]] == ["stream_servers"]
    assert document["merge"]["data_root"] == str(tmp_path)
    assert document["live"] is None
    merging(tmp_path, stream_replicas=3, stream_servers=3)
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.startswith("OK: merging the ticks of a, nothing to do\n")


@pytest.mark.parametrize(("sync", "outcome"), [("always", Outcome.OK), ("2m", Outcome.WARNING)])
def test_doctor_asks_the_servers(tmp_path: Path, sync: str, outcome: Outcome) -> None:
    """Reachable, version, stream; and whether the disk has each message before it is acknowledged."""
    with NatsServers(tmp_path, sync=sync) as servers:
        settings = settings_of(tmp_path, stream_url=servers.url)
        port = int(servers.monitor(0).rpartition(":")[2])
        server, on_disk = check_streams(settings, port)
    assert server.outcome is Outcome.OK
    assert "there is no stream HK_TICKS yet" in server.text
    assert on_disk.outcome is outcome


def named(settings: Settings) -> Check:
    """The check of INSTANCE_ID."""
    (found,) = (check for check in check_streams(settings, 1) if check.name == "INSTANCE_ID")
    return found


def test_doctor_checks_the_name_under_which_this_host_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before `publish` refuses it: a name with a dot, and one that another host has. None is needed to merge."""
    away = settings_of(tmp_path, stream_url="nats://127.0.0.1:1", instance_id="hk.example", symbols="HK.00700")
    assert (named(away).outcome, "cannot name a source" in named(away).text) == (Outcome.FAILURE, True)
    assert named(away.model_copy(update={"instance_id": "a"})).outcome is Outcome.NOT_CHECKED
    with NatsServers(tmp_path) as servers:
        mine = settings_of(tmp_path, stream_url=servers.url, instance_id="a", symbols="HK.00700")
        assert [check.name for check in check_streams(mine.model_copy(update={"symbols": ()}), 1)][-1] != "INSTANCE_ID"
        assert (named(mine).outcome, named(mine).text) == (Outcome.OK, "nobody publishes as a now")

        async def while_published(started_ms: int) -> Check:
            connection = await connect(Servers((servers.url,), "publish a"))
            try:
                await answer_for(
                    connection, "a", lambda: Publisher("a", "host-2", 7, started_ms, "token", publishes=True)
                )
                return await asyncio.to_thread(named, mine)
            finally:
                await connection.close()

        state = PublishState(NOW_MS, NOW_MS - 9000, 7, "1", "a", str(tmp_path), "publishing")
        write_publish_state(tmp_path / PUBLISH_NAME, text_of(state), 7)
        monkeypatch.setattr("hk_tick_collector.publishing.presence._ANSWER_S", 60.0)  # this process answers itself
        assert asyncio.run(while_published(NOW_MS - 9000)).outcome is Outcome.OK
        other = asyncio.run(while_published(NOW_MS - 8000))
        assert (other.outcome, "host-2, pid 7, since" in other.text) == (Outcome.FAILURE, True)


def test_doctor_says_that_the_key_is_of_another_name(tmp_path: Path) -> None:
    """`publish` would be refused at its start."""
    key, creds = Key("U"), tmp_path / "stream.nk"
    creds.write_text(key.seed, "utf-8")
    creds.chmod(0o600)
    allowed = '{ publish: ["hk.name.b", "$JS.API.STREAM.INFO.HK_TICKS"], subscribe: ["_INBOX.>"] }'
    users = f"authorization {{ users: [ {{ nkey: {key.public}, permissions: {allowed} }} ] }}"
    with NatsServers(tmp_path, more=users) as servers:
        settings = settings_of(
            tmp_path, stream_url=servers.url, stream_creds=str(creds), instance_id="a", symbols="HK.00700"
        )
        check = named(settings)
    assert (check.outcome, "hk.name.a" in check.text) == (Outcome.WARNING, True)


def test_doctor_names_a_server_that_is_away(tmp_path: Path) -> None:
    """One line, with what to do; without STREAM_URL there is no line."""
    server, on_disk = check_streams(settings_of(tmp_path, stream_url="nats://127.0.0.1:1"), 1)
    assert (server.outcome, on_disk.outcome) == (Outcome.FAILURE, Outcome.NOT_CHECKED)
    assert "no NATS server at nats://127.0.0.1:1" in server.text
    assert list(check_streams(settings_of(tmp_path))) == []


def test_a_host_for_merge_alone_whose_merge_does_not_run(cli: Cli, workdir: Path) -> None:
    """It says which program is missing: not the collector, which this host does not have."""
    (workdir / "merged").mkdir()
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/merged\nSTREAM_URL=nats://127.0.0.1:1\n", "utf-8")
    done = cli("status")
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == (
        f"CRITICAL: no merge runs for MERGE_ROOT={workdir}/merged (no merge.json) -> sudo systemctl start hk-tick-merge"
    )
    assert "hk-tick-collector" not in done.stdout.splitlines()[0].partition("->")[2]


def test_reading_verbs_of_a_host_for_merge_alone_read_the_union(cli: Cli, workdir: Path) -> None:
    """Nobody has to name the directory. What writes day files of a collector does not take it for one."""
    path = workdir / "merged" / "20261120.db"
    path.parent.mkdir()
    file = DayFile(path, path.stem, "merge-1", DAY_MS, "test", StoreOptions(synchronous="OFF"))
    file.write(Batch(rows=ticks([1]), meta={"merge_position": "1 a"}), DAY_MS)
    file.close()
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/merged\nSTREAM_URL=nats://127.0.0.1:1\n", "utf-8")
    done = cli("ticks", "--day", "20261120", "--format", "csv")
    assert (done.returncode, done.stdout.count("HK.00700")) == (0, 1)
    assert cli("gaps", "--day", "20261120").returncode == 0
    assert f"DATA_ROOT,{path.parent},default" in ",".join(cli("config").stdout.split())
    for verb in (("publish", "--once"), ("import", "20261118.db")):
        refused = cli(*verb)
        assert (refused.returncode, "is MERGE_ROOT" in refused.stderr) == (2, True), refused.stderr
    assert cli("ticks", "--day", "20261120", FUTU_SYMBOLS="HK.00700").returncode == 1


def test_a_day_that_is_not_merged_yet_needs_no_collector_here(cli: Cli, workdir: Path) -> None:
    """The answer names merge: there is no collector to start on that host."""
    merging(workdir)
    day = market.day_name(market.day_number(now_ms()))
    done = cli("snapshot", "--day", day, DATA_ROOT=str(workdir))
    assert done.returncode == 1
    weekday = market.is_weekday(market.parse_day(day))
    assert ("merge has received no tick of that day: hk-tick-collector status" in done.stderr) == weekday, done.stderr


def test_a_key_that_the_service_may_not_read(tmp_path: Path) -> None:
    """Root reads it, so only its owner and mode show that `publish` and `merge` will be refused: with the command."""
    key = tmp_path / "stream.nk"
    key.write_text("", "ascii")
    key.chmod(0o600)
    settings = settings_of(tmp_path, stream_url="nats://127.0.0.1:1", stream_creds=str(key))
    stranger = Account("hkcollector", 54321, frozenset({54321}), installed=True)
    check = next(iter(check_streams(settings, 1, stranger)))
    assert (check.name, check.outcome) == ("STREAM_CREDS", Outcome.FAILURE)
    assert check.text == f"hkcollector may not read STREAM_CREDS={key}"
    assert check.remedy == f"sudo chgrp hkcollector {key}; sudo chmod 0640 {key}"


def test_a_host_for_merge_without_the_packages(cli: Cli, workdir: Path) -> None:
    """`config --check` says which package is missing, as one of its lines."""
    (workdir / "merged").mkdir()
    key = workdir / "stream.nk"
    key.write_text(Key("U").seed, "ascii")
    key.chmod(0o600)
    hide = """import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
"""
    (workdir / "sitecustomize.py").write_text(hide, "utf-8")
    lines = f"MERGE_ROOT={workdir}/merged\nSTREAM_URL=nats://127.0.0.1:1\nSTREAM_CREDS={key}\n"
    (workdir / ".env").write_text(lines, "utf-8")
    done = cli("config", "--check", PYTHONPATH=str(workdir))
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("ERROR: cryptography is not installed: pip install")
