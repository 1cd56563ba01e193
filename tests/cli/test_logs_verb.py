"""`logs`: filters and combines log lines, explains a line, and reports an unreadable journal in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]


def at(second: int) -> str:
    return f"2026-11-20T09:30:{second:02}.000+08:00"


HEALTH: Final = [f"{at(n)} INFO health connected=True persisted_rows_per_min={n} market=morning" for n in range(10, 16)]
LINES: Final = [
    f"{at(0)} INFO started version=1 pid=7",
    f"{at(1)} INFO persist_summary rows=1 batches=1",
    *HEALTH,
    f'{at(20)} WARNING sqlite_busy_backoff cause=busy attempt=1 detail="database is locked"',
    f"{at(21)} ERROR bug version=1",
    "Traceback (most recent call last):",
    "ZeroDivisionError: division by zero",
    f"{at(22)} ERROR WATCHDOG persistent_stall queue_rows=9 action=wait",
]


@pytest.fixture
def saved(workdir: Path) -> str:
    """A log as `run` writes it to stderr."""
    (workdir / "run.log").write_text("\n".join(LINES) + "\n")
    return "run.log"


def stand_in(workdir: Path, said: str, code: int, printed: str = "") -> dict[str, str]:
    """A stand-in for journalctl with given output and exit code, which records its arguments."""
    folder = workdir / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "journalctl"
    (workdir / "printed").write_text(printed)
    (workdir / "said").write_text(said)
    program.write_text(
        f'#!/bin/sh\necho "$TZ" > {workdir}/zone\necho "$@" > {workdir}/asked\n'
        f"cat {workdir}/printed\ncat {workdir}/said >&2\nexit {code}\n"
    )
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_repeats_are_summed_up_and_the_routine_is_left_out(cli: Cli, saved: str) -> None:
    """Of a series of equal lines the first and the last are shown, with the number; --all shows every line."""
    done = cli("logs", saved)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        LINES[0], HEALTH[0], "    … 4 more health like this one; the last:", HEALTH[-1], *LINES[8:]
    ]  # fmt: skip
    assert cli("logs", saved, "--all").stdout.splitlines() == LINES


def test_a_line_that_says_something_else_is_no_repeat(cli: Cli, workdir: Path) -> None:
    """A health line that changes from connected to not, or a line with another cause, is shown."""
    lines = [*HEALTH[:2], HEALTH[2].replace("True", "False"), *HEALTH[3:]]
    (workdir / "run.log").write_text("\n".join(lines) + "\n")
    assert cli("logs", "run.log").stdout.splitlines() == [
        *lines[:4], "    … 1 more health like this one; the last:", lines[-1]
    ]  # fmt: skip


def test_lines_of_older_versions_are_shown_in_hong_kong_time(cli: Cli, workdir: Path) -> None:
    """Their offset is that of the host. A time without an offset is not changed."""
    lines = ["2026-11-20T01:30:20.000+00:00 WARNING gap_opened symbol=HK.00700", LINES[8]]
    syslog = "Nov 20 01:30:21 host systemd[1]: Started hk-tick-collector.service."
    (workdir / "old.log").write_text("\n".join([*lines, syslog]) + "\n")
    assert cli("logs", "old.log").stdout.splitlines() == [
        "2026-11-20T09:30:20.000+08:00 WARNING gap_opened symbol=HK.00700",
        LINES[8],
        "Nov 20 01:30:21 INFO systemd: Started hk-tick-collector.service.",
    ]


def test_levels_and_events_are_chosen(cli: Cli, saved: str) -> None:
    """A traceback stays with its line; WATCHDOG is found by either of its words."""
    assert cli("logs", saved, "--level", "warning").stdout.splitlines() == LINES[8:]
    assert cli("logs", saved, "--level", "ERROR").stdout.splitlines() == LINES[9:]
    assert cli("logs", saved, "--event", "WATCHDOG", "--event", "started").stdout.splitlines() == [LINES[0], LINES[-1]]
    assert cli("logs", saved, "--event", "persist_summary").stdout.splitlines() == [LINES[1]]


def test_json_is_one_document(cli: Cli, saved: str) -> None:
    """Fields are separate, and lines that belong to an event are in it."""
    lines = json.loads(cli("logs", saved, "--level", "WARNING", "--json").stdout)["lines"]
    assert [line["event"] for line in lines] == ["sqlite_busy_backoff", "bug", "WATCHDOG persistent_stall"]
    assert lines[0]["fields"] == {"cause": "busy", "attempt": "1", "detail": "database is locked"}
    assert lines[1]["more"] == LINES[10:12]


def test_the_journal_is_asked_for_our_unit(cli: Cli, workdir: Path) -> None:
    """The journal's prefix is removed; systemd's lines about the unit are kept, a kill as a warning."""
    head = "2026-11-20T09:30:00+0000 host"
    printed = "".join(
        f"{head} {who}: {line}\n"
        for who, line in [
            ("systemd[1]", "Started hk-tick-collector.service - the collector."),
            *(("hk-tick-collector[7]", line) for line in LINES[8:]),
            ("systemd[1]", "hk-tick-collector.service: Main process exited, code=killed, status=9/KILL"),
        ]
    )
    done = cli("logs", "--since", "1 hour ago", "--level", "WARNING", **stand_in(workdir, "", 0, printed))
    killed = "hk-tick-collector.service: Main process exited, code=killed, status=9/KILL"
    assert done.stdout.splitlines() == [*LINES[8:], f"2026-11-20T17:30:00+08:00 WARNING systemd: {killed}"]
    asked = (workdir / "asked").read_text()
    assert "-u hk-tick-collector " in asked
    assert "--since=1 hour ago" in asked
    assert (workdir / "zone").read_text() == "HKT-8\n"  # what --since says is Hong Kong's time on any host
    cli("logs", "--follow", **stand_in(workdir, "", 0, printed))
    assert "--follow" in (workdir / "asked").read_text()


def test_a_pipe_is_read(workdir: Path) -> None:
    """`journalctl … | hk-tick-collector logs -`, with any prefix of the lines."""
    text = "".join(f"Nov 20 09:30:00 host hk-tick-collector[7]: {line}\n" for line in LINES)
    done = subprocess.run(
        [sys.executable, "-m", "hk_tick_collector", "logs", "-", "--level", "ERROR"],
        input=text, capture_output=True, text=True, timeout=300, check=False, cwd=workdir,
    )  # fmt: skip
    assert done.stdout.splitlines() == LINES[9:]


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("No journal files were opened due to insufficient permissions.\n", 1, "usermod -aG systemd-journal"),
        (
            "Hint: You are currently not seeing messages from other users and the system.\n",
            0,
            "this user may not read the journal: sudo hk-tick-collector logs",
        ),
        ("No journal files were found.\n", 0, "No journal files were found: is it installed?"),
        ("", 0, "the journal has no line of hk-tick-collector.service for that time"),
        ("Failed to open journal: Bad message\n", 1, "journalctl failed: Failed to open journal: Bad message"),
    ],
)
def test_a_journal_that_cannot_be_read(cli: Cli, workdir: Path, said: str, code: int, words: str) -> None:
    """One line with cause and remedy, exit code 1, nothing on stdout."""
    done = cli("logs", **stand_in(workdir, said, code, "-- No entries --\n"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert words in done.stderr


def test_wrong_arguments_are_one_line(cli: Cli, workdir: Path, saved: str) -> None:
    """Wrong arguments: one line that says what is allowed, exit code 2."""
    failed = stand_in(workdir, "Failed to parse timestamp: yesteryear\n", 1)
    for args, words in (
        (("nowhere.log",), "cannot read nowhere.log (No such file or directory)"),
        ((saved, "--level", "LOUD"), "levels are DEBUG, INFO, WARNING, ERROR"),
        ((saved, "--event", "sqlite_busy"), "did you mean sqlite_busy_backoff?"),
        ((saved, "--event", "qqqq"), "--explain all lists every name"),
        ((saved, "--follow"), "leave out --json and FILE"),
        ((saved, "--since", "today"), "pipe the output of journalctl --since"),
        (("--since", "yesteryear"), "--since yesteryear is not a time: write '10 minutes ago'"),
        (("--explain", "helth"), "did you mean health?"),
    ):
        done = cli("logs", *args, **failed)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        assert words in done.stderr


def test_no_journalctl(workdir: Path) -> None:
    """On a host without systemd the line says that a file can be given."""
    done = subprocess.run(
        [sys.executable, "-m", "hk_tick_collector", "logs"],
        env={**os.environ, "PATH": str(workdir)}, capture_output=True, text=True, timeout=300, check=False, cwd=workdir,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no journalctl on this host: name a file" in done.stderr


def test_a_line_is_explained(cli: Cli) -> None:
    """Meaning and remedy of the event and its cause, as text and as a document; `all` lists every name."""
    done = cli("logs", "--explain", f"{at(0)} ERROR persist_failed cause=disk_full day=20261120")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("persist_failed (log line): ")
    assert done.stdout.splitlines()[3] == "  do: free space: df -h; writing resumes by itself"
    explained = json.loads(cli("logs", "--explain", "opend_kicked_out", "--json").stdout)["explained"]
    assert [(each["name"], each["what"]) for each in explained] == [("opend_kicked_out", "finding")]
    assert len(cli("logs", "--explain", "all").stdout.splitlines()) > 200


def test_colour_is_for_a_terminal(on_terminal: Callable[..., tuple[int, str]], saved: str) -> None:
    """Warnings and errors are coloured on a terminal; a pipe gets plain lines."""
    code, text = on_terminal("logs", saved)
    assert code == 0
    assert f"\33[33m{LINES[8]}\33[0m\n" in text
    assert f"\33[1;31m{LINES[-1]}\33[0m\n" in text
    assert f"\n{HEALTH[0]}\n" in text
