"""`make screenshots`: a scene with the simulator and the collector, the page over it, and a picture of each view.

Five past days are collected at nine hundred times their speed, some with faults; then a market goes on in real time.
Debian's chromium takes the pictures; they are written to docs/ with few colours, so that each has some tens of KB. The
simulated ticks are always the same; figures that depend on the clock are not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from hk_tick_collector import market

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

DOCS: Final = Path(__file__).parent.parent / "docs"
CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
CAP_S: Final = 180.0
DAY_SPEED: Final = 900
DAY_S: Final = 34  # 09:00 to the evening
LIVE_S: Final = 80.0  # so that the line of the hour has some points
SYMBOLS: Final = "HK.00700,HK.09988,HK.00005,HK.00941,HK.01810,HK.02318,HK.03690,HK.00388"
FAULTS: Final = ("", "at 8s away for 6s", "", "at 10s away for 400ms", "at 6s away for 5s")  # newest last
COLOURS: Final = 128
TIMES: Final = {
    "connections": ("from_ms", "to_ms"),
    "ledger": ("started_ms", "updated_ms"),
    "gaps": ("opened_ms", "closed_ms"),
}


class Shot(NamedTuple):
    """One picture."""

    name: str
    path: str  # {day} is the newest past day
    wanted: str  # an element that is there once the view is complete
    size: tuple[int, int]
    lang: str
    theme: str


SHOTS: Final = (
    Shot("web-now", "/", ".verdict", (1180, 860), "en", "light"),
    Shot("web-symbol", "/symbol?symbol=HK.00700&day={day}", "#ticks tr", (1180, 860), "en", "light"),
    Shot("web-days", "/days", "a.day", (1180, 620), "en", "dark"),
    Shot("web-day", "/days/{day}", ".part-day-picture svg", (1180, 640), "zh-Hant", "light"),
    Shot("web-now-phone", "/", ".verdict", (360, 720), "zh-Hant", "dark"),
    Shot("web-symbol-phone", "/symbol?symbol=HK.00700&day={day}", "#ticks tr", (360, 720), "zh-Hant", "light"),
)


def main() -> None:
    """Makes the scene and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=DOCS, help="directory of the pictures")
    parser.add_argument("--days", type=int, default=len(FAULTS), help="how many past days")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hk-tick-screenshots-") as directory:
        root, logs = Path(directory, "HK"), Path(directory)
        root.mkdir()
        days = _weekdays(arguments.days)
        for day, fault in zip(days, FAULTS[-len(days) :], strict=True):
            print(f"collecting {day}", flush=True)
            _past_day(root, logs, day, fault)
        print("collecting now", flush=True)
        with _collecting(root, logs, ["--rate", "300"]), _page(root, logs) as url:
            time.sleep(LIVE_S)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
                for shot in SHOTS:
                    path = arguments.to / f"{shot.name}.png"
                    _take(browser, url, shot, days[-1], path)
                    print(f"{path}  {path.stat().st_size // 1024} KB", flush=True)
                browser.close()


def _weekdays(count: int) -> list[str]:
    """The weekdays before today, oldest first."""
    found: list[str] = []
    day = date.today()  # noqa: DTZ011 - any day will do
    while len(found) < count:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            found.append(f"{day:%Y%m%d}")
    return found[::-1]


def _past_day(root: Path, logs: Path, day: str, fault: str) -> None:
    arguments = ["--day", day, "--at", "09:00", "--speed", str(DAY_SPEED), "--rate", "800", "--seconds", str(DAY_S)]
    if fault:
        (logs / "scenario").write_text(f"{fault}\n")
        arguments += ["--scenario", str(logs / "scenario")]
    with _collecting(root, logs, arguments):
        time.sleep(DAY_S)
        _wait(lambda: _live(root)["waiting"] == 0 and _live(root)["gaps_healing"] == 0)
    _stretch(root / f"{day}.db", day)
    today = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    for path in root.glob(f"{today}.db*"):  # begun on a weekday; its clock was that of the simulated day
        path.unlink()


def _stretch(path: Path, day: str) -> None:
    """Gives the times of connections, runs and gaps, which the clock of this host made, the speed of the ticks."""
    start_ms = market.day_start_ms(market.parse_day(day)) + 9 * 3_600_000
    path.chmod(0o640)
    with closing(apsw.Connection(str(path))) as db:
        begun_ms = db.execute("SELECT min(from_ms) FROM connections WHERE connected").get
        for table, columns in TIMES.items():
            for column in columns:
                stretched = f"{start_ms} + ({column} - {begun_ms}) * {DAY_SPEED}"
                db.execute(f"UPDATE {table} SET {column} = {stretched} WHERE {column} > {begun_ms} - 600000")
        db.execute("DELETE FROM meta WHERE key = 'clock_drift_max_s'")  # the simulated clock is that of another day
        db.pragma("journal_mode", "delete")


@contextmanager
def _collecting(root: Path, logs: Path, arguments: list[str]) -> Iterator[None]:
    """A simulated OpenD, and a collector that is subscribed to all of its symbols."""
    log = logs / "simulate.log"
    with _process(["simulate", "--port", "0", "--symbols", SYMBOLS, "--wait", *arguments], log, {}):
        _wait(lambda: "simulator_listening" in log.read_text())
        found = re.search(r"simulator_listening .*\bport=(\d+)", log.read_text())
        assert found
        settings = {"FUTU_PORT": found[1], "FUTU_SYMBOLS": SYMBOLS, "DATA_ROOT": str(root), "METRICS_ADDR": ""}
        settings |= {"INSTANCE_ID": "hk-1"}
        with _process(["run", "--env-file", os.devnull], logs / "run.log", settings):
            _wait(lambda: (root / "status.json").exists() and _live(root)["subscribed"] > 0)
            yield


@contextmanager
def _page(root: Path, logs: Path) -> Iterator[str]:
    log = logs / "web.log"
    settings = {"DATA_ROOT": str(root), "INSTANCE_ID": "hk-1"}
    with _process(["web", "--addr", "127.0.0.1:0", "--env-file", os.devnull], log, settings):
        _wait(lambda: "http://" in log.read_text())
        yield log.read_text().split()[0]


@contextmanager
def _process(arguments: list[str], log: Path, settings: dict[str, str]) -> Iterator[None]:
    """One of our verbs, which is ended when the block ends."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("FUTU_", "WEB_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hk_tick_collector", *arguments], stdout=output, stderr=output, env=others | settings
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(CAP_S)


def _live(root: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((root / "status.json").read_text())
    return found


def _wait(is_so: object) -> None:
    assert callable(is_so)
    began_s = time.monotonic()
    while not is_so():
        if time.monotonic() - began_s > CAP_S:
            raise SystemExit("the scene did not get ready: see its logs")
        time.sleep(0.2)


def _take(browser: Browser, url: str, shot: Shot, day: str, path: Path) -> None:
    """Opens a view, waits until it is complete, and writes its picture."""
    width, height = shot.size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
    page = context.new_page()
    address = f"{url}{shot.path.format(day=day)}"
    page.goto(f"{address}{'&' if '?' in address else '?'}lang={shot.lang}&theme={shot.theme}")
    expect(page.locator(shot.wanted).first).to_be_attached(timeout=CAP_S * 1000)
    page.wait_for_timeout(3000)  # frames of the stream
    page.screenshot(path=path)
    context.close()
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
