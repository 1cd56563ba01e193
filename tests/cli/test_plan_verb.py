"""`plan`: symbols files of several hosts, what changes in them, and one line for each wrong value."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.config import read_symbols

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

QUOTA = "a=1000,b=500,c=500"


@pytest.fixture
def listed(workdir: Path) -> Path:
    """A list of 900 symbols."""
    path = workdir / "all.txt"
    path.write_text("".join(f"HK.{number:05}\n" for number in range(1, 901)))
    return path


def contents(directory: Path) -> dict[str, tuple[str, ...]]:
    """The files as a collector reads them."""
    return {path.stem: read_symbols(f"@{path}").symbols for path in sorted(directory.iterdir())}


def test_each_host_gets_a_file_that_its_collector_reads(cli: Cli, workdir: Path, listed: Path) -> None:
    """Two copies of 900 symbols, none twice on a host; the same call again changes no byte and says so."""
    call = ("plan", "--quota", QUOTA, "--copies", "2", "--symbols", "all.txt", "--out", "plan")
    done = cli(*call)
    assert (done.returncode, done.stderr) == (0, "")
    assert "plan: 900 symbols on 2 hosts each, 1,800 of 2,000 subscriptions" in done.stdout
    found = contents(workdir / "plan")
    assert sorted(symbol for names in found.values() for symbol in names) == sorted(2 * listed.read_text().split())
    assert found["b"], "FUTU_SYMBOLS=@plan/b.txt"
    assert cli("config", FUTU_SYMBOLS="@plan/b.txt").returncode == 0
    before = {path.name: path.read_bytes() for path in (workdir / "plan").iterdir()}
    again = cli(*call)
    assert again.stdout.count(": no change") == 3
    assert "Copy each file" not in again.stdout
    assert {path.name: path.read_bytes() for path in (workdir / "plan").iterdir()} == before


@pytest.mark.usefixtures("listed")
def test_a_lost_host_is_planned_around_and_its_file_is_kept(cli: Cli, workdir: Path) -> None:
    """The differences are told, the hosts that gain are named first, and the plan with the host restores each byte."""
    base = ("plan", "--quota", QUOTA, "--symbols", "all.txt", "--out", "plan")
    cli(*base)
    before = contents(workdir / "plan")
    done = cli(*base, "--without", "b")
    after = contents(workdir / "plan")
    assert after["b"] == before["b"]
    assert "plan/b.txt: kept as it was; b is not in this plan" in done.stdout
    assert sorted(after["a"] + after["c"]) == sorted(before["a"] + before["b"] + before["c"])
    assert set(before["a"]) <= set(after["a"])
    assert "plan/a.txt: adds HK." in done.stdout
    assert "one after the other: a, c" in done.stdout
    cli(*base)
    assert contents(workdir / "plan") == before


def test_without_out_nothing_is_written(cli: Cli, workdir: Path, listed: Path) -> None:
    """The plan is shown, also as JSON, and no file appears."""
    files = sorted(workdir.iterdir())
    done = cli("plan", "--quota", QUOTA, "--symbols", str(listed), "--json")
    hosts = json.loads(done.stdout)["hosts"]
    assert sum(len(host["symbols"]) for host in hosts.values()) == 900
    assert sorted(workdir.iterdir()) == files


def test_the_setting_is_the_list_by_default(cli: Cli) -> None:
    """FUTU_SYMBOLS, which a host with one collector already has."""
    done = cli("plan", "--quota", "a=1", FUTU_SYMBOLS="HK.00700")
    assert "plan: 1 symbols on one host each, 1 of 1 subscriptions" in done.stdout


def test_a_bad_symbol_is_named_and_does_not_stop_the_others(cli: Cli, workdir: Path) -> None:
    """With file and line, as the collector names it."""
    (workdir / "all.txt").write_text("HK.00700\n981\n")
    done = cli("plan", "--quota", "a=2", "--symbols", "all.txt")
    assert done.returncode == 0
    assert "all.txt:2: '981' is not a valid symbol; did you mean HK.00981?; it is left out" in done.stderr


def test_a_file_of_somebody_else_is_never_replaced(cli: Cli, workdir: Path, listed: Path) -> None:
    """A list that was written by hand stays, and no file of the plan is written beside it."""
    (workdir / "plan").mkdir()
    (workdir / "plan" / "b.txt").write_text("HK.00700\n")
    done = cli("plan", "--quota", QUOTA, "--symbols", str(listed), "--out", "plan")
    assert done.returncode == 2
    assert "plan/b.txt was not written by plan" in done.stderr
    assert [path.name for path in (workdir / "plan").iterdir()] == ["b.txt"]


def test_a_file_of_a_host_that_is_no_longer_named_is_told(cli: Cli, listed: Path) -> None:
    """Its collector would go on with symbols that others collect now."""
    cli("plan", "--quota", QUOTA, "--symbols", str(listed), "--out", "plan")
    done = cli("plan", "--quota", "a=1000,b=500", "--symbols", str(listed), "--out", "plan")
    assert "plan/c.txt is of an earlier plan, and --quota does not name c: delete the file" in done.stderr


def test_what_else_is_in_the_directory_is_left_alone(cli: Cli, workdir: Path, listed: Path) -> None:
    """A named pipe, a directory and a link to nowhere are no files of a plan, and nothing waits for them."""
    (workdir / "plan" / "old.txt").mkdir(parents=True)
    os.mkfifo(workdir / "plan" / "pipe.txt")
    (workdir / "plan" / "gone.txt").symlink_to("nowhere")
    call = ("plan", "--quota", QUOTA, "--symbols", str(listed), "--out", "plan")
    done = cli(*call)
    assert (done.returncode, done.stderr) == (0, "")
    (workdir / "plan" / "a.txt").unlink()
    os.mkfifo(workdir / "plan" / "a.txt")
    done = cli(*call)
    assert done.returncode == 2
    assert "plan/a.txt was not written by plan" in done.stderr


def test_files_change_together_or_not_at_all(workdir: Path, listed: Path) -> None:
    """A full disk in the middle of writing leaves the old files, and nothing beside them."""
    from hk_tick_collector.cli._plan_files import write
    from hk_tick_collector.errors import CollectorError

    directory = workdir / "plan"
    write(directory, {"a": ("HK.00700",), "b": ("HK.00981",)})
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(
        signal.SIGXFSZ, signal.SIG_IGN
    )  # then a write beyond the limit is an error: a disk that is full
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(CollectorError, match="cannot write"):
            write(directory, {"a": ("HK.00005",), "b": tuple(listed.read_text().split())})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_directory_that_cannot_be_made_is_one_line(cli: Cli, listed: Path) -> None:
    """With what to do; here it would be below a file."""
    done = cli("plan", "--quota", QUOTA, "--symbols", str(listed), "--out", "all.txt/plan")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "or name another directory: --out DIR" in done.stderr


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "no host is named: write --quota a=1000,b=500"),
        (("--quota", "a"), "--quota: a has 'no number' for its quota"),
        (("--quota", "a=0"), "--quota: a has '0' for its quota: give a number from 1 to 2000"),
        (("--quota", "a=2001"), "give a number from 1 to 2000, which is Futu's largest"),
        (("--quota", "a=1,a=2"), "--quota names a twice"),
        (("--quota", "../a=1"), "'../a=1' has no host that can be a file's name"),
        (("--quota", "a=1000,"), "'' has no host"),
        (("--quota", "a=9", "--copies", "3"), "--copies 3 is neither 1 nor 2"),
        (("--quota", "a=9", "--copies", "2"), "2 copies need 2 hosts, and only a is left"),
        (("--quota", "a=9,b=9", "--without", "c"), "--without 'c' is no host of --quota: hosts are a, b"),
        (
            ("--quota", "a=9,b=9", "--without", "b", "--symbols", "all.txt"),
            "and a=9 can hold 9 of them: 891 are missing",
        ),
        (("--quota", "a=9", "--symbols", "nowhere.txt"), "nowhere.txt, which cannot be read"),
        (("--quota", "a=9", "--symbols", "."), "which is not a regular file"),
    ],
)
@pytest.mark.usefixtures("listed")
def test_a_wrong_value_is_one_line(cli: Cli, args: tuple[str, ...], named: str) -> None:
    """What was wrong, what is allowed, exit code 2, and nothing on stdout."""
    done = cli("plan", *args, FUTU_SYMBOLS="HK.00700,HK.00981")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert named in done.stderr
