"""`export`: complete files of any symbols and days, from day files and the archive; or one line and no file."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import apsw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.conftest import Days
from tests.s3_server import KEYS

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.frames.columns import NAMES, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

ROWS: Final = 3 * 60
BIG: Final = (1_795_138_200 << 32) | 1


@pytest.fixture
def days(workdir: Path) -> Days:
    """A finished week: Thursday archived, Friday a day file."""
    days = Days(workdir)
    for name in ("20261119", "20261120"):
        days.collect(name).close()
    (workdir / ".env").write_text(f"DATA_ROOT={days.data_root}\n")
    return days


@pytest.fixture
def export(cli: Cli, days: Days) -> Cli:
    """Runs the verb in the directory of the test."""
    return lambda *args, **more: cli("export", *args, **more)


def read(path: Path) -> Any:
    """The rows of a file, by polars."""
    if path.name.endswith((".csv", ".csv.zst")):
        return pl.read_csv(path, try_parse_dates=True)
    readers: dict[str, Any] = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc, ".jsonl": pl.read_ndjson}
    return readers[path.suffix](path)


@pytest.mark.parametrize("form", ["parquet", "csv", "csv.zst", "arrow", "jsonl"])
def test_every_format_has_every_row(export: Cli, workdir: Path, form: str) -> None:
    """Two days as one file under a name that says which: each column, the exact sequence, the moment of each time."""
    done = export("--since", "20261119", "--until", "2026-11-20", "--format", form)
    path = workdir / f"ticks-20261119-20261120.{form}"
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path.name}: {2 * ROWS} ticks of 2 days" in done.stdout
    frame = read(path)
    assert frame.columns == list(NAMES)
    assert frame.height == 2 * ROWS
    assert frame["seq"].to_list()[ROWS] == BIG
    assert frame["turnover"].sum() == sum((100 + n / 8) * 100 for n in range(60)) * 6
    times = frame["ts"].cast(pl.String).str.replace("T", " ").to_list()
    assert times[ROWS].startswith(("2026-11-20 09:30:00", "2026-11-20 01:30:00"))
    assert frame["date"].cast(pl.String).to_list()[ROWS] == "2026-11-20"


def test_csv_and_json_lines_can_be_read_by_anything(export: Cli, workdir: Path) -> None:
    """With Python's own library: a header, Hong Kong time with its offset, numbers that give the same number again."""
    export("--day", "20261120", "--out", "a.csv", "--symbols", "HK.00700")
    export("--day", "20261120", "--out", "a.jsonl", "--symbols", "HK.00700")
    rows = list(csv.DictReader(io.StringIO((workdir / "a.csv").read_text())))
    lines = [json.loads(line) for line in (workdir / "a.jsonl").read_text().splitlines()]
    assert rows[1]["ts"] == lines[1]["ts"] == "2026-11-20T09:31:00.000+08:00"
    assert (int(rows[0]["seq"]), float(rows[1]["price"])) == (BIG, 100.125)
    assert (lines[0]["seq"], lines[1]["price"]) == (BIG, 100.125)
    assert [row["symbol"] for row in rows] == [line["symbol"] for line in lines] == ["HK.00700"] * 60


def test_symbols_times_and_columns(export: Cli, workdir: Path) -> None:
    """Only the requested ticks and columns; the end of the time is not included."""
    args = ["--symbols", "HK.00700,HK.00005", "--from", "09:40", "--to", "09:42", "--columns", "ts, price"]
    done = export("--day", "20261120", "--out", "few.csv", *args)
    assert done.returncode == 0, done.stderr
    assert (workdir / "few.csv").read_text().splitlines() == [
        '"ts","price"',
        *['"2026-11-20T09:40:00.000+08:00",101.25', '"2026-11-20T09:41:00.000+08:00",101.375'] * 2,
    ]


def test_one_file_for_each_symbol(export: Cli, workdir: Path) -> None:
    """In a directory that it makes; each file has every day of its symbol; no file of that name is written over."""
    args = ["--since", "20261119", "--until", "20261120", "--split", "symbol", "--out", "by symbol"]
    done = export(*args, "--json", "--columns", "date,ts,price")
    document = json.loads(done.stdout)
    assert document["rows"] == 2 * ROWS
    names = ["HK.00005.parquet", "HK.00700.parquet", "HK.09988.parquet"]
    assert sorted(path.name for path in (workdir / "by symbol").iterdir()) == names
    for name in names:
        frame = pl.read_parquet(workdir / "by symbol" / name)
        assert (frame.columns, frame.height, frame["date"].n_unique()) == (["date", "ts", "price"], 120, 2)
    again = export(*args)
    assert again.returncode == 2
    assert "HK.00005.parquet exists already" in again.stderr
    assert export(*args, "--replace").returncode == 0
    assert sorted(path.name for path in (workdir / "by symbol").iterdir()) == names


def test_the_archive_and_a_day_file_give_the_same_file(export: Cli, days: Days, workdir: Path) -> None:
    """Where a day is kept makes no difference; the types are those of the archive."""
    export("--day", "20261120", "--out", "before.parquet")
    days.to_archive("20261120")
    done = export("--day", "20261120", "--out", "after.parquet", "--archive", str(days.archive))
    assert done.returncode == 0, done.stderr
    one, two = (pq.read_table(workdir / name) for name in ("before.parquet", "after.parquet"))
    assert one.equals(two)
    assert one.schema.remove_metadata() == schema()


def test_gaps_and_missing_symbols_are_reported(export: Cli, days: Days, workdir: Path) -> None:
    """On stderr, in the document and in the file's metadata; the file is still written."""
    days.gap("20261120", "HK.00700", 7)
    done = export(
        "--since", "20261117", "--until", "20261120", "--symbols", "HK.00700,HK.00388", "--json", "--out", "a.parquet"
    )
    shown = "hk-tick-collector gaps --open --day 20261120"
    assert done.stderr.splitlines() == [
        f"warning: 1 open gap in the range, 7 ticks are known to be missing (20261120) -> {shown}",
        "warning: no data of these weekdays, holidays or not collected: 20261117, 20261118",
        "warning: no tick of HK.00388",
    ]
    document = json.loads(done.stdout)
    assert (document["open_gaps"], document["missing"], document["days"]) == (1, 7, ["20261119", "20261120"])
    said = pq.read_metadata(workdir / "a.parquet").metadata or {}
    assert said[b"hk_tick_collector.days"] == b"20261119,20261120"
    assert b"7 ticks" in said[b"hk_tick_collector.open_gaps"]


@pytest.mark.usefixtures("one_day")
def test_a_day_that_is_not_finished_is_marked(export: Cli, days: Days, workdir: Path) -> None:
    """Only with --partial, under a name that says so, from one moment beside the writer, and named in the metadata."""
    today = market.day_name(market.day_number(now_ms()))
    file = days.collect(today)
    refused = export("--day", today, "--out", "today.parquet")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{today} may still get ticks: add --partial" in refused.stderr
    unmarked = export("--day", today, "--partial", "--out", "today.parquet")
    assert unmarked.returncode == 2
    assert "--out today.partial.parquet" in unmarked.stderr
    done = export("--day", today, "--partial", "--json")
    document = json.loads(done.stdout)
    path = workdir / f"ticks-{today}.partial.parquet"
    assert (document["files"][0]["file"], document["partial_days"], document["rows"]) == (path.name, [today], ROWS)
    said = pq.read_metadata(path).metadata or {}
    assert said[b"hk_tick_collector.partial"].decode() == today
    assert said[b"hk_tick_collector.partial_until"].decode().endswith("+08:00")
    assert export("--day", today, "--partial", "--format", "arrow").returncode == 0
    with pa.ipc.open_file(str(workdir / f"ticks-{today}.partial.arrow")) as arrow:
        assert arrow.schema.metadata[b"hk_tick_collector.partial"].decode() == today
    file.close()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "no day is given: --day 20261120"),
        (["--day", "20261120", "--since", "20261119"], 2, "give one day, or a range"),
        (["--since", "20261120", "--until", "20261119"], 2, "is later than"),
        (["--day", "2026"], 2, "--day=2026 is not a day: write a day like"),
        (["--day", "20261121"], 1, "no data of 20261121, a Saturday"),
        (["--day", "20261120", "--from", "9"], 2, "--from=9 is not a time: write a time like 09:30"),
        (["--day", "20261120", "--from", "10:00", "--to", "10:00"], 2, "the end is not included"),
        (["--day", "20261120", "--columns", "price,bid"], 2, "there is no column 'bid': columns are date,"),
        (["--day", "20261120", "--symbols", "700"], 2, "did you mean HK.00700?"),
        (["--day", "20261120", "--symbols", "HK.00388"], 1, "no tick of HK.00388"),
        (["--day", "20261120", "--out", "a.xlsx"], 2, "add --format: parquet, csv, csv.zst, arrow, jsonl"),
        (["--day", "20261120", "--format", "xlsx"], 2, "csv.zst"),
        (["--day", "20261120", "--out", "none/a.csv"], 1, "there is no directory none"),
        (["--day", "20261120", "--out", ".", "--format", "csv"], 2, "is a directory"),
        (["--day", "20261120", "--split", "day"], 2, "symbol"),
    ],
)
def test_a_wrong_request_writes_nothing(export: Cli, workdir: Path, args: list[str], code: int, says: str) -> None:
    """One line says what was wrong and what is allowed; no file appears."""
    before = sorted(workdir.iterdir())
    done = export(*args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert says in done.stderr
    assert sorted(workdir.iterdir()) == before


def test_an_archive_in_an_object_store_that_is_away(export: Cli) -> None:
    """Days with a day file need it not; for others, one line names the store, and no file is written."""
    away = {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "ARCHIVE_DIR": "s3://bucket/ticks"}
    done = export("--day", "20261120", "--out", "a.csv", **away)
    assert (done.returncode, done.stderr) == (0, "")
    done = export("--day", "20261118", "--out", "b.csv", **away)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("hk-tick-collector: cannot list s3://bucket/ticks")
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stderr
    done = export("--day", "20261120", "--out", "b.csv", "--archive", "gs://bucket/ticks")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_file_under_the_name_of_another_day(export: Cli, days: Days, workdir: Path) -> None:
    """It was renamed by hand: one line, and nothing is written."""
    days.path("20261120").rename(days.path("20261123"))
    done = export("--day", "20261123", "--out", "x.csv")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "20261123.db is the file of 20261120, not of 20261123: give it its own name again" in done.stderr
    assert not (workdir / "x.csv").exists()


def test_an_existing_file_is_kept(export: Cli, workdir: Path) -> None:
    """Until --replace says otherwise; a link to a file is not followed."""
    (workdir / "a.csv").write_text("mine")
    (workdir / "b.csv").symlink_to("a.csv")
    for name in ("a.csv", "b.csv"):
        done = export("--day", "20261120", "--out", name)
        assert done.returncode == 2
        assert f"{name} exists already and was not changed" in done.stderr
    assert export("--day", "20261120", "--out", "b.csv", "--replace").returncode == 0
    assert (workdir / "a.csv").read_text() == "mine"
    assert len((workdir / "b.csv").read_text().splitlines()) == ROWS + 1


@pytest.mark.parametrize("split", [[], ["--split", "symbol"]])
@pytest.mark.parametrize("form", ["parquet", "csv", "csv.zst", "arrow", "jsonl"])
def test_a_disk_that_fills_leaves_nothing(days: Days, workdir: Path, split: list[str], form: str) -> None:
    """The kernel refuses to let the file grow: one line, exit code 1, and no file of any name."""
    (workdir / "out").mkdir()
    name = "out/part" if split else f"out/a.{form}"
    limit = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))"
    code = f"import resource, signal, sys; {limit}; from hk_tick_collector.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", "--day", "20261120", "--out", name, "--format", form, *split],
        cwd=workdir,
        env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")},  # it writes a file too
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "nothing is left of it" in done.stderr
    assert list((workdir / "out").iterdir()) == []


def test_a_signal_leaves_nothing(days: Days, workdir: Path) -> None:
    """SIGTERM in the middle of a day: exit code 143, and no file of any name."""
    days.collect("20261118", each=40_000).close()
    (workdir / "out").mkdir()
    args = [sys.executable, "-m", "hk_tick_collector", "export", "--day", "20261118", "--out", "out/a.jsonl"]
    process = subprocess.Popen(args, cwd=workdir, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any((workdir / "out").iterdir()):
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143
    assert said == "hk-tick-collector: ended by SIGTERM, no file was left\n"
    assert list((workdir / "out").iterdir()) == []


def test_a_terminal_shows_progress(on_terminal: Callable[..., tuple[int, str]], days: Days) -> None:
    """A bar while it works, and only the result's line in the end."""
    code, shown = on_terminal("export", "--day", "20261120", "--out", "a.csv")
    assert code == 0
    assert "[####" in shown
    assert "180 of 180 ticks" in shown or "180 ticks" in shown
    assert shown.splitlines()[-1].rpartition("\33[K")[2].startswith("a.csv: 180 ticks of 1 day")


def test_without_the_extra_it_says_so(days: Days, workdir: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from hk_tick_collector.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", "--day", "20261120"],
        cwd=workdir,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hk-tick-collector: pyarrow is not installed: pip install 'hk-tick-collector[data]'\n"


def test_a_symbol_that_is_a_path_writes_nothing_elsewhere(export: Cli, days: Days, workdir: Path) -> None:
    """Another program wrote it into the day file: --split must not leave its directory."""
    with closing(apsw.Connection(str(days.path("20261120")))) as db:
        for table in ("ticks", "symbols"):
            db.execute(f"UPDATE {table} SET symbol = '../outside' WHERE symbol = 'HK.00005'")
    done = export("--day", "20261120", "--split", "symbol", "--out", "split")
    assert done.returncode == 1
    assert "'../outside' cannot be the name of a file" in done.stderr
    assert not (workdir / "outside.parquet").exists()
    assert not (workdir / "split").exists()
