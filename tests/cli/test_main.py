"""The command line: exit codes, one line for every known cause, fast `--help`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import apsw
import pytest

from hk_tick_collector import __version__, errors
from hk_tick_collector import cli as command_line
from hk_tick_collector.cli import VERBS, main
from hk_tick_collector.store.schema import APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

OLD = "(symbol, seq, ts_ms, price, volume, turnover, direction, tick_type, push_type)"  # of a table without a column


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line on stderr of a process that printed nothing else."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "no verb given: verbs are run"),
        (["confg"], "there is no verb 'confg': did you mean config?"),
        (["--frobnicate"], "there is no verb '--frobnicate'"),
        (["config", "--frobnicate"], "No such option: --frobnicate: see hk-tick-collector config --help"),
        (["config", "spare"], "hk-tick-collector: config: "),
        (["config", "--env-file", "missing.env"], "there is no settings file"),
        (["ticks", "--limit", "many"], "--limit"),
        (["ticks", "--format", "xml"], "--format"),
        (["ticks", "--json", "--follow"], "--json"),
        (["ticks", "--day", "20261332"], "--day 20261332 is not a date"),
        (["ticks", "--day", "99991231"], "99991231 is in the future"),
        (["ticks", "HK.700"], "HK.700"),
        (["ticks", "@missing.txt"], "missing.txt"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(cli: Cli, args: list[str], says: str) -> None:
    """Any wrong argument: one line on stderr, nothing on stdout, exit code 2."""
    done = cli(*args)
    assert done.returncode == 2
    assert says in only_line(done)


@pytest.mark.parametrize("verb", ["config", "ticks", "run"])
def test_a_bad_setting_stops_every_verb(cli: Cli, verb: str) -> None:
    """A bad value, an unknown name, a damaged file: exit code 2 and one line from every verb that reads settings."""
    assert "FUTU_PORT=x (from environment)" in only_line(done := cli(verb, FUTU_PORT="x"))
    assert done.returncode == 2
    assert "FUTU_SYMBOL " in only_line(done := cli(verb, FUTU_SYMBOL="HK.00700"))
    assert done.returncode == 2


def test_help_and_version(cli: Cli) -> None:
    """The help lists every verb; `help VERB` and `VERB --help` are the same."""
    done = cli("--help")
    assert done.returncode == 0
    for verb, line in VERBS.items():
        assert f"{verb} " in done.stdout
        assert line in done.stdout
    assert cli("help", "config").stdout == cli("config", "--help").stdout == cli("config", "-h").stdout
    assert cli("--version").stdout == f"hk-tick-collector {__version__}\n"


def test_a_verb_imports_only_itself() -> None:
    """`--help` needs neither typer nor pydantic, `config` neither SQLite nor the event loop."""
    code = """
import sys
from hk_tick_collector.cli import main
main(["--help"])
assert not {"typer", "pydantic", "rich", "apsw"} & set(sys.modules)
main(["config", "--json"])
assert not {"rich", "apsw", "uvloop", "asyncio", "google.protobuf"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def config_into(output: int, workdir: Path) -> subprocess.CompletedProcess[str]:
    """Runs `config` with its output on a descriptor."""
    return subprocess.run(
        [sys.executable, "-m", "hk_tick_collector", "config"],
        cwd=workdir,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_closed_pipe_prints_no_error(workdir: Path) -> None:
    """`config | head` prints no complaint and no traceback; the exit code is that of a broken pipe."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = config_into(write_end, workdir)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_behind_the_output_is_named(workdir: Path) -> None:
    """Output that cannot be written is an error, not success."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = config_into(full.fileno(), workdir)
    assert done.returncode == 1
    assert done.stderr == "hk-tick-collector: No space left on device\n"


def test_ctrl_c_is_quiet(workdir: Path, cli: Cli, make_day: Callable[..., object]) -> None:
    """Ctrl-C ends a following verb with exit code 130 and no message."""
    make_day("20261120")
    process = subprocess.Popen(
        [sys.executable, "-m", "hk_tick_collector", "ticks", "--day", "20261120", "--follow"],
        cwd=workdir,
        env={**os.environ, "DATA_ROOT": str(workdir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert "symbol" in process.stdout.readline()  # the header: it follows
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.UsageError("bad", hint="good"), 2, "hk-tick-collector: bad: good\n"),
        (errors.NoDayError("none", hint="look"), 1, "hk-tick-collector: none: look\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "hk-tick-collector: Permission denied: /x\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_known_causes_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    """An error that a verb raises becomes one line, with the exit code of its kind."""

    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(command_line, "_top_level", fail)
    assert main(["config"]) == code
    assert capsys.readouterr() == ("", line)


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only an unexpected error has a traceback, under an ERROR line."""

    def fail(_: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "_top_level", fail)
    assert main(["config"]) == 1
    first, *rest = capsys.readouterr().err.splitlines()
    assert " ERROR bug " in first
    assert rest[0].startswith("Traceback")


@pytest.mark.parametrize("verb", ["ticks", "gaps"])
@pytest.mark.parametrize(
    ("day", "code", "words"),
    [
        ("20261332", 2, "--day 20261332 is not a date: write a day like 20261120"),
        ("2026", 2, "--day 2026 is not a date"),
        ("20991120", 2, "20991120 is in the future: the only day there is 20261120"),
        ("20261119", 1, "the only day there is 20261120"),
        ("20261120", 1, "20261120.db has schema 1 without ticks.recv_ts_ms: read it with the version"),
    ],
)
def test_a_day_that_cannot_be_read(cli: Cli, workdir: Path, verb: str, day: str, code: int, words: str) -> None:
    """An invalid date, a future day, a missing file, another schema: one line with cause and remedy."""
    db = apsw.Connection(str(workdir / "20261120.db"))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; CREATE TABLE ticks {OLD}")
    db.close()
    done = cli(verb, "--day", day, DATA_ROOT=str(workdir))
    assert words in only_line(done)
    assert done.returncode == code
