"""Verbs with files that were made to do harm: an answer in bounded time, a finding for the file, valid JSON."""

from __future__ import annotations

import json
import math
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NoReturn

import apsw
import pytest
from tests.live_state import leave_live_state

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.model import Gap
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

ENDLESS: Final = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
# A day → what is done to its file, and words of what is said of it.
DAYS: Final = {
    "20251117": (
        f"DROP TABLE ticks; CREATE VIEW ticks AS {ENDLESS} SELECT x AS seq FROM n",
        "the table ticks is a view",
    ),
    "20251118": (
        f"DROP TABLE symbols; CREATE VIEW symbols AS {ENDLESS} SELECT x AS symbol, x AS rows FROM n",
        "the table symbols is a view",
    ),
    "20251119": ("UPDATE symbols SET rows = 9223372036854775807, turnover = 9e999", ""),
    "20251120": ("UPDATE symbols SET last_ts_ms = 9223372036854775807", "last_ts_ms of symbols"),
}


@pytest.fixture
def root(workdir: Path, tick: Callable[..., TickRow]) -> Path:
    """DATA_ROOT with such days, and with two that are not regular files."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nDISK_MIN_FREE_MB=1\nFUTU_SYMBOLS=HK.00700\nFUTU_PORT=1\n")
    for day, (sql, _) in DAYS.items():
        start_ms = market.day_start_ms(market.parse_day(day)) + 34_200_000
        file = DayFile(workdir / f"{day}.db", day, "run", start_ms, "test", StoreOptions())
        file.write(Batch(rows=[tick("HK.00700", n, start_ms) for n in (1, 2)]), start_ms)
        file.close()
        with closing(apsw.Connection(str(file.path))) as db:
            db.execute(sql)
    os.mkfifo(workdir / "20251114.db")
    (workdir / "20251113.db").symlink_to("/dev/zero")
    os.mkfifo(workdir / "20251120.snapshot.db.sha256")
    os.mkfifo(workdir / "status.json")
    return workdir


def document(text: str) -> Any:
    """One JSON document by the standard: without NaN and Infinity."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_report_names_each_file_and_goes_on(cli: Cli, root: Path) -> None:
    """Every day is listed, each with its own problem."""
    found = document(cli("report", "--json").stdout)
    problems = {day["day"]: day["problem"] for day in found["days"]}
    assert problems.keys() == {*DAYS, "20251113", "20251114"}
    for day, (_, words) in DAYS.items():
        assert words in problems[day]
        assert bool(words) == bool(problems[day])
    assert problems["20251113"] == f"{root}/20251113.db is not a regular file"
    assert {"day_unreadable"} <= {finding["code"] for finding in found["findings"]}


@pytest.mark.parametrize("day", ["20251114", "20251117", "20251118", "20251120"])
def test_each_verb_answers_in_one_line(cli: Cli, root: Path, day: str) -> None:
    """One line with the file and its fault; no traceback, no long wait."""
    for args in (("ticks", "--day", day), ("snapshot", "--day", day), ("gaps", "--day", day)):
        done = cli(*args)
        assert done.stderr.count("\n") <= 1, done.stderr
        assert "Traceback" not in done.stderr
        assert (done.returncode == 1) == (f"{root}/{day}.db" in done.stderr), done.stderr


def test_quality_judges_each_file_and_goes_on(cli: Cli, root: Path) -> None:
    """Every day has a verdict in bounded time, with its ticks read; figures are numbers, and the page is written."""
    done = cli("quality", "--scan", "--json", "--html", "page.html")
    found = document(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    problems = {day["day"]: day.get("problem", "") for day in found["days"]}
    assert problems.keys() == {*DAYS, "20251113", "20251114"}
    assert {day for day in DAYS if problems[day]} == {"20251117", "20251118", "20251120"}
    assert (root / "page.html").stat().st_size < 100_000


@pytest.mark.usefixtures("one_day")
def test_status_of_a_hostile_day_and_live_state(cli: Cli, root: Path) -> None:
    """The figures are numbers, or a finding says why there are none."""
    done = cli("status", "--json")
    assert document(done.stdout)["findings"][0]["code"] == "live_state"
    (root / "status.json").unlink()
    today = market.day_name(market.day_number(now_ms()))
    (root / "20251119.db").rename(root / f"{today}.db")
    found = document(cli("status", "--json").stdout)
    assert found["day"]["rows"] == 2**63 - 1
    assert math.isfinite(found["day"]["turnover"])
    found = document(cli("top", "--json").stdout)
    assert found["symbols"][0]["rows"] == 2**63 - 1
    done = cli("top", COLUMNS="40")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "9,223,372,036,854,775,807" in done.stdout


@pytest.mark.usefixtures("one_day")
def test_status_names_a_pipe_that_has_the_name_of_today(cli: Cli, root: Path) -> None:
    """While no service reports it looks for who holds the day file: it does not wait for the other end of a pipe."""
    (root / "status.json").unlink()
    path = root / f"{market.day_name(market.day_number(now_ms()))}.db"
    os.mkfifo(path)
    done = cli("status", "--json")
    texts = {finding["code"]: finding["text"] for finding in document(done.stdout)["findings"]}
    assert texts["day_file"] == f"{path} is not a regular file"
    path.unlink()
    path.symlink_to(path)
    day_file = next(each for each in document(cli("status", "--json").stdout)["findings"] if each["code"] == "day_file")
    assert day_file["text"] == f"cannot access {path} (Too many levels of symbolic links)"
    assert day_file["remedy"] == f"ls -l {path}"


@pytest.mark.parametrize("day", ["20251114", "20251117", "20251118", "20251120"])
def test_top_names_a_hostile_day(cli: Cli, root: Path, day: str) -> None:
    """The live view has a finding with the file, and keeps the figures of the live state."""
    (root / "status.json").unlink()
    leave_live_state(root, written_ms=now_ms(), pid=1, newest_day=day, connected=True, received=1_234_567)
    done = cli("top", "--json")
    found = document(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["symbols"] == []
    assert any(f"{day}.db" in finding["text"] for finding in found["findings"])
    assert found["run"]["received"] == 1_234_567


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ticks SET ts_ms = -9223372036854775807",
        "UPDATE ticks SET recv_ts_ms = 9223372036854775807, ts_ms = -5",
        "UPDATE gaps SET from_ts_ms = 9223372036854775807",
        "UPDATE gaps SET missing = 9223372036854775807",
        "UPDATE gaps SET cause = CAST(x'ff41' AS TEXT)",
        "UPDATE symbols SET expected = 9223372036854775807, turnover = 9e999",
        "UPDATE connections SET from_ms = -1",
        "UPDATE ledger SET updated_ms = 9223372036854775807",
        "UPDATE ticks SET push_type = CAST(x'ff41' AS TEXT)",
    ],
)
def test_quality_of_odd_values(cli: Cli, workdir: Path, tick: Callable[..., TickRow], sql: str) -> None:
    """For any values in the columns: a verdict, numbers, a page; no traceback."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    start_ms = market.day_start_ms(market.parse_day("20261120")) + 34_200_000
    file = DayFile(workdir / "20261120.db", "20261120", "run", start_ms, "test", StoreOptions())
    gaps = [Gap("HK.00700", n, n, start_ms, start_ms + n, 1, "lost", "open", start_ms, None, n) for n in (1, 2)]
    file.write(Batch(rows=[tick("HK.00700", n, start_ms + n) for n in range(1, 9)], gaps=gaps), start_ms)
    file.close()
    with closing(apsw.Connection(str(file.path))) as db:
        db.execute("INSERT INTO connections VALUES (1, NULL, 1, 1, '')")
        db.execute(sql)
    done = cli("quality", "--day", "20261120", "--json", "--html", "page.html")
    assert (done.returncode in (1, 2), done.stderr) == (True, "")
    assert document(done.stdout)["days"][0]["verdict"] in ("WARNING", "CRITICAL")
    assert (workdir / "page.html").exists()
    assert cli("quality", "--day", "20261120").stderr == ""


def loose(table: str, change: str) -> str:
    """The table without its types, as `CREATE TABLE ... AS` makes it, and what is then changed in it."""
    made = f"CREATE TABLE loose AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE loose RENAME TO {table}"
    return f"{made}; {change}"


LAST: Final = "WHERE seq = 3000"
ODD_VALUES: Final = {
    loose("ticks", f"UPDATE ticks SET volume = 'many' {LAST}"): "ticks.volume is 'many'",
    loose("ticks", f"UPDATE ticks SET price = x'00' {LAST}"): "ticks.price is b'",
    loose("ticks", f"UPDATE ticks SET direction = NULL {LAST}"): "ticks.direction is None",
    f"UPDATE ticks SET ts_ms = 9223372036854775807 {LAST}": "ticks.ts_ms is 9223372036854775807",
    f"UPDATE ticks SET turnover = -9e999 {LAST}": "ticks.turnover is -inf",
    f"UPDATE ticks SET tick_type = CAST(x'ff41' AS TEXT) {LAST}": "not UTF-8",
    loose("gaps", "UPDATE gaps SET missing = 'x' WHERE id = 3000"): "gaps.missing is 'x'",
    loose("gaps", "UPDATE gaps SET id = 'x' WHERE id = 3000"): "gaps.id is 'x'",
    "UPDATE gaps SET closed_ms = -1 WHERE id = 3000": "gaps.closed_ms is -1",
    "UPDATE gaps SET cause = CAST(x'ff41' AS TEXT) WHERE id = 3000": "not UTF-8",
}


@pytest.mark.parametrize("sql", ODD_VALUES)
def test_a_document_is_printed_completely_or_not_at_all(
    cli: Cli, workdir: Path, tick: Callable[..., TickRow], sql: str
) -> None:
    """A value in the last row that the schema does not allow: no verb prints the rows before it; one line, exit 1."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    start_ms = market.day_start_ms(market.parse_day("20261120")) + 34_200_000
    file = DayFile(workdir / "20261120.db", "20261120", "run", start_ms, "test", StoreOptions())
    gaps = [
        Gap("HK.00700", n, n, start_ms, start_ms + n, 1, "push_lost", "open", start_ms + n, None, n)
        for n in range(1, 3001)
    ]
    file.write(Batch(rows=[tick("HK.00700", n, start_ms + n) for n in range(1, 3001)], gaps=gaps), start_ms)
    file.close()
    with closing(apsw.Connection(str(file.path))) as db:
        db.execute(sql)
    verbs: list[tuple[str, ...]] = [("gaps",), ("gaps", "--json")]
    if "gaps" not in sql:
        verbs = [("ticks", *form) for form in (("--json",), ("--format", "csv"), ("--format", "jsonl"), ("-n", "2999"))]
    for args in verbs:
        done = cli(*args, "--day", "20261120")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), (args, done)
        assert f"{file.path}" in done.stderr
        assert ODD_VALUES[sql] in done.stderr
