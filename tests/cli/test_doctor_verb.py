"""`doctor`: every check against real things: an OpenD with faults, a running collector, files in many states."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector import market
from hk_tick_collector.ops.doctor.opend_probe import TOTAL_S
from hk_tick_collector.ops.findings.remedies import is_command
from hk_tick_collector.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CAP_S: Final = 300.0
SYMBOLS: Final = "HK.00700,HK.09988,HK.00005"
ENDS: Final = {"ok": 0, "not checked": 0, "warning": 1, "failure": 2}


@contextmanager
def verb(workdir: Path, *args: str, until: str, **environ: str) -> Iterator[tuple[str, Path]]:
    """A verb as a process; returns the line of its log that contains `until`, and the log file."""
    path = workdir / f"{args[0]}.log"
    with path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hk_tick_collector", *args],
            cwd=workdir, env={**os.environ, **environ}, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield _line(path, until), path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(CAP_S)


def _line(path: Path, words: str) -> str:
    deadline_s = time.monotonic() + CAP_S
    while time.monotonic() < deadline_s:
        text = path.read_text("utf-8") if path.exists() else ""
        found = [line for line in text.splitlines() if words in line]
        if found:
            return found[0]
        time.sleep(0.05)
    pytest.fail(f"no {words!r} in\n{text}")


@contextmanager
def opend(workdir: Path, *scenario: str) -> Iterator[dict[str, str]]:
    """A simulated OpenD that performs these steps at its start, and the settings to use it."""
    steps = workdir / "scenario.txt"
    steps.write_text("".join(f"at 0s {step}\n" for step in scenario))
    args = ("simulate", "--port", "0", "--symbols", SYMBOLS, "--rate", "20", "--scenario", str(steps))
    with verb(workdir, *args, until="simulator_listening") as (line, log):
        if scenario:
            _line(log, "scenario_step")
        port = line.split("port=")[1].split()[0]
        yield {"FUTU_PORT": port, "FUTU_SYMBOLS": SYMBOLS, "DATA_ROOT": str(workdir), "METRICS_ADDR": ""}


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """The checks by name. Asserts that the exit code is the worst, and that each check that is not ok has a remedy."""
    document: dict[str, Any] = json.loads(done.stdout)
    found = {each["name"]: each for each in document["checks"]}
    assert len(found) == len(document["checks"])
    assert done.returncode == max(ENDS[each["outcome"]] for each in found.values())
    assert all(each["remedy"] for each in found.values() if each["outcome"] in ("warning", "failure"))
    return found


def told(found: dict[str, dict[str, str]], *names: str) -> list[str]:
    return [found[name]["outcome"] for name in names]


def test_all_that_is_right(cli: Cli, workdir: Path) -> None:
    """With a running collector: OpenD, login, clock, quota including our part, symbols, calendar, day file."""
    with opend(workdir, "quota 3") as settings, verb(workdir, "run", until=" subscribed ", **settings) as (_, log):
        _line(workdir / "status.json", '"subscribed":3')  # written every second
        found = checks(cli("doctor", "--json", **settings))
        names = ("settings", "DATA_ROOT", "SPOOL_DIR", "disk", "day file", "OpenD", "login", "OpenD's clock")
        assert told(found, *names, "quota", "symbols", "calendar") == ["ok"] * 11, found
        assert found["quota"]["text"] == "3 symbols wanted, 3 available (3 of 3 used, 3 by this service)"
        simulated = workdir / "simulate.log"
        _line(simulated, "client_disconnected")  # its own short connection, and not the collector's
        assert "futu_disconnected" not in log.read_text("utf-8")
        assert "subscriptions_lost" not in log.read_text("utf-8")


def test_opend_away_stops_no_other_check(cli: Cli, workdir: Path) -> None:
    """The failure has the runbook's commands; checks that need OpenD are not made, all others are."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    done = cli("doctor", DATA_ROOT=str(workdir), FUTU_SYMBOLS=SYMBOLS, FUTU_PORT=port)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("FAILURE") and "OpenD" in line[:20]]
    assert f"no TCP connection to 127.0.0.1:{port} (Connection refused) -> sudo systemctl status futu-opend" in line
    first = next(line for line in lines if "could not be asked" in line)
    assert first.split()[:3] == ["NOT", "CHECKED", "login"]
    assert any(line.startswith("OK          alerts") for line in lines)
    assert lines[-1].startswith("FAILURE: failures 1,")
    behind_arrows = [line.partition(" -> ")[2] for line in lines if " -> " in line]
    assert behind_arrows
    assert all(map(is_command, behind_arrows)), "what stands behind an arrow can be pasted"


def test_a_mute_opend_is_not_waited_for(cli: Cli, workdir: Path) -> None:
    """A port that accepts and never answers is a failure with a remedy within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun_s = time.monotonic()
        settings = {"DATA_ROOT": str(workdir), "FUTU_PORT": str(mute.getsockname()[1]), "FUTU_SYMBOLS": SYMBOLS}
        found = checks(cli("doctor", "--json", **settings))
        took_s = time.monotonic() - begun_s
    assert "does not answer in time" in found["OpenD"]["text"]
    assert took_s < TOTAL_S * 10, took_s


@pytest.mark.parametrize(
    ("step", "name", "outcome", "words"),
    [
        ("program needs_sms_code", "login", "failure", "OpenD is needs_sms_code"),
        ("not-logged-in", "login", "failure", "not logged in"),
        ("clock +1h", "OpenD's clock", "warning", "s behind OpenD's"),
        ("quota 2", "quota", "failure", "3 symbols wanted, 2 available"),
        ("no-reply GetSubInfo", "quota", "not checked", "did not answer"),
        ("fail-reply RequestTradeDate", "calendar", "not checked", "did not answer"),
    ],
)
def test_each_trouble_of_opend_is_named(
    cli: Cli, workdir: Path, step: str, name: str, outcome: str, words: str
) -> None:
    """Each trouble is reported by its own check, with a remedy; the other requests are still made."""
    with opend(workdir, step) as settings:
        found = checks(cli("doctor", "--json", **settings))
    assert (found[name]["outcome"], words in found[name]["text"]) == (outcome, True), found[name]
    assert found[name]["remedy"]
    assert found["OpenD"]["outcome"] == "ok"


def test_symbols_that_opend_does_not_know(cli: Cli, workdir: Path) -> None:
    """A warning with OpenD's text: the collector collects the other symbols."""
    with opend(workdir) as settings:
        found = checks(cli("doctor", "--json", **{**settings, "FUTU_SYMBOLS": f"{SYMBOLS},HK.99999"}))
    assert found["symbols"]["outcome"] == "warning"
    assert "99999" in found["symbols"]["text"]


def test_a_host_that_only_merges(cli: Cli, workdir: Path) -> None:
    """It has no symbols, no OpenD and no day files of its own: none of them is a failure, nor asked for."""
    (workdir / "merged").mkdir()
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/merged\nSTREAM_URL=nats://127.0.0.1:1\nMETRICS_ADDR=\n")
    found = checks(cli("doctor", "--json"))
    text = f"3 given, the rest default; this host merges into {workdir}/merged and collects nothing"
    assert found["settings"]["text"] == text
    assert not {"DATA_ROOT", "SPOOL_DIR", "OpenD", "login", "quota", "symbols"} & found.keys()
    assert found["MERGE_ROOT"]["outcome"] == "ok"
    assert {name for name, check in found.items() if check["outcome"] == "failure"} == {"stream"}
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/merged\nMETRICS_ADDR=\n")
    assert checks(cli("doctor", "--json"))["settings"]["text"] == "STREAM_URL is empty"


def test_settings_that_cannot_work(cli: Cli, workdir: Path) -> None:
    """The failure gives name, value, source and what is allowed; checks that need no settings are made."""
    (workdir / ".env").write_text("FUTU_PORT=11111\nBATCH_ROWS=none\n")
    done = cli("doctor", "--json")
    found = checks(done)
    assert (done.returncode, done.stderr) == (2, "")
    assert f"BATCH_ROWS=none (from {workdir}/.env:2)" in found["settings"]["text"]
    assert "allowed is 1 to" in found["settings"]["remedy"]
    assert found["SQLite"]["outcome"] == "ok"


@pytest.mark.usefixtures("one_day")
def test_what_is_on_disk(cli: Cli, workdir: Path, make_day: Callable[..., Any]) -> None:
    """A day with another schema, a spool with rows, a damaged file, days larger than the disk: each has its line."""
    today = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    make_day(today).execute("PRAGMA user_version = 99")
    (workdir / ".spool").mkdir()
    row = ("HK.00700", 1, 1, 1.0, 1, 1.0, "BUY", "AUTO_MATCH", "realtime", 1, None, None)
    Spool(workdir / ".spool" / "20261120T013000-0123abcd").append([row] * 20_000)
    (workdir / "20261120.db.damaged-20261120T013000Z").touch()
    with (workdir / "20200102.db").open("wb") as grown:
        grown.truncate(4 * 2**40)  # sparse: it takes nothing
    found = checks(cli("doctor", "--json", DATA_ROOT=str(workdir), FUTU_SYMBOLS=SYMBOLS, FUTU_PORT="1"))
    assert told(found, "day file", "spool", "damaged files", "disk") == ["failure", "warning", "warning", "failure"]
    assert "has schema 99" in found["day file"]["text"]
    assert "1.4 MB of ticks wait" in found["spool"]["text"]
    assert "systemctl start" in found["spool"]["remedy"]
    assert "enough for 0 such days" in found["disk"]["text"]


def test_a_place_that_is_not_there(cli: Cli, workdir: Path) -> None:
    """DATA_ROOT must be created by the operator, and the line says how; the spool is created by the service."""
    found = checks(cli("doctor", "--json", DATA_ROOT=f"{workdir}/gone", FUTU_SYMBOLS=SYMBOLS, FUTU_PORT="1"))
    assert told(found, "DATA_ROOT", "SPOOL_DIR") == ["failure", "ok"]
    assert f"{workdir}/gone" in found["DATA_ROOT"]["remedy"]


def test_a_metrics_port_that_is_taken(cli: Cli, workdir: Path) -> None:
    """A warning, because collection does not need the port; the secrets of alerts are not shown."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"METRICS_ADDR": address, "ALERT_URLS": "tgram://1:secret/1,mailto://me:secret@host.example"}
        done = cli("doctor", "--json", DATA_ROOT=str(workdir), FUTU_SYMBOLS=SYMBOLS, FUTU_PORT="1", **settings)
    found = checks(done)
    assert found["metrics"]["outcome"] == "warning"
    assert address in found["metrics"]["text"]
    assert found["alerts"]["text"] == "2 destinations: mailto, tgram"
    assert "secret" not in done.stdout


def test_an_archive_that_cannot_be_written_tonight(cli: Cli, workdir: Path) -> None:
    """Told before the timer fails at 07:00: a directory that is not there, packages that are missing."""
    settings = {"DATA_ROOT": str(workdir), "FUTU_SYMBOLS": SYMBOLS, "FUTU_PORT": "1"}
    gone, there, bucket = workdir / "not mounted", workdir / "archive", "s3://bucket/ticks"
    there.mkdir()
    for where, hidden, outcome, text in (
        ("", "", "ok", "off: ARCHIVE_DIR is empty"),
        (str(there), "", "ok", f"to {there}"),
        (bucket, "", "ok", f"to {bucket}"),
        (str(gone), "", "warning", f"there is no directory {gone}"),
        (str(there), "pyarrow", "warning", "pyarrow is not installed"),
        (bucket, "obstore", "warning", "obstore is not installed"),
    ):
        if hidden:
            words = (
                f"import sys; sys.modules[{hidden!r}] = None; from hk_tick_collector.cli import main; sys.exit(main())"
            )
            done = subprocess.run(
                [sys.executable, "-c", words, "doctor", "--json"],
                env={**os.environ, **settings, "ARCHIVE_DIR": where},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
        else:
            done = cli("doctor", "--json", ARCHIVE_DIR=where, **settings)
        found = checks(done)["archive"]
        assert (found["outcome"], found["text"]) == (outcome, text)
        assert bool(found["remedy"]) == (outcome == "warning")
