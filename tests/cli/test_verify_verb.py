"""`hk-tick-collector verify`: a truth file and day files in, a verdict and an exit code out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

OPEN_MS = 1_795_138_200_000  # 2026-11-20 in Hong Kong


@pytest.fixture
def rows(tick: Callable[..., TickRow]) -> list[TickRow]:
    """Twenty ticks of two symbols."""
    return [
        tick(symbol, (OPEN_MS // 1000 + n) << 32 | n + 1, OPEN_MS + n * 1000 + 5)
        for n in range(10)
        for symbol in ("HK.00700", "HK.00981")
    ]


@pytest.fixture
def day(make_day: Callable[..., Any], rows: list[TickRow], workdir: Path) -> Any:
    """Their day file with its ledger, and their truth file."""
    day = make_day(directory=workdir)
    day.add(rows)
    day.execute("UPDATE symbols SET expected = NULL")  # the tests write gaps past the collector
    day.execute("INSERT INTO ledger VALUES ('a', 1, 2, 1, 20, 20, 0, 0, 0, 0)")
    (workdir / "truth").write_text("".join("\t".join(map(str, row[:8])) + "\n" for row in rows))
    return day


def test_a_correct_day_is_ok(cli: Cli, day: Any) -> None:
    """A table, the line, exit code 0; the file is given, or found in DATA_ROOT."""
    named = cli("verify", "--truth", "truth", day.path.name)
    assert (named.returncode, named.stderr) == (0, "")
    assert named.stdout.splitlines()[1].split()[:3] == ["20261120", "20", "20"]
    assert named.stdout.splitlines()[-1].startswith("verdict: ok days=1 truth=20 stored=20 missing=0 ")
    for arguments in ([], ["--day", "20261120"]):
        found = cli("verify", "--truth", "truth", *arguments, DATA_ROOT=".")
        assert (found.returncode, found.stdout) == (0, named.stdout), found.stderr


def test_what_is_missing_fails_it_until_a_gap_says_so(cli: Cli, day: Any, rows: list[TickRow]) -> None:
    """Exit code 1 with the key; with the gap recorded exit code 0; a gap with a wrong number fails again."""
    extra = (*rows[0][:1], (OPEN_MS // 1000 + 11) << 32 | 11, OPEN_MS + 11_000, *rows[0][3:])
    with (day.path.parent / "truth").open("a") as truth:
        truth.write("\t".join(map(str, extra[:8])) + "\n")
    missing = cli("verify", "--truth", "truth", day.path.name)
    assert missing.returncode == 1
    assert f"missing_outside_gaps=1 (20261120 HK.00700 seq={extra[1]})" in missing.stdout
    gap = (extra[0], extra[1] - 5, extra[1] + 5)
    day.execute("INSERT INTO gaps VALUES (?, ?, ?, NULL, NULL, 1, 'disconnected', 'open', 1, NULL, 1)", gap)
    assert cli("verify", "--truth", "truth", day.path.name).returncode == 0
    day.execute("UPDATE gaps SET missing = 2")
    assert "gap_count=1" in cli("verify", "--truth", "truth", day.path.name).stdout


def test_json_is_one_document(cli: Cli, day: Any) -> None:
    """With the days, and the findings by reason."""
    document = json.loads(cli("verify", "--truth", "truth", "--json", day.path.name).stdout)
    assert document["ok"] is True
    assert document["days"][0]["stored"] == 20
    day.execute("UPDATE ticks SET price = price + 1 WHERE symbol = 'HK.00700'")
    document = json.loads(cli("verify", "--truth", "truth", "--json", day.path.name).stdout)
    assert document["findings"]["wrong_price"]["count"] == 10


def test_a_tick_that_cannot_be_stored_is_not_asked_for(cli: Cli, day: Any) -> None:
    """The simulator records it in another file; it may be in a gap."""
    day.execute("INSERT INTO gaps VALUES ('HK.00700', 7, 9, NULL, NULL, 1, 'disconnected', 'open', 1, NULL, 1)")
    assert "empty_gap" in cli("verify", "--truth", "truth", day.path.name).stdout
    (day.path.parent / "truth.rejects").write_text("HK.00700\t8\tnan\n")
    assert cli("verify", "--truth", "truth", day.path.name).returncode == 0


def test_what_was_acknowledged_must_be_there(cli: Cli, day: Any, rows: list[TickRow]) -> None:
    """--acked names the keys."""
    keys = day.path.parent / "acked"
    keys.write_text("".join(f"{row[0]}\t{row[1]}\n" for row in rows))
    assert cli("verify", "--truth", "truth", "--acked", "acked", day.path.name).returncode == 0
    keys.write_text("HK.00700\t12345\n")
    assert "acked_lost=1" in cli("verify", "--truth", "truth", "--acked", "acked", day.path.name).stdout


def test_a_day_of_the_truth_without_a_file_fails(cli: Cli, day: Any, workdir: Path) -> None:
    """Unless --day names another day."""
    (workdir / "elsewhere").mkdir()
    done = cli("verify", "--truth", "truth", DATA_ROOT="elsewhere")
    assert (done.returncode, "day_without_file=1 (20261120)" in done.stdout) == (1, True)
    assert day.path.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to compare with"),
        (["--truth", "missing"], "missing cannot be read"),
        (["--truth", ".env", "--day", "20261399"], "is not a date"),
        (["--truth", ".env", "--day", "20261120", "20261120.db"], "cannot be combined with"),
    ],
)
def test_what_cannot_work_is_one_line(cli: Cli, workdir: Path, arguments: list[str], words: str) -> None:
    """Cause and remedy, exit code 2."""
    del workdir
    done = cli("verify", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert words in done.stderr
