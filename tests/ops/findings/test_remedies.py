"""The text after `->` is a command that can be pasted, and nothing else."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.ops.conftest import NOW_MS
from tests.ops.explanations.test_catalogue import families

from hk_tick_collector.ops.findings import held_days, not_reporting, opend_states, remedies, writer
from hk_tick_collector.ops.findings.health import Limits, check, summary
from hk_tick_collector.ops.findings.remedies import Remedy, is_command
from hk_tick_collector.store.foreign import move_command
from hk_tick_collector.store.rights import JOIN_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ops.conftest import MakeStatus

LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)
ROOT: Final = "/data/sqlite/HK"
DAY: Final = "20261120"
# A live state in which everything that `health` knows is wrong at once, as far as one thing does not hide another.
ALL_WRONG: Final[dict[str, Any]] = {
    "trouble": {"kicked_out": ""}, "questions_failed": {"GetGlobalState": "no answer"}, "refused": {"HK.1": "quota"},
    "writer_trouble": "disk_full", "held_rows": {DAY: 1}, "held_causes": {DAY: "foreign_file"}, "stalls": 2,
    "not_sealed": {"20261118.db": "busy"}, "spooled": 1, "damaged_files": ["x"], "gone_files": ["x"], "waiting": 99_999,
    "stalls_lately": 2, "drift_s": 9.0, "wal_bytes": 2**40, "disk_free_mb": 1, "descriptors": 9, "descriptors_limit": 9,
    "link_breaks_lately": 9, "protocol_errors_lately": 1, "skipped_messages_lately": 1, "pushes_stopped_lately": 1,
    "sealed_day_lately": 1, "sealed_day_backfill_lately": 1, "conflicts_lately": 1, "no_sequence_lately": 1,
    "rejected_lately": 1, "dropped_lately": 1, "gaps_lost_lately": 1, "gaps_healing": 1, "newest_ts_ms": 1,
    "last_tick_ms": 1, "backfill_failing_ms": {"HK.1": 1}, "backfill_failed_ms": {"HK.1": NOW_MS},
    "copy_since_ms": 1, "copy_path": "/x", "unplanned_ms": [NOW_MS - 1, NOW_MS - 2, NOW_MS - 3, NOW_MS - 4],
}  # fmt: skip


def commands() -> Iterator[str]:
    """Every command that the module can give."""
    for value in vars(remedies).values():
        if isinstance(value, Remedy):
            yield value.command
    for name in (
        "JOURNAL",
        "START",
        "RESTART",
        "DOCTOR",
        "OPEND_STATUS",
        "OPEND_LOG",
        "RESTART_OPEND",
        "OPEND_CONSOLE",
    ):
        yield getattr(remedies, name)
    for name in ("TAKE_BACK", "RELOGIN", "GAPS", "SLOW_DISK", "LAST_LINES", "EDIT_SETTINGS", "EDIT_OPEND"):
        yield getattr(remedies, name)
    yield JOIN_GROUP
    yield from (remedies.HUNG, remedies.STALL, remedies.grep("x"), remedies.for_rejected("conflict", "HK.00700", 3))
    yield remedies.for_link("127.0.0.1:11111")
    yield from (remedies.for_refusal(cause).command for cause in ("quota", "quote_right", "temporary", "other"))
    yield from (opend_states.remedy_of(kind).command for kind in (*families()["opend_"], "unheard_of"))
    for cause in (*families()["writer_"], "unheard_of"):
        yield writer.remedy_of(cause, ROOT, DAY).command
        yield held_days.remedy_of(cause, ROOT, DAY)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_can_be_pasted(command: str) -> None:
    """It begins with a program, and a shell accepts it."""
    assert is_command(command), command
    assert subprocess.run(["bash", "-nc", command], check=False).returncode == 0


def test_a_path_with_a_space_stays_one_word(make_status: MakeStatus) -> None:
    """A DATA_ROOT like `/data/my disk`: what is pasted must not change `/data/my`."""
    root = "/data/my disk"
    told = [writer.remedy_of(cause, root, DAY).command for cause in families()["writer_"]]
    told += [held_days.remedy_of(cause, root, DAY) for cause in families()["writer_"]]
    told += [finding.remedy for finding in check(make_status(**ALL_WRONG, data_root=root), NOW_MS, LIMITS)]
    named = [word for command in told for word in shlex.split(command) if "/data/my" in word]
    assert named
    assert [word for word in named if root not in word] == []


def test_a_file_below_a_path_with_a_space_is_moved_away(tmp_path: Path) -> None:
    """The command works as it is pasted."""
    root = tmp_path / "my disk"
    root.mkdir()
    (root / "20261120.db").touch()
    (root / "20261120.db-wal").touch()
    command = move_command(root / "20261120.db").replace("sudo ", "")
    assert subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path).returncode == 0
    (aside,) = root.iterdir()
    assert sorted(file.name for file in aside.iterdir()) == ["20261120.db", "20261120.db-wal"]


@pytest.mark.parametrize(
    "text",
    [
        "wait, they close by themselves",
        "restart the service",
        "df -h /; free space; it resumes by itself",
        "",
        "free some space",
    ],
)
def test_text_for_people_is_no_command(text: str) -> None:
    """They belong into the text of a finding."""
    assert not is_command(text)


def test_every_remedy_of_a_finding_can_be_pasted(make_status: MakeStatus) -> None:
    """Every finding of a service in which all is wrong: its remedy is a command, or empty where nothing is to be typed.

    An empty one has no arrow.
    """
    found = [
        *check(make_status(**ALL_WRONG), NOW_MS, LIMITS),
        *check(make_status(**ALL_WRONG | {"copy_held": True, "trouble": {}, "program": "x"}), NOW_MS, LIMITS),
        *check(make_status(**ALL_WRONG | {"connected": False, "link_hint": "name a port"}), NOW_MS, LIMITS),
        *check(make_status(**ALL_WRONG | {"writer_trouble": "", "disk_wait_s": 9.0}), NOW_MS, LIMITS),
        *check(make_status(**ALL_WRONG | {"writer_trouble": "", "writer_alive_ms": 1}), NOW_MS, LIMITS),
        *check(make_status(subscribed=0), NOW_MS, LIMITS),
    ]
    assert len({finding.code for finding in found}) > 25
    for finding in found:
        assert not finding.remedy or is_command(finding.remedy), finding
        line = summary([finding])[1]
        assert line.endswith(f"-> {finding.remedy}" if finding.remedy else finding.text)


def test_remedies_for_a_service_that_does_not_report_can_be_pasted(make_status: MakeStatus) -> None:
    """Stuck, frozen, died, stopped, refused: each has one command."""
    old = make_status(written_ms=NOW_MS - 60_000)
    unit = dict.fromkeys(not_reporting.UNIT_PROPERTIES.split(","), "") | {"LoadState": "loaded", "NRestarts": "9"}
    hosts = [
        not_reporting.Host(process=process, place=place)
        for process in ("lives", "frozen", "in_kernel", "gone", "")
        for place in ("", "disk_full", "read_only")
    ]
    hosts += [not_reporting.Host(settings_error="x")]
    for state, sub in (
        ("failed", "failed"),
        ("activating", "auto-restart"),
        ("active", "running"),
        ("inactive", "dead"),
    ):
        words = {"ActiveState": state, "SubState": sub, "ExecMainCode": "1", "ExecMainStatus": "1", "Result": "success"}
        hosts += [
            not_reporting.Host(unit=unit | words),
            not_reporting.Host(unit=unit | words | {"StatusText": "no right"}),
        ]
    for host in hosts:
        for status in (None, old, make_status(state="stopped"), make_status(written_ms=NOW_MS + 60_000)):
            finding = not_reporting.check_gone(status, NOW_MS, host)
            assert finding
            assert is_command(finding.remedy), finding
