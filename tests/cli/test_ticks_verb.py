"""`ticks`: a day as table, CSV, JSON lines or one document; following; a reason if there is nothing to print."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector import market
from hk_tick_collector.model import Tick
from hk_tick_collector.store.follow import Follower
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

BIG = (1_795_138_200 << 32) | 17  # a real sequence: beyond what a double holds


@pytest.fixture
def stored(make_day: Callable[..., Any], tick: Callable[..., TickRow], workdir: Path) -> list[TickRow]:
    """Thirty ticks of two symbols in DATA_ROOT, in the order of their time."""
    ticks = [tick(symbol, BIG + n, 1_795_138_200_000 + n) for n in range(15) for symbol in ("HK.00005", "HK.00700")]
    make_day("20261120").add(reversed(ticks))
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    return ticks


def test_csv_and_json_lines_are_exact(cli: Cli, stored: list[TickRow]) -> None:
    """All columns of all ticks in the order of their time, sequences to the last digit."""
    rows = list(csv.reader(io.StringIO(cli("ticks", "--day", "20261120", "--format", "csv").stdout)))
    assert tuple(rows[0]) == Tick._fields
    assert rows[1:] == [[str(value) for value in row] for row in stored]
    lines = cli("ticks", "--day", "2026-11-20", "--format", "jsonl").stdout.splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == stored
    assert list(json.loads(lines[0])) == list(Tick._fields)


@pytest.mark.parametrize("version", [1, 3])
def test_a_file_of_an_older_schema_has_the_newer_columns_without_values(
    cli: Cli, stored: list[TickRow], workdir: Path, version: int
) -> None:
    """Every column is printed for every day: empty in CSV, null in JSON."""
    with closing(sqlite3.connect(workdir / "20251120.db")) as db:
        for migration in MIGRATIONS[:version]:
            db.executescript(migration)
        db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
        db.executemany(f"INSERT INTO ticks VALUES ({', '.join('?' * 10)})", [row[:10] for row in stored])
        db.commit()
    header, *rows = csv.reader(io.StringIO(cli("ticks", "--day", "20251120", "--format", "csv").stdout))
    assert tuple(header) == Tick._fields
    assert rows == [[*map(str, row[:10]), "", ""] for row in stored]
    document = json.loads(cli("ticks", "--day", "20251120", "--json", "-n", "3").stdout)
    assert [tuple(tick.values()) for tick in document["ticks"]] == [(*row[:10], None, None) for row in stored[-3:]]


def test_json_is_one_document(cli: Cli, stored: list[TickRow], workdir: Path) -> None:
    """One document with the day, the file and all ticks; an empty list without matching ticks."""
    document = json.loads(cli("ticks", "--day", "20261120", "--json").stdout)
    assert (document["day"], document["file"]) == ("20261120", f"{workdir}/20261120.db")
    assert [tuple(tick.values()) for tick in document["ticks"]] == stored
    assert json.loads(cli("ticks", "--day", "20261120", "--json", "--limit", "0").stdout)["ticks"] == []


def test_a_table_shows_the_latest(cli: Cli, stored: list[TickRow]) -> None:
    """The latest twenty, or as many as given, of the given symbols, with Hong Kong time."""
    assert len(cli("ticks", "--day", "20261120").stdout.splitlines()) == 1 + 20
    header, *rows = cli("ticks", "HK.00700", "--day", "20261120", "-n", "2").stdout.splitlines()
    assert header.split()[:3] == ["time", "symbol", "price"]
    assert [row.split()[:2] for row in rows] == [["09:30:00.013", "HK.00700"], ["09:30:00.014", "HK.00700"]]
    assert rows[-1].split()[-1] == str(BIG + 14)


def test_symbols_from_a_file_and_missing_ones(cli: Cli, stored: list[TickRow], workdir: Path) -> None:
    """@FILE names symbols; one without ticks is reported on stderr, with the ticks of the others on stdout."""
    (workdir / "hk.txt").write_text("HK.00700\nHK.00388\n")
    done = cli("ticks", "@hk.txt", "--day", "20261120", "--format", "jsonl")
    assert {json.loads(line)["symbol"] for line in done.stdout.splitlines()} == {"HK.00700"}
    assert done.stderr == "warning: no tick of HK.00388 on 20261120\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--day", "20261119"], "the only day there is 20261120"),
        (["--day", "20261120", "HK.00388"], "no tick of HK.00388 on 20261120"),
        (["--day", "20261121"], "20261121.db has no tick yet"),
        (["--day", "20261122"], "20261122.db is not an SQLite file"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"], ["--format", "csv"]])
def test_nothing_to_print_has_a_reason(
    cli: Cli,
    stored: list[TickRow],
    make_day: Callable[..., Any],
    workdir: Path,
    args: list[str],
    says: str,
    form: list[str],
) -> None:
    """No file, unknown symbol, empty day, foreign file: one line with cause and remedy, exit code 1, stdout empty."""
    if args[1] == "20261121":
        make_day("20261121")
    elif args[1] == "20261122":
        (workdir / "20261122.db").write_text("what is this\n" * 100)
    done = cli("ticks", *args, *form)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert says in done.stderr


def copied(source: Path, target: Path) -> None:
    """Copies a day file of 20261120 as a collector writes it, with what is in its WAL."""
    with closing(sqlite3.connect(source)) as db:
        with db:
            db.execute("INSERT INTO meta VALUES ('trading_day', '20261120')")
        db.execute("VACUUM INTO ?", (str(target),))


@pytest.mark.parametrize(
    "args",
    [
        ("ticks", "--day", "20261123"),
        ("ticks", "--day", "20261123", "--format", "csv"),
        ("ticks", "--day", "20261123", "--json"),
        ("ticks", "--since", "20261122", "--until", "20261123"),
        ("ticks", "--day", "20261123", "--follow"),
        ("gaps", "--day", "20261123"),
        ("gaps", "--day", "20261123", "--json"),
        ("tail", "--day", "20261123"),
    ],
)
def test_a_file_under_the_name_of_another_day_is_not_read(
    cli: Cli, stored: list[TickRow], workdir: Path, args: tuple[str, ...]
) -> None:
    """A copy made by hand, like `cp 20261120.db 20261123.db`: one line, and no tick is shown as of another day."""
    copied(workdir / "20261120.db", workdir / "20261123.db")
    done = cli(*args)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{workdir}/20261123.db is the file of 20261120, not of 20261123: give it its own name" in done.stderr
    assert "HK." not in done.stdout  # `tail` has printed its header


@pytest.mark.parametrize("name", ["copy.db", "2026-11-20.db"])
def test_a_copy_under_another_name_is_read(stored: list[TickRow], workdir: Path, name: str) -> None:
    """A name that is no day says nothing of the day; the day may also be written with hyphens."""
    copied(workdir / "20261120.db", workdir / name)
    assert len(Follower(workdir / name).begin(100)) == len(stored)


def test_an_empty_data_root(cli: Cli, workdir: Path) -> None:
    """Before the first day the line says what to check."""
    done = cli("ticks", DATA_ROOT=f"{workdir}/nowhere")
    assert done.returncode == 1
    assert "check DATA_ROOT" in done.stderr


@contextmanager
def following(workdir: Path, *args: str) -> Iterator[Iterator[int]]:
    """The sequences printed by a following process, as they come."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hk_tick_collector", "ticks", "--follow", "--format", "jsonl", *args],
        cwd=workdir,
        env={**os.environ, "DATA_ROOT": str(workdir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield (json.loads(line)["seq"] for line in process.stdout)
    finally:
        process.kill()
        process.communicate()


def test_following_prints_what_is_stored_later(
    workdir: Path, make_day: Callable[..., Any], tick: Callable[..., TickRow]
) -> None:
    """After the latest ticks the new ones are printed as soon as they are committed, late ones too."""
    day = make_day("20261120")
    day.add([tick("HK.00700", seq) for seq in (10, 20)])
    with following(workdir, "--day", "20261120", "-n", "1") as seqs:
        assert next(seqs) == 20
        day.add([tick("HK.00700", 30)])
        assert next(seqs) == 30
        day.add([tick("HK.00700", 15), tick("HK.00005", 1)])
        assert sorted([next(seqs), next(seqs)]) == [1, 15]


@pytest.mark.usefixtures("one_day")
def test_a_tick_of_tomorrow_ends_no_day(
    workdir: Path, make_day: Callable[..., Any], tick: Callable[..., TickRow]
) -> None:
    """With one tick dated tomorrow, and an invalid file of that day: today's ticks continue, each once."""
    today = make_day(datetime.now(market.HKT).strftime("%Y%m%d"))
    today.add([tick("HK.00700", 1)])
    make_day("99991229").add([tick("HK.00700", 2)])  # there before: not new
    (workdir / "99991230.db").write_text("no day file")
    with following(workdir) as seqs:
        assert next(seqs) == 1
        make_day("99991231").add([tick("HK.00700", 3)])
        assert next(seqs) == 3
        for seq in range(4, 24):
            today.add([tick("HK.00700", seq)])
            assert next(seqs) == seq


@pytest.mark.usefixtures("one_day")
def test_following_goes_on_to_the_next_day(
    workdir: Path, make_day: Callable[..., Any], tick: Callable[..., TickRow]
) -> None:
    """Without --day, today's file is followed until there is a newer one, and then that one."""
    today = make_day(datetime.now(market.HKT).strftime("%Y%m%d"))
    today.add([tick("HK.00700", 1)])
    with following(workdir) as seqs:
        assert next(seqs) == 1
        today.add([tick("HK.00700", 2)])
        make_day("99991231").add([tick("HK.00700", 3)])
        assert [next(seqs), next(seqs)] == [2, 3]


@pytest.fixture
def three_days(make_day: Callable[..., Any], tick: Callable[..., TickRow], workdir: Path) -> None:
    """Three days with a tick at 09:30, 12:00 and 15:30 each."""
    for name in ("20261118", "20261119", "20261120"):
        start_ms = market.day_start_ms(market.parse_day(name))
        make_day(name).add([tick("HK.00700", minute, start_ms + minute * 60_000) for minute in (570, 720, 930)])
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")


@pytest.mark.usefixtures("three_days")
@pytest.mark.parametrize(
    ("args", "times"),
    [
        (["--since", "20261119"], ["19 09:30", "19 12:00", "19 15:30", "20 09:30", "20 12:00", "20 15:30"]),
        (["--until", "2026-11-18"], ["18 09:30", "18 12:00", "18 15:30"]),
        (["--since", "20261118 15:30", "--until", "20261119 12:00"], ["18 15:30", "19 09:30"]),
        (["--since", "20261119T12:00", "--until", "20261119"], ["19 12:00", "19 15:30"]),
        (["--day", "20261119", "--since", "12:00"], ["19 12:00", "19 15:30"]),
        (["--day", "20261119", "--until", "12:00:00.001"], ["19 09:30", "19 12:00"]),
        (["--since", "20261118", "--limit", "4"], ["19 15:30", "20 09:30", "20 12:00", "20 15:30"]),
        (["--since", "20261120 16:00", "--json"], []),
    ],
)
def test_days_and_times_are_chosen(cli: Cli, args: list[str], times: list[str]) -> None:
    """Several days one after the other; a day of --until is included, a time of it is not; --limit counts in all."""
    as_json = "--json" in args
    done = cli("ticks", "HK.00700", *args, *([] if as_json else ["--format", "jsonl"]))
    assert done.returncode == 0, done.stderr
    ticks = json.loads(done.stdout)["ticks"] if as_json else map(json.loads, done.stdout.splitlines())
    assert [market.hkt(tick["ts_ms"]).strftime("%d %H:%M") for tick in ticks] == times


@pytest.mark.usefixtures("three_days")
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--since", "20261119", "--until", "20261118"], 2, "is later than --until 20261118: give the earlier day"),
        (["--day", "20261119", "--since", "12:00", "--until", "12:00"], 2, "is not earlier than"),
        (["--day", "20261119", "--since", "20261118"], 2, "both name a day"),
        (["--since", "yesterday"], 2, "write a day like 20261120, a time like 09:30, or both"),
        (["--since", "20261119 25:00"], 2, "no time of a day"),
        (["--since", "20261119", "--follow"], 2, "leave out --since"),
        (["--since", "20261201"], 1, "days with a file: 20261118 to 20261120"),
        (["--since", "20261120 16:00"], 1, "no tick is in the range"),
    ],
)
def test_a_range_that_gives_nothing_has_a_reason(cli: Cli, args: list[str], code: int, says: str) -> None:
    done = cli("ticks", *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert says in done.stderr


@pytest.mark.usefixtures("three_days")
def test_a_table_of_several_days_has_their_dates(cli: Cli) -> None:
    """Twenty rows at most, as for one day; the date comes first."""
    header, *rows = cli("ticks", "--since", "20261119").stdout.splitlines()
    assert header.split()[:2] == ["date", "time"]
    assert [row.split()[:2] for row in rows][-1] == ["2026-11-20", "15:30:00.000"]
    assert len(rows) == 6
