"""`status`: one line, an exit code and the figures, from files of a collector; and with a real one, reconciled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.cpu import cpu_of_children_s
from tests.predecessor_files import write_file
from tests.preloaded.wrong_clock import Clock

from hk_tick_collector import market
from hk_tick_collector.cli.status import status
from hk_tick_collector.model import Gap, Reconciled, RuleChange
from hk_tick_collector.ops.live import systemd_unit
from hk_tick_collector.ops.live.status import LiveStatus, write_status
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CAP_S: Final = 300.0
DAY: Final = "20261120"
OPEN_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 34_200_000  # 09:30
SEQ: Final = (OPEN_MS // 1000) << 32
SAME: Final = Reconciled("close", "HK.00005", OPEN_MS, 100, 1.0, 0, 0.0, 0, 0.0, 100, 1.0, "match")


@pytest.fixture
def live(workdir: Path, build_library: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves the live state of a collector in which all is well; keywords are what is different.

    For `status` the clock stands still at that moment: the state does not grow old, however long it takes to start.
    """
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    clock = Clock(build_library("wrong_clock"), workdir / "clock")
    for name, value in clock.environ.items():
        monkeypatch.setenv(name, value)

    def leave(**changes: Any) -> None:
        now_ms = int(time.time()) * 1000
        clock.stop_at(now_ms // 1000)
        values: dict[str, Any] = {
            "written_ms": now_ms, "started_ms": now_ms - 3_600_000, "pid": 1, "version": "1", "instance": "one",
            "state": "running", "data_root": str(workdir), "address": "127.0.0.1:11111", "connected": True,
            "link_since_ms": now_ms - 3_600_000, "link_reason": "", "program": "ready", "program_detail": "",
            "quote_logged_in": True, "market_state": "closed", "trading": False, "trading_since_ms": None,
            "drift_s": 0.0, "symbols": 3, "subscribed": 3, "refused": {}, "quota_used": 3, "quota_remaining": 97,
            "trouble": {}, "connects": 1, "skipped_messages": 0, "received": 9, "stored": 9, "duplicate": 0,
            "rejected": 0, "dropped": 0, "waiting": 0, "max_queue_rows": 100, "persisted_rows_per_min": 0,
            "newest_day": DAY, "writer_alive_ms": now_ms, "disk_free_mb": 50_000, "synchronous": "FULL",
        }  # fmt: skip
        write_status(workdir / "status.json", LiveStatus(**{**values, **changes}))

    return leave


def rules_of(rows: list[TickRow]) -> list[RuleChange]:
    """The collector's judgement of these ticks: a sequence with the second of its tick follows the rule."""
    number = market.parse_day(DAY)
    odd = {row[0] for row in rows if abs((row[1] >> 32) - row[2] // 1000) > 10}
    symbols = {row[0] for row in rows}
    return [RuleChange(number, symbol, "none" if symbol in odd else "counter", 0) for symbol in symbols]


def leave_day(workdir: Path, rows: list[TickRow], **batch: Any) -> None:
    """A day file of DAY as a collector writes it."""
    day = DayFile(workdir / f"{DAY}.db", DAY, "run", OPEN_MS, "test", StoreOptions())
    day.write(Batch(rows=rows, rules=rules_of(rows), **batch), OPEN_MS)
    day.close()


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of figures by their names."""
    return {line[:14].strip(): line[14:] for line in done.stdout.splitlines()[1:] if not line.startswith("  ")}


def test_all_is_well(cli: Cli, workdir: Path, live: Callable[..., None], tick: Callable[..., TickRow]) -> None:
    """Exit code 0 and one line; the day is complete, agrees with OpenD, and no committed tick is exposed."""
    live(busiest_symbol="HK.00700", outage_budget_s=83.4)
    leave_day(workdir, [tick("HK.00700", SEQ | n, OPEN_MS) for n in (1, 2)], reconciled=[SAME])
    done = cli("status")
    assert (done.returncode, done.stdout.split(" (")[0]) == (0, "OK: collecting, nothing to do")
    lines = figures(done)
    assert lines["complete"] == "100.00000 %, 2 of 2 ticks of 1 symbols"
    assert lines["gaps"] == "0 open, 0 ticks missing"
    assert lines["totals"] == "1 of 1 symbols agree with OpenD's totals at close (09:30 HKT): 1 match"
    assert lines["outage budget"] == "83 s: after that HK.00700 loses ticks for good"
    assert lines["exposed"] == (
        "0 rows, 0.0 s: to backfill if the process dies now; a power cut loses nothing that is committed (FULL)"
    )


def test_figures_of_a_stopped_collector_are_those_of_its_end(
    cli: Cli, workdir: Path, live: Callable[..., None], tick: Callable[..., TickRow]
) -> None:
    """The figures do not change after the end, and none reads as present: not the market, the lag or the rate."""
    ended_ms = OPEN_MS + 3_600_000
    live(
        state="stopped", written_ms=ended_ms, started_ms=OPEN_MS, link_since_ms=OPEN_MS, trading=True,
        market_state="morning", newest_ts_ms=ended_ms - 400, persisted_rows_per_min=30_000,
    )  # fmt: skip
    leave_day(workdir, [tick("HK.00700", SEQ | 1, OPEN_MS)])
    done = cli("status")
    assert done.returncode == 2
    lines = figures(done)
    assert lines["as of"] == "2026-11-20 10:30:00 HKT, when the collector ended: nothing below is live"
    assert lines["service"].endswith("ran 1 h 0 min")
    assert lines["connection"] == "up for 1 h 0 min"
    assert lines["market"] == "morning, trading then"
    assert lines["lag"] == "newest tick 2026-11-20 10:29:59 HKT"
    assert not {"rows/min", "exposed"} & lines.keys()
    document = json.loads(cli("status", "--json").stdout)
    assert (document["as_of_ms"], document["silence"], document["exposure"]) == (ended_ms, "", None)


def test_a_connection_that_broke_and_is_back_is_shown_without_a_warning(cli: Cli, live: Callable[..., None]) -> None:
    """Exit code 0 with the reason among the figures; the third break within a quarter of an hour is a warning."""
    broken = {"link_break_ms": OPEN_MS, "link_break_reason": "OpenD closed the connection"}
    live(**broken, link_breaks_lately=1)
    done = cli("status")
    assert done.returncode == 0
    assert figures(done)["connection"] == (
        "up for 1 h 0 min, broke once in the last 15 minutes;"
        " last broken 2026-11-20 09:30:00 HKT: OpenD closed the connection"
    )
    live(**broken, link_breaks_lately=3)
    done = cli("status")
    assert done.returncode == 1
    assert done.stdout.startswith("WARNING: the connection to OpenD broke 3 times in the last 15 minutes")


def test_one_missing_tick_in_ten_million_is_shown(
    cli: Cli, workdir: Path, live: Callable[..., None], tick: Callable[..., TickRow]
) -> None:
    """Completeness is rounded down; the symbols with the most missing ticks are named, others counted."""
    live()
    leave_day(workdir, [tick("HK.00700", SEQ | 1, OPEN_MS), tick("HK.00001", 7, OPEN_MS)])
    odd = ", without these, whose sequence follows no rule: HK.00001"
    for rows, expected, shown in ((9_999_999, 10_000_000, "99.99999"), (19_999_999, 20_000_000, "99.99999")):
        count = f"UPDATE symbols SET rows = {rows}, expected = {expected} WHERE symbol = 'HK.00700'"
        subprocess.run(["sqlite3", str(workdir / f"{DAY}.db"), count], check=True)
        lines = figures(cli("status"))
        assert (
            lines["complete"] == f"{shown} %, {rows:,} of {expected:,} ticks of 1 symbols; unknown for 1 symbols{odd}"
        )
        assert lines["worst"] == "HK.00700 -1"


def test_gaps_being_backfilled_and_lost_gaps_are_distinguished(
    cli: Cli, workdir: Path, live: Callable[..., None]
) -> None:
    """Gaps being backfilled and lost gaps; during backfilling the verdict is a warning, in `--json` as well."""
    live(gaps_open=2, gaps_healing=1)
    tracker = [Gap("HK.00700", n, n, OPEN_MS, OPEN_MS, 600, "restart", "open", OPEN_MS, None, n) for n in (1, 2)]
    leave_day(workdir, [], gaps=tracker)
    done = cli("status")
    assert done.returncode == 1
    assert done.stdout.startswith(
        "WARNING: 1 gaps are being backfilled: they close by themselves -> hk-tick-collector gaps --open"
    )
    assert figures(done)["gaps"] == "2 open, 1,200 ticks missing; 1 being filled, 1 lost"
    document = json.loads(cli("status", "--json").stdout)
    assert [finding["code"] for finding in document["findings"]] == ["gaps_healing"]
    assert document["day"]["completeness"]["percent"] is None


def test_a_data_root_behind_a_link_is_the_same(cli: Cli, workdir: Path, live: Callable[..., None]) -> None:
    """The service has one path, the operator another of the same directory: it counts as running here."""
    live()
    link = workdir / "link"
    link.symlink_to(workdir)
    done = cli("status", DATA_ROOT=str(link))
    assert done.returncode == 0, done.stdout


def test_exposure_is_stated(cli: Cli, live: Callable[..., None]) -> None:
    """Rows only in memory would be backfilled; with NORMAL a power cut may lose as much as the WAL."""
    live(waiting=90, spooled=50, exposed_rows=40, exposed_s=0.25, synchronous="NORMAL", wal_bytes=3 * 2**20)
    exposure = json.loads(cli("status", "--json").stdout)["exposure"]
    assert (exposure["rows"], exposure["seconds"], exposure["synchronous"]) == (40, 0.25, "NORMAL")
    assert exposure["power_cut"] == (
        "commits since the last checkpoint, at most the 3.0 MB of the WAL (one every 4,000 pages)"
    )
    assert "40 rows, 0.2 s: to backfill if" in figures(cli("status"))["exposed"]


def test_totals_that_differ_are_a_warning(cli: Cli, workdir: Path, live: Callable[..., None]) -> None:
    """An unexplained difference is the verdict, with the worst symbol; the counts by reason are shown."""
    live()
    other = SAME._replace(symbol="HK.00700", official_volume=1300, explained="unexplained")
    gap = SAME._replace(symbol="HK.00001", official_volume=9900, explained="gap")
    leave_day(workdir, [], reconciled=[SAME, other, gap])
    done = cli("status")
    assert done.returncode == 1
    assert "1 of 3 symbols differ from OpenD's volume at close" in done.stdout.splitlines()[0]
    assert figures(done)["totals"].endswith("1 gap, 1 match, 1 unexplained; largest difference HK.00700, 1,200 shares")


def test_every_tick_of_a_sealed_day_is_critical(cli: Cli, live: Callable[..., None]) -> None:
    """A day whose ticks are all rejected is critical."""
    live(rejected=500, sealed_day=500, sealed_day_lately=500)
    done = cli("status")
    assert done.returncode == 2
    assert "every tick is rejected" in done.stdout


def test_a_damaged_or_missing_day_is_reported(cli: Cli, workdir: Path, live: Callable[..., None]) -> None:
    """Without a file the day's figures are left out; an unreadable file is unknown, exit code 3."""
    live()
    assert "complete" not in figures(cli("status"))
    (workdir / f"{DAY}.db").write_text("no database\n" * 1000)
    done = cli("status")
    assert (done.returncode, done.stdout[:8]) == (3, "UNKNOWN:")


def test_it_takes_half_a_second(
    workdir: Path, live: Callable[..., None], tick: Callable[..., TickRow], cli: Cli
) -> None:
    """A day of 2,000 symbols with as many gaps and comparisons takes no longer than an empty one: no scan."""
    live()
    symbols = [f"HK.{number:05}" for number in range(2000)]
    leave_day(
        workdir,
        [tick(symbol, SEQ | n, OPEN_MS) for symbol in symbols for n in range(1, 21)],
        gaps=[
            Gap(symbol, 1, 2, OPEN_MS, OPEN_MS, 2, "restart", "open", OPEN_MS, None, n + 1)
            for n, symbol in enumerate(symbols)
        ],
        reconciled=[SAME._replace(symbol=symbol) for symbol in symbols],
    )
    before_s = cpu_of_children_s()
    assert cli("status").returncode == 0
    took_s = cpu_of_children_s() - before_s
    print(f"status took {took_s:.2f} s of a core")
    assert took_s < 5 * 0.5


class Verb:
    """A verb in a process of its own."""

    def __init__(self, workdir: Path, *args: str, **environ: str) -> None:
        self.log = workdir / f"{args[0]}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hk_tick_collector", *args],
                cwd=workdir,
                env={**os.environ, **environ},
                stdout=output,
                stderr=output,
            )

    def wait_for(self, words: str) -> str:
        """The first line with these words."""
        deadline_s = time.monotonic() + CAP_S
        while time.monotonic() < deadline_s:
            for line in self.log.read_text("utf-8").splitlines():
                if words in line:
                    return line
            time.sleep(0.05)
        pytest.fail(f"no {words!r} within {CAP_S:.0f} s in\n{self.log.read_text('utf-8')}")


@pytest.fixture
def start(workdir: Path) -> Iterator[Callable[..., Verb]]:
    """Starts verbs, and ends them with the test."""
    started: list[Verb] = []

    def verb(*args: str, **environ: str) -> Verb:
        started.append(Verb(workdir, *args, **environ))
        return started[-1]

    yield verb
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.mark.parametrize(
    ("day", "at", "session"), [("20261120", "11:59:30", "lunch"), ("20261224", "11:59:30", "close")]
)
def test_a_real_session_agrees_with_opend(
    start: Callable[..., Verb], cli: Cli, workdir: Path, day: str, at: str, session: str
) -> None:
    """Lunch and the close of a half day: every symbol matches, with odd lots and late reports; shown everywhere."""
    args = ("--day", day, "--at", at, "--speed", "60", "--rate", "400", "--symbols", "HK.00700,HK.09988,HK.00005")
    opend = start("simulate", *args, "--port", "0", "--wait")
    port = opend.wait_for("simulator_listening").split("port=")[1].split()[0]
    settings = {"FUTU_PORT": port, "FUTU_SYMBOLS": "HK.00700,HK.09988,HK.00005", "DATA_ROOT": str(workdir)}
    collector = start("run", **settings, METRICS_ADDR="")
    line = collector.wait_for(" reconciled ")
    assert f"session={session} symbols=3 matching=3 differing=0 unexplained=0 worst=none" in line
    path = workdir / f"{day}.db"
    done = cli("status", "--json", **settings)
    document = json.loads(done.stdout)
    deadline_s = time.monotonic() + CAP_S
    while not (document["day"] or {}).get("reconciliation") and time.monotonic() < deadline_s:
        document = json.loads(cli("status", "--json", **settings).stdout)
    assert document["day"]["reconciliation"] == {
        "session": session, "at_ms": document["day"]["reconciliation"]["at_ms"], "symbols": 3, "matching": 3,
        "explained": {"match": 3}, "worst": None,
    }  # fmt: skip
    assert document["day"]["completeness"]["percent"] == 100
    collector.process.send_signal(signal.SIGTERM)
    assert collector.process.wait(CAP_S) == 0
    sums = "SELECT sum(volume) FROM ticks UNION ALL SELECT sum(official_volume) FROM reconciliation"
    ours, theirs = subprocess.run(
        ["sqlite3", f"file:{path}?mode=ro", sums], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(ours) == int(theirs) > 0


def test_what_was_missed_explains_the_difference(start: Callable[..., Verb], cli: Cli, workdir: Path) -> None:
    """A collector that started after the first ticks differs from OpenD's totals, and its gap explains it."""
    args = ("--day", DAY, "--at", "11:50:00", "--speed", "60", "--rate", "400", "--symbols", "HK.00700")
    opend = start("simulate", *args, "--port", "0")
    port = opend.wait_for("simulator_listening").split("port=")[1].split()[0]
    time.sleep(4)  # more than 1,000 ticks, which are all that OpenD remembers
    settings = {"FUTU_PORT": port, "FUTU_SYMBOLS": "HK.00700", "DATA_ROOT": str(workdir)}
    collector = start("run", **settings, METRICS_ADDR="")
    line = collector.wait_for(" reconciled ")
    assert "session=lunch symbols=1 matching=0 differing=1 unexplained=0 worst=HK.00700:" in line
    assert " INFO " in line
    gaps = json.loads(cli("gaps", "--day", DAY, "--json", **settings).stdout)
    assert [gap["cause"] for gap in gaps["gaps"] if gap["status"] == "open"] == ["before_start"]
    status = json.loads(cli("status", "--json", **settings).stdout)["day"]
    assert status["worst"] == [
        {"symbol": "HK.00700", "missing": gaps["sums"]["missing"], "expected": status["completeness"]["expected"]}
    ]


def test_what_is_being_imported_is_not_called_lost(
    cli: Cli, workdir: Path, live: Callable[..., None], tick: Callable[..., TickRow]
) -> None:
    """While the predecessor's file of that day waits or is read, its ticks may be there; an import of an earlier day
    has ended when it has, not when the service looks next.
    """
    today = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    name = f"{today}.db.predecessor-{today}T020304Z.not-imported"
    earlier = "20261119"
    write_file(workdir / f"{earlier}.db", [])
    live(
        newest_day=today, predecessor_files={name: ""}, predecessor_days=[DAY, earlier],
        importing=name, importing_rows=900, importing_done=300,
    )  # fmt: skip
    leave_day(workdir, [tick("HK.00700", SEQ | 1, OPEN_MS)])
    number = market.parse_day(today)
    seq = (market.day_start_ms(number) // 1000 + 34_200) << 32
    day = DayFile(workdir / f"{today}.db", today, "run", OPEN_MS, "test", StoreOptions())
    rows = [tick("HK.00700", seq | n, market.day_start_ms(number) + 34_200_000) for n in (1, 900)]
    open_ms = rows[0][2]
    gap = Gap("HK.00700", seq | 2, seq | 899, open_ms, open_ms, 898, "disconnect", "open", open_ms, None, 1)
    day.write(Batch(rows=rows, gaps=[gap], rules=[RuleChange(number, "HK.00700", "counter", 0)]), OPEN_MS)
    day.close()
    done = cli("status")
    assert "are lost" in done.stdout
    (workdir / name).touch()
    done = cli("status")
    assert "lost" not in done.stdout
    assert f"{today} is being imported from the predecessor's file: 300 of 900 rows so far" in done.stdout
    assert f"the day file of {earlier} belongs to the predecessor" in done.stdout
    assert "day files" not in done.stdout


def test_before_the_takeover_no_import_is_advised(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Today's file belongs to the other running program: the only remedy is the restart that takes over."""
    today = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    write_file(workdir / f"{today}.db", [])
    monkeypatch.setenv("DATA_ROOT", str(workdir))
    monkeypatch.chdir(workdir)
    monkeypatch.setattr(systemd_unit, "TAKE_OVER", workdir / "take-over.conf")
    status()
    assert "sudo hk-tick-collector import" in capsys.readouterr().out
    (workdir / "take-over.conf").touch()
    status()
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith("the restart takes over -> sudo systemctl restart hk-tick-collector")
    assert " import " not in said
