"""`quality`: the verdict of past, live and archived days, as a line, JSON, an exit code and a page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import apsw
import pytest
from tests.live_state import leave_live_state
from tests.quality.days import DAY, Collected, archive

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

TOMORROW: Final = market.day_name(market.day_number(now_ms()) + 1)  # a day that is not over at any hour of the test


@pytest.fixture
def root(workdir: Path) -> Path:
    """DATA_ROOT of the settings in force."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    return workdir


@pytest.fixture
def good(root: Path) -> Path:
    """A day on which nothing is missing."""
    day = Collected(root / f"{DAY}.db")
    day.ticks("HK.00700", 300, hour=15.5)
    day.ticks("HK.00005", 100)
    day.totals()
    day.close()
    return day.path


@contextmanager
def reporting(root: Path, **values: Any) -> Iterator[None]:
    """A service that reports every tenth of a second, however long the commands beside it take; stopped at the end."""
    ended = Event()

    def report() -> None:
        while not ended.wait(0.1):
            leave_live_state(root, written_ms=now_ms(), state="running", **values)

    leave_live_state(root, written_ms=now_ms(), state="running", **values)
    thread = Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        leave_live_state(root, written_ms=now_ms(), state="stopped", **values)


def document(cli: Cli, *args: str, code: int) -> Any:
    """The JSON document of a call that ends with this exit code."""
    done = cli("quality", *args, "--json")
    assert (done.returncode, done.stderr) == (code, "")
    return json.loads(done.stdout)


@pytest.mark.usefixtures("good")
def test_a_good_day(cli: Cli) -> None:
    """Exit code 0, the verdict first, then each figure on a line of its own."""
    done = cli("quality", "--day", DAY)
    assert (done.returncode, done.stderr) == (0, "")
    verdict, *lines = done.stdout.splitlines()
    assert verdict == f"OK: {DAY}: complete, 400 ticks of 2 symbols"
    figures = {line[:15].strip(): line[15:] for line in lines}
    assert figures["rows"] == "400 of 2 symbols, from 09:30:00 to 15:30:29"
    assert figures["completeness"] == "100 %: 0 of 400 ticks are missing"
    assert figures["gaps"] == "0 open, 0 closed"
    assert figures["without OpenD"] == "0 s in trading hours"
    assert figures["totals"].startswith("close: 2 of 2 symbols match OpenD's; ours 40,000 shares")
    assert figures["delay"] == "half of the live ticks within 30 ms, 99 % within 30 ms, the latest 30 ms"
    assert figures["clock"].startswith("live ticks came +0.030 s")


def test_missing_ticks_decide_the_verdict(cli: Cli, root: Path) -> None:
    """Fewer than one in 10,000 is fine and said, more is a warning, more than one in 100 critical; gaps name causes."""
    for name, missing, code, severity in (
        ("20261118", 1, 0, "OK"),
        ("20261119", 50, 1, "WARNING"),
        ("20261120", 500, 2, "CRITICAL"),
    ):
        day = Collected(root / f"{name}.db")
        day.ticks("HK.00700", 20_000, skip=missing)
        day.gap("HK.00700", missing)
        day.gap("HK.00700", 0, cause="push_lost", status="healed")
        day.totals("gap", missing_shares=100 * missing)
        found = document(cli, "--day", name, code=code)["days"][0]
        assert (found["verdict"], found["standing"]) == (severity, "gaps_known")
        assert (found["completeness"]["missing"], found["gaps"]["open"], found["gaps"]["healed"]) == (missing, 1, 1)
        assert found["gaps"]["causes"][0] == {
            "cause": "disconnected", "status": "open", "gaps": 1, "missing": missing, "unknown": 0,
        }  # fmt: skip
        assert [span["missing"] for span in found["gaps"]["over_time"] if span["status"] == "open"] == [missing]
        assert (found["worst"][0]["symbol"], found["worst"][0]["missing"]) == ("HK.00700", missing)
        assert any(f"{missing} ticks are missing" in each["text"] for each in found["findings"] + found["notes"])
    total = document(cli, code=2)["total"]
    assert (total["days"], total["rows"], total["missing"]) == (3, 60_000, 551)
    assert total["verdicts"] == {"OK": 1, "WARNING": 1, "CRITICAL": 1, "UNKNOWN": 0}
    assert (total["worst"][0]["symbol"], total["worst"][0]["missing"]) == ("HK.00700", 551)
    done = cli("quality")
    assert done.stdout.startswith("CRITICAL: 1 of 3 days (WARNING 1), first 20261120: 97.56097 % complete: 500 ticks")
    assert done.stdout.splitlines()[0].endswith(" -> hk-tick-collector quality --day 20261120")


def test_time_without_opend(cli: Cli, root: Path) -> None:
    """Outages within trading hours are added up, whether recorded or between two runs, and none is counted twice."""
    day = Collected(root / f"{DAY}.db", connected=False)
    day.ticks("HK.00700", 300, hour=16)
    day.totals()
    day.connection(7, 10)
    day.connection(10, 10.1, reason="kicked_out", connected=False)  # 360 s
    day.connection(10.1, 11.9)
    day.connection(11.9, 13.05, reason="lunch", connected=False)  # 360 s before noon, 180 s after it
    day.connection(13.05, 14)
    day.connection(14, None)
    day.run(7, 13.9)
    day.run(14, 16.15)  # 360 s behind the last commit of the run before, which was killed
    found = document(cli, "--day", DAY, code=0)["days"][0]
    assert (found["without_opend"]["seconds"], found["without_opend"]["outages"]) == (1260, 4)
    longest = found["without_opend"]["longest"]
    assert [(each["reason"], round((each["to_ms"] - each["from_ms"]) / 1000)) for each in longest] == [
        ("kicked_out", 360), ("lunch", 360), ("lunch", 180), ("not_running", 360),
    ]  # fmt: skip


def test_a_collector_that_started_late(cli: Cli, root: Path) -> None:
    """The time before the first connection counts from 09:00."""
    day = Collected(root / f"{DAY}.db", connected=False)
    day.ticks("HK.00700", 300, hour=16)
    day.connection(10, None)
    day.run(10, 16.15)
    assert document(cli, "--day", DAY, code=0)["days"][0]["without_opend"]["seconds"] == 3600


def test_a_day_whose_end_was_not_observed(cli: Cli, root: Path) -> None:
    """A day whose collector stopped at 14:00 has no gap after it, and still proves nothing of the afternoon."""
    day = Collected(root / f"{DAY}.db", connected=False)
    day.ticks("HK.00700", 300, hour=13.99)
    day.connection(8, None)
    day.run(8, 14)
    found = document(cli, "--day", DAY, code=1)["days"][0]
    assert (found["standing"], found["findings"][0]["code"]) == ("not_provable", "end_not_seen")
    assert "the last tick is of 13:59:53" in found["line"]
    day.totals()  # OpenD's totals after the close agree: nothing came after 14:00
    assert document(cli, "--day", DAY, code=0)["days"][0]["standing"] == "complete"


def test_days_without_a_tick(cli: Cli, root: Path) -> None:
    """Never connected is critical; a day on which OpenD's totals show no trade is not; today it is not known yet."""
    Collected(root / "20261118.db", connected=False).close()
    closed = Collected(root / "20261119.db")
    closed.db.execute(
        "INSERT INTO reconciliation VALUES ('close', 'HK.00700', ?, 0, 0, 0, 0, 0, 0, 5, 5.0, 'not_traded')",
        (closed.at(16.15),),
    )
    Collected(root / f"{TOMORROW}.db")
    days = {day["day"]: day for day in document(cli, code=3)["days"]}
    assert {name: day["verdict"] for name, day in days.items()} == {
        "20261118": "CRITICAL", "20261119": "OK", TOMORROW: "UNKNOWN",
    }  # fmt: skip
    assert days["20261118"]["without_opend"]["seconds"] == 22_200  # 09:00 to 12:00, 13:00 to 16:10
    assert days["20261119"]["notes"][0]["code"] == "not_traded"
    assert {day["standing"] for day in days.values()} == {"not_provable"}


def test_symbols_that_never_traded(cli: Cli, root: Path) -> None:
    """They have no row in `symbols` and are no fault; OpenD's totals say so."""
    day = Collected(root / f"{DAY}.db")
    day.ticks("HK.00700", 300, hour=16)
    day.totals()
    day.db.execute(
        "INSERT INTO reconciliation VALUES ('close', 'HK.08888', ?, 0, 0, 0, 0, 0, 0, 7, 7.0, 'not_traded')",
        (day.at(16.15),),
    )
    found = document(cli, "--day", DAY, code=0)["days"][0]
    assert (found["symbols"], found["standing"]) == (1, "complete")
    assert (found["totals"]["symbols"], found["totals"]["matching"]) == (2, 2)


def test_what_is_not_provable(cli: Cli, root: Path) -> None:
    """Gaps of unknown size, totals that differ, symbols above and without the rule: each is named."""
    day = Collected(root / f"{DAY}.db")
    for symbol in ("HK.00001", "HK.00002", "HK.00003"):
        day.ticks(symbol, 100, hour=16)
    day.gap("HK.00001", None)
    day.expect("HK.00002", 90)
    day.expect("HK.00003", None)
    day.totals("unexplained", missing_shares=700)
    found = document(cli, "--day", DAY, code=1)["days"][0]
    assert found["standing"] == "not_provable"
    assert [each["code"] for each in found["findings"]] == [
        "gaps_of_unknown_size", "above_complete", "totals_differ", "no_rule",
    ]  # fmt: skip
    assert "3 of 3 symbols differ from OpenD's volume" in found["findings"][2]["text"]
    assert found["totals"]["official_volume"] - found["totals"]["volume"] == 2100


def test_counters_that_disagree_with_the_ticks(cli: Cli, good: Path) -> None:
    """Rows that another program deleted are found by the scan of the day, and by --scan over many days."""
    with closing(apsw.Connection(str(good))) as db:
        db.execute("DELETE FROM ticks WHERE symbol = 'HK.00005' AND seq & 1")
    assert document(cli, code=0)["days"][0]["ticks"] is None
    for args in (("--day", DAY), ("--scan",)):
        found = document(cli, *args, code=2)["days"][0]
        assert found["findings"][0]["code"] == "counters_disagree"
        assert "350 ticks and its counters say 400" in found["findings"][0]["text"]
    assert document(cli, "--day", DAY, "--no-scan", code=0)["days"][0]["ticks"] is None


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_schema(cli: Cli, root: Path, version: int) -> None:
    """Files of every version are read; what a version does not have is null."""
    day = Collected(root / f"{DAY}.db", version=version)
    day.ticks("HK.00700", 300, hour=16, skip=10)
    day.gap("HK.00700", 10)
    found = document(cli, "--day", DAY, code=2)["days"][0]
    assert (found["schema"], found["completeness"]["missing"], found["totals"]) == (version, 10, None)


@pytest.mark.usefixtures("good")
def test_files_that_are_no_day_of_ours(cli: Cli, root: Path, good: Path) -> None:
    """A foreign, a damaged and an empty file have their own verdicts, and the other days are still read."""
    with closing(apsw.Connection(str(root / "20261116.db"))) as db:
        db.execute("CREATE TABLE other (x)")
    (root / "20261117.db").write_bytes(b"no database at all" * 1000)
    data = bytearray(good.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (root / "20261118.db").write_bytes(data)
    (root / "20261119.db").touch()
    found = document(cli, code=2)
    problems = {day["day"]: day.get("problem", "") for day in found["days"]}
    assert "another program's database" in problems["20261116"]
    assert "is not an SQLite file" in problems["20261117"]
    assert "20261118.db" in problems["20261118"]
    assert "20261119.db" in problems["20261119"]
    assert problems[DAY] == ""
    assert [day["verdict"] for day in found["days"]] == [*["CRITICAL"] * 4, "OK"]
    assert cli("quality", "--day", "20261117").stdout.startswith("CRITICAL: 20261117: the file cannot be read: ")


def test_a_file_under_the_name_of_another_day(cli: Cli, root: Path, good: Path) -> None:
    """It was renamed by hand: its ticks are not judged as those of that day, neither here nor in the archive."""
    good.rename(root / "20261123.db")
    found = document(cli, "--day", "20261123", code=2)["days"][0]
    assert found["line"].endswith(
        "20261123.db is the file of 20261120, not of 20261123; give it its own name again if there is none of 20261120,"
        " otherwise move it away"
    )
    place = archive(root / "20261123.db", root / "archive")
    (root / "20261123.db").unlink()
    assert place.day == "20261123"
    found = document(cli, "--day", "20261123", "--archive", str(root / "archive"), code=2)["days"][0]
    assert "2026-11-23.db is the file of 20261120, not of 20261123" in found["line"]


def test_the_live_day_beside_its_writer(cli: Cli, root: Path) -> None:
    """While a transaction is open the committed ticks are read, and later the next ones; the day is not over."""
    day = Collected(root / f"{TOMORROW}.db")
    day.ticks("HK.00700", 100)
    day.db.execute("BEGIN IMMEDIATE")
    day.db.execute("UPDATE symbols SET rows = rows + 1000")
    found = document(cli, "--day", TOMORROW, code=0)["days"][0]
    assert (found["rows"], found["over"], found["ticks"]["rows"]) == (100, False, 100)
    day.db.execute("ROLLBACK")
    day.ticks("HK.00005", 50)
    done = cli("quality", "--day", TOMORROW)
    assert done.stdout.splitlines()[0] == f"OK: {TOMORROW}: not_provable, 150 ticks of 2 symbols so far"
    assert "being written" in done.stdout


def test_the_clock_of_the_live_day(cli: Cli, root: Path) -> None:
    """What a running service reports of OpenD's clock counts for the day that is collected, and for no other day."""
    for name in (DAY, TOMORROW):
        day = Collected(root / f"{name}.db")
        day.ticks("HK.00700", 100, hour=16)
        day.totals()
    with reporting(root, drift_s=-3.5):
        days = {day["day"]: day for day in document(cli, code=1)["days"]}
        shown = cli("quality", "--day", TOMORROW).stdout
    assert (days[TOMORROW]["opend_clock_drift_s"], days[DAY]["opend_clock_drift_s"]) == (-3.5, None)
    assert [each["code"] for each in days[TOMORROW]["findings"]] == ["clock"]
    assert days[DAY]["verdict"] == "OK"
    assert "-3.5 s off OpenD's now" in shown
    assert document(cli, code=0)["days"][1]["opend_clock_drift_s"] is None  # the service has ended


def test_a_day_that_stays_locked(cli: Cli, root: Path, good: Path) -> None:
    """Its verdict is unknown, and the day after it is still read."""
    locked = root / "20261119.db"
    shutil.copy(good, locked)
    with closing(apsw.Connection(str(locked))) as db:
        db.execute("BEGIN EXCLUSIVE")
        found = document(cli, code=3)
    assert [(day["day"], day["verdict"]) for day in found["days"]] == [("20261119", "UNKNOWN"), (DAY, "OK")]
    assert "stays locked" in found["days"][0]["problem"]


def test_chosen_symbols(cli: Cli, root: Path) -> None:
    """Only theirs: ticks, gaps, totals, the verdict."""
    day = Collected(root / f"{DAY}.db")
    day.ticks("HK.00005", 100, hour=16)
    day.ticks("HK.00700", 100, hour=16, skip=50)
    day.gap("HK.00700", 50)
    day.totals("gap", missing_shares=5)
    day.db.execute("UPDATE reconciliation SET explained = 'match', official_volume = volume WHERE symbol = 'HK.00005'")
    found = document(cli, "--day", DAY, "--symbols", "HK.00005", code=0)["days"][0]
    assert (found["symbols"], found["rows"], found["ticks"]["rows"], found["gaps"]["open"]) == (1, 100, 100, 0)
    assert found["totals"]["symbols"] == 1
    assert document(cli, "--day", DAY, "--symbols", "HK.00005,HK.00700", code=2)["days"][0]["symbols"] == 2


def test_an_archived_day_says_the_same(cli: Cli, root: Path) -> None:
    """Book and Parquet give every figure that the day file gave; what cannot be typed there is left out."""
    day = Collected(root / f"{DAY}.db")
    day.ticks("HK.00700", 5000, hour=15, skip=7, delay_ms=1234)
    day.ticks("HK.00005", 100, hour=16, delay_ms=-5000)
    day.gap("HK.00700", 7)
    day.totals("gap", missing_shares=700)
    day.close()
    before = document(cli, "--day", DAY, code=1)
    place = archive(day.path, root / "arch ive")
    day.path.unlink()
    after = document(cli, "--day", DAY, "--archive", str(root / "arch ive"), code=1)
    found, was = after["days"][0], before["days"][0]
    changes = {"file": str(place.path), "archived": True}
    assert found == {**was, **changes, **{name: found[name] for name in ("findings", "notes", "line")}}
    assert [each["text"] for each in found["findings"]] == [each["text"] for each in was["findings"]]
    assert {each["remedy"] for each in found["findings"]} == {""}
    assert after["total"] == before["total"]
    assert place.ticks is not None
    (place.ticks / "ticks-0123456789abcdef.parquet").write_bytes(b"PAR1 flipped PAR1")
    broken = document(cli, "--day", DAY, "--archive", str(root / "arch ive"), code=2)["days"][0]
    assert "ticks-0123456789abcdef.parquet" in broken["problem"]
    assert (
        document(cli, "--day", DAY, "--no-scan", "--archive", str(root / "arch ive"), code=1)["days"][0]["rows"] == 5100
    )


def test_a_book_is_not_a_day_file(cli: Cli, root: Path, good: Path) -> None:
    """A day file among the books, and a book among the day files, are named."""
    place = archive(good, root / "archive")
    shutil.copy(place.path, root / "20261119.db")
    found = document(cli, "--day", "20261119", code=2)["days"][0]
    assert "another program's database" in found["problem"]
    shutil.copy(good, place.path)
    good.unlink()
    found = document(cli, "--day", DAY, "--archive", str(root / "archive"), code=2)["days"][0]
    assert "books/2026-11-20.db" in found["problem"]


@pytest.mark.usefixtures("good")
def test_counters_need_no_extra(cli: Cli) -> None:
    """Day files are read without pyarrow, which a host of a collector may not have."""
    words = "import sys; sys.modules['pyarrow'] = None; from hk_tick_collector.cli import main; sys.exit(main())"
    args = [sys.executable, "-c", words, "quality", "--day", DAY, "--html", "page.html"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_archive_without_the_extra(root: Path, good: Path) -> None:
    """The counters of an archived day are still read, and a line says what needs pyarrow, with the remedy."""
    archive(good, root / "archive")
    good.unlink()
    words = "import sys; sys.modules['pyarrow'] = None; from hk_tick_collector.cli import main; sys.exit(main())"
    for args, code, said in (((), 0, "warning: delay and clock"), (("--scan",), 1, "pyarrow is not installed")):
        done = subprocess.run(
            [sys.executable, "-c", words, "quality", "--day", DAY, "--archive", "archive", *args],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert said in done.stderr
        assert "pip install 'hk-tick-collector[data]'" in done.stderr


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--day", "20261121"), 3, "UNKNOWN: there is no"),
        (
            ("--since", "20261101", "--until", "20261110"),
            3,
            f"UNKNOWN: no day in this range: days there: {DAY} to {DAY}",
        ),
        (("--day", "2026"), 2, "--day 2026 is not a date"),
        (("--since", "20261120", "--until", "20261101"), 2, "--since 20261120 is later than --until 20261101"),
        (("--since", "29991120"), 2, "--since 29991120 is in the future"),
        (("--day", DAY, "--since", DAY), 2, "--day is one day"),
        (("--day", DAY, "--symbols", "00700"), 2, "did you mean HK.00700"),
        (("--archive", "/dev/null"), 2, "there is no directory /dev/null"),
    ],
)
def test_days_that_are_not_there(cli: Cli, args: tuple[str, ...], code: int, words: str) -> None:
    """One line says what was wrong; nothing known is exit code 3, wrong usage 2."""
    done = cli("quality", *args)
    said = done.stdout + done.stderr
    assert (done.returncode, said.count("\n")) == (code, 1), said
    assert words in said


def test_nothing_was_collected_yet(cli: Cli, root: Path) -> None:
    """A new host: one line, exit code 3, and JSON that is a document."""
    done = cli("quality")
    assert (done.returncode, done.stdout) == (
        3, f"UNKNOWN: no day has been collected in {root} yet: hk-tick-collector status\n",
    )  # fmt: skip
    assert document(cli, code=3)["days"] == []


@pytest.mark.usefixtures("good")
def test_the_operators_language(cli: Cli) -> None:
    """Lines and page in Chinese, JSON in English."""
    done = cli("quality", "--day", DAY, "--html", "page.html", OPERATOR_LANG="zh-Hant")
    assert done.stdout.splitlines()[0] == f"OK: {DAY}: complete，400 筆 tick，2 隻股票"
    assert "完整度" in done.stdout
    assert json.loads(cli("quality", "--json", OPERATOR_LANG="zh-Hant").stdout)["line"].endswith(
        "400 ticks of 2 symbols"
    )


def test_the_page_is_ours_or_new(cli: Cli, root: Path, good: Path) -> None:
    """A file that is not such a page is left as it is, an older page is replaced, and no draft stays."""
    other = root / "notes.html"
    other.write_text("<p>my notes")
    for target in (other, root):
        done = cli("quality", "--html", str(target))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "is not a page of quality" in done.stderr
    assert other.read_text() == "<p>my notes"
    done = cli("quality", "--html", str(root / "nowhere" / "x.html"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    page = root / "page 品質.html"
    sizes = []
    for name in ("20261119", "20261118"):
        done = cli("quality", "--html", str(page))
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, str(page))
        sizes.append(page.stat().st_size)
        day = Collected(root / f"{name}.db")
        day.ticks("HK.00700", 300, hour=15.5)
        day.totals()
        day.close()
    assert sizes[1] > sizes[0]
    assert not list(root.glob(".*partial"))


def test_days_that_do_not_say_when_opend_was_away(cli: Cli, root: Path, good: Path) -> None:
    """A sum over days names the days whose files do not record connections."""
    lines = cli("quality").stdout
    assert re.search(r"^without OpenD +0 s$", lines, re.MULTILINE)
    for day in ("20261117", "20261118"):
        imported = Collected(root / f"{day}.db", connected=False)
        imported.ticks("HK.00700", 300, hour=15.5)
        imported.close()
    assert re.search(r"^without OpenD +0 s; unknown for 2 days$", cli("quality").stdout, re.MULTILINE)
    good.unlink()
    assert re.search(r"^without OpenD +unknown: the files do not record", cli("quality").stdout, re.MULTILINE)
    shown = cli("quality", "--html", "page.html", OPERATOR_LANG="zh-Hant").stdout
    assert "不明：檔案沒有記錄連線" in shown
    assert "<b>?</b><span" in (root / "page.html").read_text("utf-8")


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("columns", [80, 140, 160, 250])
def test_no_cell_is_cut_in_chinese(on_terminal: Callable[..., tuple[int, str]], root: Path, columns: int) -> None:
    """A Chinese character takes two columns of a terminal: what is shown is whole, and the rest is named."""
    day = Collected(root / "20261117.db", connected=False)
    day.ticks("HK.00700", 1234, hour=11)
    day.run(17, 17)
    day.close()
    text = on_terminal("quality", OPERATOR_LANG="zh-Hant", COLUMNS=str(columns))[1]
    text = re.sub("\33\\[[0-9;?]*[a-zA-Z]", "", text)
    header, _, first, second = text[text.index(" 日期 ") :].splitlines()[:4]
    left_out = text.partition(f"(not shown at {columns} columns: ")[2]
    assert all(name in header or name in left_out for name in ("證明", "未補缺口", "無 OpenD", "核對", "原因"))
    assert first.split()[:4] == ["20261117", "WARNING", "not_provable", "1,234"]
    assert second.split()[:4] == [DAY, "OK", "complete", "400"]
    assert ("原因" in header) == (columns == 250)


@pytest.mark.usefixtures("good")
def test_progress_is_for_a_terminal(on_terminal: Callable[..., tuple[int, str]]) -> None:
    """A bar while the ticks are read, cleared before the answer; a pipe gets none."""
    code, shown = on_terminal("quality", "--day", DAY)
    assert code == 0
    assert "400 of 400 ticks" in shown
    assert "\33[KOK: " in shown
