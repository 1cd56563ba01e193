"""`bars`: the bars of day files and of archived days, printed or written; what is wrong in one line."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.bars.slow_reference import Trade, reference_bars

from hk_tick_collector import market
from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.model import Gap
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

DAYS: Final = ("20261119", "20261120")
AUTO, LATE = "AUTO_MATCH", "LATE"


def rows_of(day: str) -> list[TickRow]:
    """Ticks of two symbols: an auction, minutes with and without a price, an unknown type, late reports."""
    midnight_ms = market.day_start_ms(market.parse_day(day))
    found: list[TickRow] = []
    said = [
        ("HK.00700", 33_620_000, 380.0, 1000, "NEUTRAL", "AUCTION"),
        ("HK.00700", 34_200_250, 381.2, 200, "BUY", AUTO),
        ("HK.00700", 34_201_000, 999.0, 7, "SELL", "ODD_LOT"),
        ("HK.00700", 34_259_999, 380.8, 300, "SELL", AUTO),
        ("HK.00700", 34_230_000, 500.0, 5000, "BUY", LATE),
        ("HK.00700", 34_320_000, 381.0, 50, "BUY", "TYPE_99"),
        ("HK.00005", 36_000_000, 64.1, 400, "BUY", AUTO),
    ]
    for number, (symbol, since_ms, price, volume, direction, kind) in enumerate(said):
        ts_ms = midnight_ms + since_ms
        seq = (midnight_ms + 34_000_000) // 1000 << 32 | number
        found.append(
            (symbol, seq, ts_ms, price, volume, price * volume, direction, kind, "realtime", ts_ms + 9, None, None)
        )
    return found


def expected(*days: str, symbol: str | None = None, **spec: Any) -> list[dict[str, Any]]:
    """The bars by the slow reference, with times as they are printed."""
    trades = [
        Trade(market.parse_day(day), *row[:8]) for day in days for row in rows_of(day) if symbol in (None, row[0])
    ]
    found = reference_bars(trades, **spec)
    for bar in found:
        for name in {"time", "end"} & set(bar):
            bar[name] = market.hkt(bar[name]).isoformat(timespec="milliseconds")
    return found


@pytest.fixture
def stored(workdir: Path) -> Path:
    """Two day files with these ticks, as a collector writes them; the second day has an open gap."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    for day in DAYS:
        start_ms = market.day_start_ms(market.parse_day(day))
        file = DayFile(workdir / f"{day}.db", day, "run", start_ms, "test", StoreOptions())
        gap = Gap("HK.00005", 1, 9, start_ms, start_ms + 5, 9, "disconnected", "open", start_ms, None, 1)
        file.write(Batch(rows=rows_of(day), gaps=[gap] if day == DAYS[1] else []), start_ms)
        file.close()
    return workdir


def test_a_table_shows_the_symbol_with_the_most_ticks(cli: Cli, stored: Path) -> None:
    """Without a symbol it is one symbol's table, in Hong Kong time; a minute without a price shows none; warnings."""
    done = cli("bars", "--day", DAYS[0])
    assert done.returncode == 0
    header, *lines, last = done.stdout.splitlines()
    assert header.split()[:6] == ["time", "open", "high", "low", "close", "volume"]
    assert [line.split()[:7] for line in lines] == [
        ["2026-11-19", "09:20:00.000", "380.000", "380.000", "380.000", "380.000", "1,000"],
        ["2026-11-19", "09:30:00.000", "381.200", "381.200", "380.800", "380.800", "5,507"],
        ["2026-11-19", "09:32:00.000", "-", "-", "-", "-", "50"],
    ]
    assert last == "(HK.00700 has the most ticks; for others: hk-tick-collector bars SYMBOL)"
    assert done.stderr == "warning: ticks of an unknown type count in volume and turnover alone: TYPE_99 (1)\n"


def test_every_format_has_the_bars_of_the_slow_reference(cli: Cli, stored: Path) -> None:
    """JSON, JSON lines and CSV over both days, exact to the last digit."""
    asked, wanted = ("bars", "--since", DAYS[0], "--until", DAYS[1]), expected(*DAYS, every_ms=60_000)
    document = json.loads(cli(*asked, "--json").stdout)
    assert document["bars"] == wanted
    assert (document["days"], document["every"], document["unknown_types"]) == (list(DAYS), "1m", {"TYPE_99": 2})
    assert [json.loads(line) for line in cli(*asked, "--format", "jsonl").stdout.splitlines()] == wanted
    rows = list(csv.DictReader(io.StringIO(cli(*asked, "--format", "csv").stdout)))
    assert rows == [{name: "" if bar[name] is None else str(bar[name]) for name in rows[0]} for bar in wanted]


def test_a_parquet_file_has_the_bars_of_the_slow_reference(cli: Cli, stored: Path) -> None:
    """Bars of two ticks, with the time of the last one; times are UTC, the metadata says what was asked for."""
    wanted = expected(*DAYS, ticks=2)
    done = cli("bars", "--since", DAYS[0], "--ticks", "2", "--out", "bars.parquet")
    assert done.stdout == f"bars.parquet: {len(wanted)} bars of 2 days\n"
    table = pq.read_table(stored / "bars.parquet")
    assert table["time"].type == pa.timestamp("ms", "UTC")
    for name in ("symbol", "close", "volume", "vwap"):
        assert table[name].to_pylist() == [bar[name] for bar in wanted]
    ends: list[Any] = table["end"].cast(pa.int64()).to_pylist()
    assert [market.hkt(ms).isoformat(timespec="milliseconds") for ms in ends] == [bar["end"] for bar in wanted]
    about = pq.read_metadata(stored / "bars.parquet").metadata or {}
    assert about[b"hk_tick_collector.ticks"] == b"2"


def test_prices_of_all_ticks_on_request(cli: Cli, stored: Path) -> None:
    """The odd lot at 999 is a high only then; a late report never is."""
    done = cli("bars", "HK.00700", "--day", DAYS[0], "--prices", "all", "--json")
    wanted = expected(DAYS[0], symbol="HK.00700", every_ms=60_000, prices="all")
    assert json.loads(done.stdout)["bars"] == wanted
    assert max(bar["high"] or 0 for bar in wanted) == 999.0


def test_times_choose_ticks_of_a_day(cli: Cli, stored: Path) -> None:
    """--since and --until may be times, as those of `ticks`: the end is not included."""
    done = cli("bars", "HK.00700", "--day", DAYS[0], "--since", "09:30", "--until", "09:31", "--json")
    assert [bar["time"][11:16] for bar in json.loads(done.stdout)["bars"]] == ["09:30"]


def test_archived_days_give_the_same_bars(cli: Cli, stored: Path) -> None:
    """A day of the archive and one of a day file in one request; without a book its gaps are not known."""
    folder = stored / "archive" / "ticks" / "date=2026-11-20"
    folder.mkdir(parents=True)
    table = pa.Table.from_batches(read_ticks(stored / "20261120.db"))
    pq.write_table(table, folder / f"ticks-{'0' * 16}.parquet")
    (stored / "20261120.db").unlink()
    done = cli("bars", "--since", DAYS[0], "--archive", "archive", "--json")
    assert json.loads(done.stdout)["bars"] == expected(*DAYS, every_ms=60_000)
    assert "the gaps of 20261120 are not known" in done.stderr
    assert cli("bars", "--day", DAYS[1]).returncode == 1


def test_open_gaps_and_symbols_without_ticks_are_reported(cli: Cli, stored: Path) -> None:
    """Bars of an incomplete day look like any other: stderr says so, and names the command that lists the gaps."""
    done = cli("bars", "HK.00005", "HK.09988", "--day", DAYS[1], "--json")
    assert done.returncode == 0
    assert [bar["symbol"] for bar in json.loads(done.stdout)["bars"]] == ["HK.00005"]
    gap, absent = done.stderr.splitlines()
    assert gap.startswith("warning: 1 open gap in the range, 9 ticks are known to be missing (20261120)")
    assert re.search(r" -> hk-tick-collector gaps --open --day [0-9]{8}$", gap)
    assert absent == "warning: no tick of HK.09988"


def test_a_file_is_replaced_only_on_request(cli: Cli, stored: Path) -> None:
    """Exit code 2, one line, the file as it was; with --replace the new one."""
    (stored / "mine.csv").write_text("mine")
    done = cli("bars", "--day", DAYS[0], "--out", "mine.csv")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert (stored / "mine.csv").read_text() == "mine"
    assert cli("bars", "--day", DAYS[0], "--out", "mine.csv", "--replace").returncode == 0
    assert len((stored / "mine.csv").read_text().splitlines()) == 1 + len(expected(DAYS[0], every_ms=60_000))


def test_bars_of_ticks_fit_into_80_columns(on_terminal: Callable[..., tuple[int, str]], stored: Path) -> None:
    """The end of a bar is left out and named, before a line is wrapped."""
    code, text = on_terminal("bars", "--day", DAYS[0], "--ticks", "2", COLUMNS="80")
    assert code == 0
    table = re.sub("\33\\[[0-9;?]*[a-zA-Z]", "", text).partition("(not shown at 80 columns: ")
    assert max(map(len, table[0].rpartition("\r")[2].splitlines())) <= 80
    assert table[2].startswith("end, turnover, vwap")


def test_a_terminal_shows_progress(on_terminal: Callable[..., tuple[int, str]], stored: Path) -> None:
    """A bar while it works, and only the result's line in the end."""
    code, shown = on_terminal("bars", "--since", DAYS[0], "--out", "a.parquet")
    assert code == 0
    assert "[####" in shown
    assert "14 of 14 ticks" in shown
    assert "a.parquet: 8 bars of 2 days" in shown.splitlines()[-2]


def test_without_the_extra_it_says_so(stored: Path) -> None:
    """One line with the command that installs it; the rest of the collector works without."""
    code = "import sys; sys.modules['numpy'] = None; from hk_tick_collector.cli import main; sys.exit(main())"
    asked = [sys.executable, "-c", code, "bars", "--day", DAYS[0]]
    done = subprocess.run(asked, cwd=stored, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hk-tick-collector: numpy is not installed: pip install 'hk-tick-collector[data]'\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--every", "7m"), "every 7m does not divide a day into equal bars: usual are 1s 5s"),
        (("--every", "soon"), "every soon is not a length of time: write one like 1s 5s"),
        (("--every", "1m", "--ticks", "5"), "--every and --ticks exclude each other: give one of"),
        (("--ticks", "0"), "ticks 0 is not a whole number above 0"),
        (("--volume", "1.5"), "volume"),
        (("--turnover", "nan"), "turnover nan is not a number above 0"),
        (("--prices", "last"), "prices"),
        (("--format", "parquet"), "--format parquet needs --out FILE"),
        (("--out", "bars.txt"), "--out bars.txt needs a format: a name that ends like one, or --format: csv, jsonl"),
        (("--out", "nowhere/bars.csv", "--day", "20261120"), "there is no directory nowhere"),
        (("--json", "--format", "csv"), "--json prints one complete document"),
        (("--day", "20261120", "--since", "20261119"), "--day and --since both name a day"),
        (("--since", "20261120", "--until", "20261119"), "--since 20261120 is later than --until 20261119"),
        (("--since", "12:00", "--until", "10:00"), "--since 12:00 is not earlier than --until 10:00"),
        (("--archive", "gs://bucket/x"), "an archive at gs://bucket/x cannot be read: name a directory, or s3://BUCKET"),
        (("--since", "yesterday"), "--since yesterday is neither a day nor a time"),
        (("--day", "20261118"), "there is no "),
        (("00700",), "did you mean HK.00700?"),
        (("HK.09988", "--day", "20261120"), "no tick of HK.09988 on 20261120: check FUTU_SYMBOLS"),
        (
            ("HK.00700", "--day", "20261120", "--since", "20:00", "--until", "20:30"),
            "no tick of HK.00700 on 20261120 from 20:00 to 20:30: choose other times",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(cli: Cli, stored: Path, args: tuple[str, ...], words: str) -> None:
    """Usage errors exit 2, missing data 1; nothing is printed but one line with what to do."""
    done = cli("bars", *args)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1, done.stderr
    assert words in errors[0]
    assert done.returncode == (1 if words.startswith(("there is no", "no tick")) else 2)
    assert done.stdout == ""
