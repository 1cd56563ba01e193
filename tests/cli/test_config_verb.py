"""`config`: settings in force and their sources, as a table and as JSON; secrets are not shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.config import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_the_table_has_every_setting(cli: Cli, workdir: Path) -> None:
    """The table has name, value, source, default, unit and bounds of every setting, in columns if piped."""
    (workdir / ".env").write_text("MAX_WAIT_MS=50\n")
    done = cli("config", FUTU_PORT="2222")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["setting", "value", "from", "default", "unit", "allowed"]
    assert [row.split()[0] for row in rows] == [setting.name for setting in DEFINITIONS]
    squeezed = [" ".join(row.split()) for row in rows]
    assert "FUTU_PORT 2222 environment 11111 1 to 65535" in squeezed
    assert f"MAX_WAIT_MS 50 {workdir}/.env:1 200 ms 1 to 2147483647" in squeezed


def test_json_is_one_document(cli: Cli, workdir: Path) -> None:
    """Numbers are numbers, lists are lists, stdout has nothing else; a warning is on stderr and in the document."""
    done = cli("config", "--json", FUTU_SYMBOLS="HK.00700,HK.00700,HK.00981", METRICS_ADDR="")
    document = json.loads(done.stdout)
    by_name = {setting["name"]: setting for setting in document["settings"]}
    assert document["env_file"] == f"{workdir}/.env"
    assert by_name["FUTU_PORT"]["value"] == 11111
    assert by_name["FUTU_SYMBOLS"]["value"] == ["HK.00700", "HK.00981"]
    assert by_name["METRICS_ADDR"]["value"] is None
    assert by_name["RECONNECT_MAX_DELAY"] == {
        "name": "RECONNECT_MAX_DELAY",
        "value": 1.5,
        "from": "default",
        "default": "1.5",
        "unit": "s",
        "allowed": "0.001 to 31536000",
        "description": "longest wait before connecting again",
    }
    assert len(document["warnings"]) == 1
    assert done.stderr.startswith("warning: FUTU_SYMBOLS names HK.00700")


def test_secrets_are_masked(cli: Cli) -> None:
    """A token of ALERT_URLS is in no form of the output."""
    for args in (["config"], ["config", "--json"]):
        done = cli(*args, ALERT_URLS="tgram://123:hunter2/chat")
        assert "tgram://***" in done.stdout
        assert "hunter2" not in done.stdout + done.stderr


def test_the_example_starts_a_collector(cli: Cli, workdir: Path) -> None:
    """`--example` prints a file that is read without a warning, with symbols to collect."""
    (workdir / "new.env").write_text(cli("config", "--example").stdout)
    done = cli("config", "--env-file", "new.env", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    symbols = next(item for item in json.loads(done.stdout)["settings"] if item["name"] == "FUTU_SYMBOLS")
    assert symbols["value"]
    assert symbols["from"].startswith(f"{workdir}/new.env:")


def test_check_prints_one_line_if_nothing_is_wrong(cli: Cli, workdir: Path) -> None:
    """`--check` prints one line with the file, the number of settings, and the restart as next command; exit code 0."""
    (workdir / ".env").write_text(f"FUTU_SYMBOLS=HK.00700,HK.00981\nDATA_ROOT={workdir}\n")
    done = cli("config", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"OK: {workdir}/.env: 2 settings given, 2 symbols -> sudo systemctl restart hk-tick-collector\n"
    )


def test_check_of_a_host_that_only_merges(cli: Cli, workdir: Path) -> None:
    """Nothing is said of symbols, DATA_ROOT or OpenD, which it does not have; the restart is that of merge."""
    (workdir / "merged").mkdir()
    lines = f"MERGE_ROOT={workdir}/merged\nSTREAM_URL=nats://127.0.0.1:4222\n"
    (workdir / ".env").write_text(lines)
    done = cli("config", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"OK: {workdir}/.env: 2 settings given, for merge into {workdir}/merged"
        " -> sudo systemctl restart hk-tick-merge\n"
    )
    (workdir / ".env").write_text(f"{lines}STREAM_CREDS={workdir}/none.nk\nSTREAM_CA=/no/ca.pem\n")
    done = cli("config", "--check")
    assert done.returncode == 2
    assert done.stdout.startswith(f"ERROR: cannot read STREAM_CREDS={workdir}/none.nk (No such file or directory)")
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/no/where\n")
    said = cli("config", "--check").stdout.splitlines()
    assert said[0].startswith(f"ERROR: MERGE_ROOT={workdir}/no/where is in a directory that does not exist: sudo mkdir")
    assert said[1].startswith("ERROR: STREAM_URL is empty")
    (workdir / ".env").write_text(f"MERGE_ROOT={workdir}/no/my disk/where\n")
    said = cli("config", "--check").stdout.splitlines()
    assert said[0].endswith(f"does not exist: sudo mkdir -p '{workdir}/no/my disk'")
    (workdir / ".env").write_text(f"{lines}FUTU_SYMBOLS=00700\n")
    assert "ERROR: FUTU_SYMBOLS" in cli("config", "--check").stdout


def test_check_names_what_a_restart_would_leave_out(cli: Cli, workdir: Path) -> None:
    """Bad symbols and a misspelt name: each with file and line; exit code 2; the service would start."""
    (workdir / "hk.txt").write_text("HK.00700\n700\nhk.00981\n")
    (workdir / ".env").write_text(f"FUTU_SYMBOLS=@hk.txt\nBATCH_ROW=5\nDATA_ROOT={workdir}\n")
    done = cli("config", "--check")
    assert (done.returncode, done.stderr) == (2, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"WARNING: BATCH_ROW ({workdir}/.env:2)")
    assert lines[1].startswith(f"WARNING: {workdir}/hk.txt:2: '700' is not a valid symbol; did you mean HK.00700?")
    assert lines[2].startswith(f"WARNING: {workdir}/hk.txt:3: 'hk.00981'")
    assert lines[3].endswith(f"-> sudo vim {workdir}/.env")


def test_check_names_what_run_would_refuse(cli: Cli, workdir: Path) -> None:
    """A bad number with its line, and everything that only `run` checks: symbols, DATA_ROOT, key, alert URL."""
    (workdir / ".env").write_text("FUTU_SYMBOLS=HK.00700\nFUTU_PORT=eleven\n")
    done = cli("config", "--check")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith(f"ERROR: FUTU_PORT=eleven (from {workdir}/.env:2) is not a whole number: allowed is")
    assert done.stdout.splitlines()[-1].endswith(f"-> sudo vim {workdir}/.env")
    (workdir / ".env").write_text("DATA_ROOT=/no/where\nFUTU_RSA_KEY=/no/key\nALERT_URLS=nothing://known\n")
    done = cli("config", "--check", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert [fault["severity"] for fault in document["faults"]] == ["ERROR"] * 4
    said = [fault["text"] for fault in document["faults"]]
    assert said == [
        "FUTU_SYMBOLS is empty",
        f"DATA_ROOT=/no/where (from {workdir}/.env:1) does not exist",
        f"FUTU_RSA_KEY=/no/key (from {workdir}/.env:2): No such file or directory",
        f"ALERT_URLS (from {workdir}/.env:3): URL 1:nothing://*** is not supported by Apprise",
    ]


def test_check_quotes_paths_with_blanks_in_its_commands(cli: Cli, workdir: Path) -> None:
    """A command that can be pasted."""
    (workdir / ".env").write_text("FUTU_SYMBOLS=HK.00700\nDATA_ROOT=/no/my ticks\n")
    first = cli("config", "--check").stdout.splitlines()[0]
    assert "does not exist: " in first
    assert first.endswith(" '/no/my ticks'")


@pytest.mark.parametrize(
    ("name", "severity"), [("DATA_ROOT", "ERROR"), ("SPOOL_DIR", "ERROR"), ("SNAPSHOT_DIR", "WARNING")]
)
def test_check_names_the_setting_of_a_path_that_is_too_long(cli: Cli, workdir: Path, name: str, severity: str) -> None:
    """As for any other value that is wrong: one line with its name, and exit code 2."""
    paths = {"DATA_ROOT": str(workdir), name: f"/tmp/{'x' * 300}"}
    lines = "".join(f"{each}={path}\n" for each, path in paths.items())
    (workdir / ".env").write_text(f"FUTU_SYMBOLS=HK.00700\n{lines}")
    done = cli("config", "--check")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith(f"{severity}: {name}=/tmp/xxx")
    assert "File name too long" in done.stdout.splitlines()[0]
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("export FUTU_HOST=127.0.0.1", "'export' belongs to a shell"),
        ('BATCH_ROWS="500"', "a quote begins the value"),
        ("BATCH_ROWS = 500", "blanks before '='"),
        (" BATCH_ROWS=500", "blanks before the text"),
        ("BATCH_ROWS=none", "is not a whole number"),
        ("FUTU_SYMBOL=HK.00981", "unknown setting FUTU_SYMBOL"),
        ("RECONNECT_MIN_DELAY=9\nRECONNECT_MAX_DELAY=3", "is more than RECONNECT_MAX_DELAY"),
        ("BATCH_ROWS=500\r", "a carriage return"),
        ("# \udca4\udca4", "bytes that are not UTF-8"),
        ("just words", "no '=' in"),
    ],
)
def test_check_tells_everything_in_one_answer(cli: Cli, workdir: Path, wrong: str, says: str) -> None:
    """One wrong line or value hides nothing: bad symbols, a missing directory, another wrong value are told with it."""
    text = f"{wrong}\nexport FUTU_SYMBOLS=HK.00700,981\nDATA_ROOT=/no/where\nMAX_QUEUE_ROWS=x\n"
    (workdir / ".env").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = cli("config", "--check")
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stdout
    for words in ("'981' is not a valid symbol", "DATA_ROOT=/no/where", "MAX_QUEUE_ROWS=x"):
        assert done.stdout.count(words) == 1, done.stdout


def test_run_collects_the_good_symbols_and_reports_the_bad_ones(cli: Cli, workdir: Path) -> None:
    """`run` refuses only if no symbol is valid; `ticks` does not guess which symbol an argument means."""
    (workdir / ".env").write_text(f"FUTU_SYMBOLS=00700,700\nDATA_ROOT={workdir}\n")
    done = cli("run")
    assert done.returncode == 2
    assert "did you mean HK.00700?" in done.stderr
    done = cli("ticks", "hk.00700", FUTU_SYMBOLS="")
    assert done.returncode == 2
    assert "did you mean HK.00700?" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another account")
def test_run_names_a_data_root_that_cannot_be_reached(workdir: Path) -> None:
    """A directory above it may not be entered by the service's account: one line with DATA_ROOT and a command."""
    closed = workdir / "closed"
    (closed / "HK").mkdir(parents=True)
    closed.chmod(0o700)
    script = (
        "import os, sys; from hk_tick_collector.cli import main; import typer, hk_tick_collector.cli.run;"
        "import hk_tick_collector.collect.service, hk_tick_collector.ops.alerts.destination;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main(['run', '--env-file', '/dev/null']))"
    )
    environ = {**os.environ, "DATA_ROOT": str(closed / "HK"), "FUTU_SYMBOLS": "HK.00700"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert (
        f"DATA_ROOT={closed}/HK (from environment) cannot be reached: Permission denied: sudo hk-tick-collector doctor"
        in done.stderr
    )
