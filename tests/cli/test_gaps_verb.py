"""`gaps`: every gap of a day with its size and cause, as a table with totals or as one document."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw
import pytest

from hk_tick_collector import market
from hk_tick_collector.model import Gap
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000  # 09:30
SEQ: Final = (OPEN_MS // 1000) << 32
GAPS: Final = [
    Gap("HK.00700", SEQ | 8, SEQ | 1207, OPEN_MS, OPEN_MS + 61_500, 1200, "disconnected", "open", OPEN_MS, None, 1),
    Gap("HK.00005", SEQ | 2, SEQ | 2, OPEN_MS, OPEN_MS, 0, "push_lost", "healed", OPEN_MS + 1, OPEN_MS + 900, 2),
    Gap("HK.00005", SEQ, 2**63 - 1, OPEN_MS, OPEN_MS + 5, None, "kicked_out", "open", OPEN_MS + 2, None, 3),
    Gap("HK.00700", SEQ | 2000, SEQ | 2004, OPEN_MS, OPEN_MS, 5, "disconnected", "open", OPEN_MS + 3, None, 4),
]


@pytest.fixture
def stored(workdir: Path, tick: Callable[..., TickRow]) -> Path:
    """A day file of DAY with these gaps, as a collector writes it."""
    path = workdir / f"{DAY}.db"
    day = DayFile(path, DAY, "run", OPEN_MS, "test", StoreOptions())
    day.write(Batch(rows=[tick("HK.00700", SEQ | 1, OPEN_MS)], gaps=GAPS), OPEN_MS)
    day.close()
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    return path


def test_the_table_has_every_gap_and_the_sums(cli: Cli, stored: Path) -> None:
    """Hong Kong times, exact sequences, size or unknown; totals, and sums by cause; exit code 0."""
    done = cli("gaps", "--day", DAY)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = done.stdout.splitlines()
    assert header.split() == [
        "symbol", "from", "to", "missing", "cause", "status", "opened", "closed", "from_seq", "to_seq"
    ]  # fmt: skip
    assert lines[0].split() == [
        "HK.00700", "09:30:00.000", "09:31:01.500", "1,200", "disconnected", "open", "09:30:00.000",
        str(SEQ | 8), str(SEQ | 1207),
    ]  # fmt: skip
    assert "healed" in lines[1]
    assert lines[1].split()[7] == "09:30:00.900"
    assert "unknown" in lines[2]
    assert str(2**63 - 1) not in lines[2]
    assert lines[4:] == [
        f"{DAY}: 3 open (1 of unknown size), 1,205 ticks missing; 1 healed",
        "  disconnected: 2 open, 1,205 ticks missing; 0 healed",
        "  kicked_out: 1 open (1 of unknown size), 0 ticks missing; 0 healed",
        "  push_lost: 0 open, 0 ticks missing; 1 healed",
    ]


def test_json_is_one_exact_document(cli: Cli, stored: Path) -> None:
    """The columns of the table `gaps`, sequences to the last digit, and the same sums."""
    done = cli("gaps", "--day", DAY, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["day"], document["file"]) == (0, DAY, str(stored))
    assert [Gap(**gap) for gap in document["gaps"]] == GAPS
    sums = document["sums"]
    assert (sums["open"], sums["healed"], sums["missing"], sums["unknown"]) == (3, 1, 1205, 1)
    assert sums["causes"]["disconnected"] == {"open": 2, "healed": 0, "missing": 1205, "unknown": 0}


def test_symbols_and_open_gaps_are_chosen(cli: Cli, stored: Path) -> None:
    """Only the chosen gaps are listed and summed."""
    chosen = json.loads(cli("gaps", "HK.00005", "--open", "--day", DAY, "--json").stdout)
    assert [(gap["symbol"], gap["cause"]) for gap in chosen["gaps"]] == [("HK.00005", "kicked_out")]
    assert (chosen["sums"]["open"], chosen["sums"]["missing"]) == (1, 0)
    assert cli("gaps", "HK.00388", "--day", DAY).stdout == f"{DAY}: no gap\n"


def test_what_cannot_be_listed_has_one_line(cli: Cli, stored: Path) -> None:
    """A day without a file, a future day, an invalid symbol: one line with cause and remedy, nothing on stdout."""
    for args, code, words in (
        (("--day", "20200102"), 1, f"the only day there is {DAY}"),
        (("--day", "99991231"), 2, "is in the future"),
        (("00700", "--day", DAY), 2, "HK.00700"),
    ):
        done = cli("gaps", *args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
        assert words in done.stderr


MANY: Final = 120_000
FILL: Final = """
WITH RECURSIVE n (x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM n WHERE x < ? + 9)
INSERT INTO gaps
SELECT 'HK.00700', x << 32, (x << 32) | 3, ? + x, ? + x, x % 1000000, 'disconnected', 'open', ? + x, NULL, x FROM n
"""
MEASURED: Final = (
    "import resource, sys; from hk_tick_collector import cli; code = cli.main(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,"
    " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr); sys.exit(code)"
)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_memory_does_not_grow_with_the_gaps(stored: Path, workdir: Path, form: tuple[str, ...]) -> None:
    """A day with a hundred thousand gaps is printed whole, in hardly more memory than one with four."""
    peaks_mb = []
    for rows in (0, MANY):
        with closing(apsw.Connection(str(stored))) as db:
            db.execute(FILL, (rows, OPEN_MS, OPEN_MS, OPEN_MS)) if rows else None
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "gaps", "--day", DAY, *form],
            cwd=workdir,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks_mb.append(max(map(int, done.stderr.split())))
        assert done.stdout.count("disconnected") >= rows
        if form:
            assert len(json.loads(done.stdout)["gaps"]) == rows + len(GAPS)
    assert peaks_mb[1] < peaks_mb[0] + 20


def test_a_long_table_keeps_its_columns(cli: Cli, on_terminal: Callable[..., tuple[int, str]], stored: Path) -> None:
    """More gaps than are held in memory: the columns stay in their places, in a pipe and on a narrow terminal."""
    with closing(apsw.Connection(str(stored))) as db:
        db.execute(FILL, (3000, OPEN_MS, OPEN_MS, OPEN_MS))
    header, *lines = cli("gaps", "--day", DAY).stdout.splitlines()[: 3000 + 1 + len(GAPS)]
    assert len(lines) == 3000 + len(GAPS)
    ends = {line.index("disconnected") for line in lines if "disconnected" in line}
    assert ends == {header.index("cause")}
    assert {len(line) for line in lines if "disconnected" in line} == {len(header)}
    code, shown = on_terminal("gaps", "--day", DAY, COLUMNS="80", TERM="dumb")
    assert code == 0
    assert "(not shown at 80 columns: opened, closed, from_seq, to_seq)" in shown
    assert max(map(len, shown.splitlines())) <= 80
