"""`alerts` at a terminal: test messages over real sockets, mutes in a real file, the list of what is open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.live_state import leave_live_state
from tests.others import open_to_others
from tests.receiver import PATIENT

from hk_tick_collector.ops.alerts.mutes import MUTES_NAME
from hk_tick_collector.ops.alerts.rules import Memory, Open
from hk_tick_collector.ops.live.merge_state import MERGE_ALERTS_NAME, MERGE_NAME, MergeState, write_merge_state
from hk_tick_collector.ops.live.record import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.receiver import Receiver

NOBODY: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PROGRAM: Final = (sys.executable, "-m", "hk_tick_collector")
SECRET = "hunter2secret"


class Verb:
    """`alerts` with a DATA_ROOT of its own, in which a collector has run."""

    def __init__(self, cli: Callable[..., subprocess.CompletedProcess[str]], root: Path) -> None:
        self.root = root
        self._cli = cli

    def __call__(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self._cli("alerts", *args, **{"DATA_ROOT": str(self.root), "OPERATOR_LANG": "en", **environ})

    def runs(self, **values: Any) -> None:
        """A collector that reports."""
        now_ms = time.time_ns() // 1_000_000
        state = {"written_ms": now_ms, "started_ms": now_ms - 1000, "state": "stopped", "pid": 7}
        leave_live_state(self.root, **state | values)

    @property
    def mutes(self) -> list[dict[str, Any]]:
        """The content of the file."""
        found: list[dict[str, Any]] = json.loads((self.root / MUTES_NAME).read_text())["mutes"]
        return found


@contextmanager
def reporting_merge(root: Path) -> Iterator[None]:
    """A merge whose live state is renewed, as long as the test takes."""
    ends = threading.Event()

    def report() -> None:
        is_last = False
        while not is_last:
            now_ms = time.time_ns() // 1_000_000
            state = MergeState(now_ms, now_ms - 1000, 7, "1", "m", "running", str(root))
            write_merge_state(root / MERGE_NAME, text_of(state), 7)
            is_last = ends.wait(0.2)

    reports = threading.Thread(target=report)
    reports.start()
    try:
        while not (root / MERGE_NAME).exists():
            time.sleep(0.01)
        yield
    finally:
        ends.set()
        reports.join()


@pytest.fixture
def alerts(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Verb:
    """The verb."""
    (tmp_path / "HK").mkdir()
    return Verb(cli, tmp_path / "HK")


def test_a_test_message_tells_what_came_back(alerts: Verb, receiver: Callable[..., Receiver]) -> None:
    """One line for each destination, no secret, exit code 1 as one refused; the other got a real message."""
    there, refusing = receiver(), receiver(500)
    urls = " ".join(f"json://me:{SECRET}@127.0.0.1:{one.port}/{SECRET}{PATIENT}" for one in (there, refusing))
    done = alerts("--test", ALERT_URLS=urls, INSTANCE_ID="desk-1")
    first, second, last = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert first.startswith("1:json://***  accepted in ")
    assert first.endswith(" s: HTTP 200 OK")
    assert second.startswith("2:json://***  FAILED after ")
    assert "500" in second
    assert last == "1 of 2 destinations did not accept the message: docs/alerts.md has the form of each URL"
    assert there.titles() == ["[desk-1] test"]
    assert SECRET not in done.stdout + done.stderr


def test_a_url_of_the_command_line_in_the_operators_language(alerts: Verb, receiver: Callable[..., Receiver]) -> None:
    """It needs no ALERT_URLS; exit code 0; --json is one document."""
    there = receiver()
    url = f"json://127.0.0.1:{there.port}/{PATIENT}"
    done = alerts("--test", url, OPERATOR_LANG="zh-Hant")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 個目的地均已接收：請看訊息是否送達"
    assert "測試" in there.titles()[0]
    document = json.loads(alerts("--test", url, "--json").stdout)
    assert document["accepted"]
    assert document["destinations"][0]["answer"] == "HTTP 200 OK"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--test"], "ALERT_URLS is empty: there is no destination: hk-tick-collector alerts --test URL"),
        (["--test", "nonsense://x"], "--test: URL 1:nonsense://*** is not supported by Apprise: allowed are"),
        (["--mute", "1h", "opend_awya"], "there is no finding 'opend_awya': the nearest is opend_away;"),
        (["--mute", "1h", "nothing_like_it"], "there is no finding 'nothing_like_it': the nearest is "),
        (["--mute", "1"], "--mute 1 is not a time: allowed are 1m to 7d, like 30m, 1h or 2d"),
        (["--mute", "8d"], "--mute 8d is not a time: allowed are 1m to 7d"),
        (["--mute", "0h"], "--mute 0h is not a time"),
        (["--mute", "-1h"], "--mute -1h is not a time"),
        (["--mute", "1h", "--unmute"], "--mute and --unmute exclude each other"),
        (["lag"], "'lag' needs --test, --mute or --unmute"),
    ],
)
def test_wrong_usage_is_one_line(alerts: Verb, args: list[str], said: str) -> None:
    """Exit code 2: what is wrong, what is allowed."""
    done = alerts(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_mute_is_written_listed_and_ended(alerts: Verb) -> None:
    """With its end and who made it; a second one for the same finding replaces it; --unmute ends one or all."""
    alerts.runs()
    done = alerts("--mute", "1h", "opend_away")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("muted  opend_away until ")
    assert "the service does not run; it will read it at its start" in done.stdout
    assert "status, metrics and the log show muted findings as before" in done.stdout
    assert alerts("--mute", "2h", "opend_away").returncode == alerts("--mute", "30m", "all").returncode == 0
    assert [(each["code"], each["until_ms"] - each["from_ms"]) for each in alerts.mutes] == [
        ("opend_away", 7_200_000),
        ("all", 1_800_000),
    ]
    listed = alerts("--list").stdout
    assert "muted  all findings until " in listed
    assert "muted  opend_away until " in listed
    assert json.loads(alerts("--json").stdout)["mutes"][0]["finding"] == "all"
    assert alerts("--unmute", "opend_away").returncode == 0
    assert [each["code"] for each in alerts.mutes] == ["all"]
    for words in (["--unmute"], ["--unmute", "all"]):
        assert alerts("--mute", "2h", "opend_away").returncode == alerts("--mute", "30m").returncode == 0
        assert alerts(*words).stdout.splitlines()[0] == "nothing is muted"
        assert alerts.mutes == []


def test_what_is_open_and_when_it_was_sent(alerts: Verb) -> None:
    """From the record that the service keeps; a URL is not shown."""
    sent_ms = 1_795_140_000_000
    memory = Memory(
        {
            "disk": Open(sent_ms - 60_000, sent_ms, sent_ms, told=1, told_ms=sent_ms),
            "lag": Open(sent_ms, sent_ms, sent_ms),
            "gaps_lost": Open(sent_ms, sent_ms, sent_ms, told=1, closed=True),
        },
        [],
    )
    (alerts.root / ".alerts.json").write_text(memory.to_json())
    alerts.runs(state="running", alerts_failing={"1:json://***": sent_ms - 3_600_000})
    done = alerts("--list", ALERT_URLS=f"json://127.0.0.1/{SECRET} tgram://{SECRET}/1")
    assert done.stdout.splitlines() == [
        "to     1:json://***, accepts no messages since 2026-11-20 09:00 HKT",
        "to     2:tgram://***",
        "nothing is muted",
        "open   disk since 2026-11-20 09:59:00 HKT, last sent as WARNING at 2026-11-20 10:00:00 HKT",
        "open   lag since 2026-11-20 10:00:00 HKT, not sent yet",
    ]
    document = json.loads(alerts("--list", "--json").stdout)
    assert [(each["code"], each["severity"], each["sent_ms"]) for each in document["open"]] == [
        ("disk", "WARNING", sent_ms),
        ("lag", None, None),
    ]


def test_a_merge_is_muted_in_its_own_directory(alerts: Verb) -> None:
    """It reads that file too. What is open is in its own record."""
    now_ms = time.time_ns() // 1_000_000
    memory = Memory({"merge_conflicts": Open(now_ms, now_ms, now_ms)}, [])
    (alerts.root / MERGE_ALERTS_NAME).write_text(memory.to_json())
    with reporting_merge(alerts.root):
        done = alerts("--mute", "1h", "merge_conflicts")
    assert (done.returncode, "the running merge follows" in done.stdout) == (0, True), done.stderr
    assert [each["code"] for each in alerts.mutes] == ["merge_conflicts"]
    assert "open   merge_conflicts since" in alerts("--list", ALERT_URLS="json://127.0.0.1/x").stdout
    assert alerts("--unmute").returncode == 0
    assert alerts.mutes == []


def test_nothing_to_mute_without_a_collector(alerts: Verb) -> None:
    """The command that starts one."""
    done = alerts("--mute", "1h")
    assert done.returncode == 1
    assert "no collector has run for DATA_ROOT=" in done.stderr
    assert "sudo systemctl start hk-tick-collector" in done.stderr


@pytest.mark.parametrize("content", ["{", '{"open": 3}'])
def test_a_record_that_is_damaged_is_named(alerts: Verb, content: str) -> None:
    """One line and exit code 1."""
    (alerts.root / ".alerts.json").write_text(content)
    done = alerts("--list")
    assert done.returncode == 1
    assert ".alerts.json cannot be understood" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_file_of_mutes_is_named_and_mended(alerts: Verb) -> None:
    """`--list` names the command, which works."""
    alerts.runs()
    (alerts.root / MUTES_NAME).write_text("{")
    done = alerts("--list")
    assert done.returncode == 1
    assert "nothing is muted" in done.stderr
    assert done.stderr.rstrip().endswith("sudo hk-tick-collector alerts --unmute")
    assert alerts("--unmute").returncode == 0
    assert alerts("--list").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_who_may_not_write_is_told_the_command(alerts: Verb) -> None:
    """Another account may look; the line has the command with sudo."""
    alerts.runs()
    open_to_others(alerts.root)
    alerts.root.chmod(0o755)
    (alerts.root / "status.json").chmod(0o644)
    done = subprocess.run(
        [*NOBODY, *PROGRAM, "alerts", "--mute", "1h", "lag"],
        cwd="/",
        env={**os.environ, "DATA_ROOT": str(alerts.root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert done.stderr.splitlines()[0].endswith("sudo hk-tick-collector alerts --mute 60m lag")


@pytest.mark.parametrize("args", [("--mute", "1h", "lag"), ("--unmute", "disk"), ("--unmute",)])
def test_what_others_mute_meanwhile_is_not_mistaken_for_a_service_that_does_not_follow(
    alerts: Verb, args: tuple[str, ...]
) -> None:
    """The running service has this change, and with it one of another command that came a moment later."""
    alerts.runs(state="running")
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.02):
            muted = {"opend_away": 2_000_000_000_000} if len(args) > 1 else {}
            with suppress(FileNotFoundError):
                muted |= {each["code"]: each["until_ms"] for each in alerts.mutes}
            alerts.runs(state="running", alerts_muted=muted)

    service = threading.Thread(target=follow)
    service.start()
    try:
        said = alerts(*args)
    finally:
        done.set()
        service.join()
    assert said.returncode == 0, said.stderr
    assert "the running service has read it" in said.stdout


def test_without_a_destination_it_does_not_say_that_nothing_is_open(alerts: Verb) -> None:
    """The service keeps no list then: `status` has the findings."""
    alerts.runs()
    said = alerts("--list", ALERT_URLS="").stdout
    assert "no finding is open" not in said
    assert "without a destination no list of open findings is kept -> hk-tick-collector status" in said
    assert "no finding is open" in alerts("--list", ALERT_URLS="json://127.0.0.1:9").stdout
