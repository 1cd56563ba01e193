"""`alerts --failed`, as the unit calls it: it sends by itself, whatever is wrong with the settings."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from tests.receiver import PATIENT

from hk_tick_collector.config import notice_settings
from hk_tick_collector.ops.alerts.failed_service import FAILURES_NAME
from hk_tick_collector.ops.alerts.mutes import EVERYTHING, MUTES_NAME, Mute, change_mutes
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.receiver import Receiver

pytestmark = pytest.mark.skipif(RUNTIME_DIRECTORY.is_dir(), reason="a collector is installed here")


def settings_file(workdir: Path, *lines: str) -> Path:
    """A settings file with these lines, and DATA_ROOT."""
    (workdir / "HK").mkdir(exist_ok=True)
    path = workdir / "collector.env"
    path.write_text("\n".join([f"DATA_ROOT={workdir / 'HK'}", "INSTANCE_ID=desk-1", *lines, ""]), "utf-8")
    return path


def test_a_crash_is_told_once_and_then_counted(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, receiver: Callable[..., Receiver]
) -> None:
    """The first at once; the second within ten minutes is noted, not sent."""
    there = receiver()
    path = settings_file(workdir, f"ALERT_URLS=json://127.0.0.1:{there.port}/{PATIENT}", "OPERATOR_LANG=en")
    for _ in range(2):
        done = cli("alerts", "--failed", "signal:killed:KILL", "--env-file", str(path))
        assert done.returncode == 0, done.stderr
        assert not done.stdout
    (message,) = there.messages
    assert message["title"] == "[desk-1] WARNING service_died"
    assert "ended by the signal KILL at " in str(message["message"])
    assert "notice=False ends=1" in done.stderr
    assert json.loads((workdir / "HK" / FAILURES_NAME).read_text())["ends"] == 1


@pytest.mark.parametrize(
    "wrong",
    ["FUTU_PORT=abc", " FUTU_PORT=1", "OPERATOR_LANG=fr", "FUTU_SYMBOLS="],
)
def test_a_start_that_the_settings_prevent_is_told(
    cli: Callable[..., subprocess.CompletedProcess[str]],
    workdir: Path,
    receiver: Callable[..., Receiver],
    wrong: str,
) -> None:
    """With the setting that is wrong and the command that opens the file."""
    there = receiver()
    path = settings_file(workdir, f"ALERT_URLS=json://127.0.0.1:{there.port}/{PATIENT}", "LOG_LEVEL=INFO", wrong)
    done = cli("alerts", "--failed", "hk-tick-collector.service", "--env-file", str(path))
    assert done.returncode == 0, done.stderr
    (message,) = there.messages
    assert message["title"] == "[desk-1] CRITICAL service_settings"
    assert f"next: sudo vim {path}; sudo systemctl restart hk-tick-collector" in str(message["message"])


def test_a_url_that_is_wrong_does_not_stop_the_others(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, receiver: Callable[..., Receiver]
) -> None:
    """The log names it without its secrets."""
    there = receiver()
    path = settings_file(workdir, f"ALERT_URLS=nonsense://hunter2 json://127.0.0.1:{there.port}/{PATIENT}")
    done = cli("alerts", "--failed", "hk-tick-collector.service", "--env-file", str(path))
    assert done.returncode == 0, done.stderr
    assert len(there.messages) == 1
    assert "1:nonsense://***" in done.stderr
    assert "hunter2" not in done.stderr + str(there.messages)


@pytest.mark.parametrize("code", [EVERYTHING, "service_died"])
def test_a_mute_withholds_it(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path, receiver: Callable[..., Receiver], code: str
) -> None:
    """As for every finding: nothing is sent, the log has it."""
    there, now_ms = receiver(), time.time_ns() // 1_000_000
    path = settings_file(workdir, f"ALERT_URLS=json://127.0.0.1:{there.port}/{PATIENT}")
    change_mutes(workdir / "HK" / MUTES_NAME, lambda _: [Mute(code, now_ms, now_ms + 3_600_000, "duty")], now_ms)
    done = cli("alerts", "--failed", "exit-code:exited:1", "--env-file", str(path))
    assert done.returncode == 0
    assert there.messages == []
    assert 'service_ended finding=service_died how="with exit code 1" notice=False' in done.stderr


def test_without_a_destination_it_is_in_the_log(
    cli: Callable[..., subprocess.CompletedProcess[str]], workdir: Path
) -> None:
    """And no failure of the unit."""
    path = settings_file(workdir)
    done = cli("alerts", "--failed", "exit-code:exited:1", "--env-file", str(path))
    assert done.returncode == 0
    assert "ALERT_URLS is empty" in done.stderr


def test_the_settings_of_a_notice_survive_a_bad_file(workdir: Path) -> None:
    """Each value that is valid is taken, each other one is the default; a file that is none is named."""
    path = settings_file(workdir, "ALERT_URLS=json://a json://b", "FUTU_PORT=x", "LANG")
    found = notice_settings(path, {})
    assert found.alert_urls == ("json://a", "json://b")
    assert (found.instance_id, found.data_root, found.unread) == ("desk-1", workdir / "HK", "")
    path.write_bytes(b"\0")
    assert "NUL" in notice_settings(path, {}).unread
