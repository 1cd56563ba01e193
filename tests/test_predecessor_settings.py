"""The `.env` of the predecessor: none of its settings stops the start, and each of them is reported."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import apprise
import pytest

from hk_tick_collector.config import load_settings
from hk_tick_collector.errors import UsageError
from hk_tick_collector.ops.alerts.destination import open_destinations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

TOKEN = "123456:AAEhBOweik6ad_x-hunter2"
FORMER = {
    "FUTU_POLL_ENABLED": "1",
    "FUTU_POLL_INTERVAL_SEC": "3",
    "FUTU_POLL_NUM": "100",
    "FUTU_POLL_STALE_SEC": "10",
    "BACKFILL_N": "0",
    "CHECK_INTERVAL_SEC": "5",
    "SEED_RECENT_DB_DAYS": "3",
    "BATCH_SIZE": "500",
    "MAX_QUEUE_SIZE": "20000",
    "PERSIST_RETRY_MAX_ATTEMPTS": "0",
    "PERSIST_RETRY_BACKOFF_SEC": "1",
    "PERSIST_HEARTBEAT_INTERVAL_SEC": "30",
    "SQLITE_JOURNAL_MODE": "WAL",
    "WATCHDOG_UPSTREAM_WINDOW_SEC": "60",
    "WATCHDOG_RECOVERY_JOIN_TIMEOUT_SEC": "3",
    "TG_ENABLED": "1",
    "TELEGRAM_PARSE_MODE": "HTML",
    "ALERT_COOLDOWN_SEC": "600",
    "ALERT_ESCALATION_STEPS": "0,600,1800",
}
SAME_NAME = {
    "HEALTH_INTERVAL_SEC": "900",
    "DRIFT_WARN_SEC": "120",
    "WATCHDOG_QUEUE_THRESHOLD_ROWS": "100",
    "RECONNECT_MIN_DELAY": "1",
    "RECONNECT_MAX_DELAY": "60",
    "MAX_WAIT_MS": "1000",
    "SQLITE_SYNCHRONOUS": "NORMAL",
    "SQLITE_WAL_AUTOCHECKPOINT": "1000",
}
TELEGRAM = {"TG_TOKEN": TOKEN, "TG_CHAT_ID": "-1001234567890", "TG_MESSAGE_THREAD_ID": "7"}
LINE = f"ALERT_URLS=tgram://{TOKEN}/-1001234567890:7"


def write(path: Path, *parts: dict[str, str]) -> Path:
    lines = (f"{name}={value}\n" for part in parts for name, value in part.items())
    path.write_text("".join(lines))
    return path


def test_every_setting_of_the_predecessor_is_reported_once(workdir: Path) -> None:
    """None is an error; each is named with what became of it, and so are those that now mean something else."""
    write(workdir / ".env", {"FUTU_SYMBOLS": "HK.00700", "INSTANCE_ID": ""}, FORMER, SAME_NAME, TELEGRAM)
    loaded = load_settings(None, {})
    told = "\n".join(loaded.predecessor.lines)
    for name in (*FORMER, *SAME_NAME, *TELEGRAM):
        assert told.count(f"{name},") + told.count(f"{name} (") == 1, name
    assert "BATCH_SIZE" in next(line for line in told.splitlines() if "replaced by BATCH_ROWS" in line)
    assert "hunter2" not in told
    assert loaded.settings.instance_id  # the host's name
    assert loaded.settings.health_interval_sec == 900  # what is written is in force


def test_quoted_values_of_the_predecessor_are_accepted(workdir: Path) -> None:
    """Its values may be quoted, ours may not; a value that systemd would continue on the next line is still refused."""
    file = workdir / ".env"
    file.write_text(f'TG_TOKEN="{TOKEN}"\nTG_CHAT_ID=\'-5\'\nBATCH_SIZE="500"\n')
    alerts = load_settings(None, {}).predecessor.alerts
    assert alerts
    assert alerts.lines == (f"ALERT_URLS=tgram://{TOKEN}/-5",)
    file.write_text('TG_TOKEN="a\nBATCH_ROWS="5"\n')
    with pytest.raises(UsageError, match=r"2 settings are wrong: .*TG_TOKEN.*BATCH_ROWS"):
        load_settings(None, {})


def test_a_misspelt_name_beside_them_still_stops(workdir: Path) -> None:
    """Only names that the predecessor had are accepted."""
    write(workdir / ".env", FORMER, {"FUTU_POLL": "1", "WATCHDOG_STALL": "1"})
    with pytest.raises(UsageError, match=r"2 settings are wrong: unknown setting FUTU_POLL .*WATCHDOG_STALL"):
        load_settings(None, {})


def test_a_choice_of_ours_is_not_taken_for_the_predecessors(workdir: Path) -> None:
    """SQLITE_SYNCHRONOUS=NORMAL alone, or names of other programs in a shell, do not come from the predecessor."""
    write(workdir / ".env", {"SQLITE_SYNCHRONOUS": "NORMAL", "HEALTH_INTERVAL_SEC": "30"})
    assert load_settings(None, {"TG_TOKEN": TOKEN, "BATCH_SIZE": "1"}).predecessor.lines == ()
    under_systemd = load_settings(None, {"TG_TOKEN": TOKEN, "TG_CHAT_ID": "5", "INVOCATION_ID": "8f3a"})
    assert under_systemd.predecessor.alerts
    assert under_systemd.predecessor.alerts.lines == (f"ALERT_URLS=tgram://{TOKEN}/5",)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (TELEGRAM, (LINE,)),
        ({"TG_BOT_TOKEN": f"bot{TOKEN}", "TG_CHAT_ID": "@channel_1"}, (f"ALERT_URLS=tgram://{TOKEN}/@channel_1",)),
        ({"TG_TOKEN": TOKEN, "TG_BOT_TOKEN": TOKEN, "TG_CHAT_ID": "42"}, (f"ALERT_URLS=tgram://{TOKEN}/42",)),
        (
            {"TG_TOKEN": TOKEN, "TG_BOT_TOKEN": "9:b-b", "TG_CHAT_ID": "42"},
            ("ALERT_URLS=tgram://9:b-b/42", f"ALERT_URLS=tgram://{TOKEN}/42"),
        ),
        ({"TG_TOKEN": TOKEN}, ()),
        ({"TG_CHAT_ID": "42"}, ()),
        ({"TG_TOKEN": "your token", "TG_CHAT_ID": "42"}, ()),
    ],
)
def test_the_line_to_paste(workdir: Path, given: dict[str, str], lines: tuple[str, ...]) -> None:
    """Token, chat and thread form one Apprise URL; if one is missing, the message says so without the token."""
    write(workdir / ".env", given)
    alerts = load_settings(None, {}).predecessor.alerts
    assert alerts
    assert alerts.lines == lines
    assert "no alert is sent" in alerts.line
    assert "hunter2" not in alerts.line


def test_apprise_takes_the_line() -> None:
    """The pasted line is a valid destination: the same bot, chat and thread."""
    assert len(open_destinations([LINE.partition("=")[2]])) == 1
    plugin: Any = apprise.Apprise.instantiate(LINE.partition("=")[2])
    assert plugin.bot_token == TOKEN
    assert plugin.targets == [(-1001234567890, 7)]


def test_config_says_what_to_paste(cli: Cli, workdir: Path) -> None:
    """On a terminal the line is complete, and the command removes the old settings; stdout never has the token."""
    symbols = {"FUTU_SYMBOLS": "HK.00700"}
    file = write(workdir / ".env", symbols, FORMER, SAME_NAME, TELEGRAM)
    for form in ([], ["--json"]):
        done = cli("config", *form)
        assert done.returncode == 0
        assert LINE in done.stderr.splitlines()
        assert "hunter2" not in done.stdout
    document = json.loads(done.stdout)
    assert document["predecessor"]["became"]["BATCH_SIZE"] == "replaced by BATCH_ROWS"
    assert document["predecessor"]["alerts"].startswith("no alert is sent")
    with file.open("a") as appended:
        appended.write(f"{LINE}\n")
    command = json.loads(cli("config", "--json").stdout)["predecessor"]["remove"]
    subprocess.run(shlex.split(command.removeprefix("sudo ")), check=True)
    assert file.read_text() == f"FUTU_SYMBOLS=HK.00700\n{LINE}\n"
    assert cli("config").stderr == ""


def test_other_verbs_report_it_in_one_line(cli: Cli, workdir: Path) -> None:
    """`ticks` and `status` print one line about them, not a page of warnings."""
    write(workdir / ".env", {"FUTU_SYMBOLS": "HK.00700", "DATA_ROOT": str(workdir)}, FORMER, SAME_NAME, TELEGRAM)
    told = [line for line in cli("gaps", "--day", "20261120").stderr.splitlines() if line.startswith("warning: ")]
    assert told == [
        "warning: no alerts are sent: the predecessor's TG_ settings have no effect -> sudo hk-tick-collector config"
    ]


def test_doctor_shows_each_with_what_to_paste(cli: Cli, workdir: Path) -> None:
    """What became of each setting, and the complete line."""
    write(workdir / ".env", {"FUTU_SYMBOLS": "HK.00700", "DATA_ROOT": str(workdir)}, FORMER, TELEGRAM)
    done = cli("doctor")
    alerts, settings = (line for line in done.stdout.splitlines() if line.startswith("WARNING     old "))
    assert LINE in alerts
    for name in FORMER:
        assert name in settings
    assert "sed -i.predecessor" in settings
    assert "WARNING     .env " in done.stdout  # everybody may read the token


def test_the_journal_never_has_the_token(cli: Cli, workdir: Path) -> None:
    """`run` reports each setting at its start, and the log has no secret."""
    file = write(workdir / ".env", {"FUTU_SYMBOLS": "HK.00700", "DATA_ROOT": str(workdir)}, FORMER, TELEGRAM)
    program = (
        f"ulimit -n 8; exec {sys.executable} -m hk_tick_collector run --env-file {file}"  # it ends after these lines
    )
    done = subprocess.run(["bash", "-c", program], cwd=workdir, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if " WARNING setting detail=" in line]
    assert "no alert is sent" in lines[0]
    for name in (*FORMER, *TELEGRAM):
        assert any(name in line for line in lines), name
    assert "hunter2" not in done.stdout + done.stderr
