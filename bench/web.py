"""The page over a live day of five million rows while 5,000 ticks a second are stored.

A real browser, Debian's chromium, opens each view with an empty cache; the page's own process has served each view
before. Ten viewers, in a process of their own, then hold the streams of one view open. The latency of the collector is
measured as in the topic `latency`, in turn without viewers and with them.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from playwright.sync_api import Error, sync_playwright

from hk_tick_collector.simulator.exchange.listing import default_symbols

from . import viewers
from .bigday import BigDay
from .latency import LOOK_EVERY_S, SYMBOLS, TARGET_RATE, Marks
from .report import Figure, Target
from .stream import Part, Preparation
from .trial import BrokenRunError, Trial, memory_mb, process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from playwright.sync_api import Browser, Page

ROWS: Final = 5_000_000
SECONDS: Final = 20.0  # of each period with or without viewers
_OPEN_MS: Final = 34_200_000  # 09:30: of ticks outside the sessions there are no candles
_RUNS: Final = 3
_VIEWERS: Final = 10
_OPENING_S: Final = 40.0  # of ticks while the browser opens views
_LEAST_FRAMES: Final = 0.8  # of one a second: a viewer with fewer was not served
_KB: Final = 1000
_CAP_S: Final = 60.0
_CHROMIUM: Final = "/usr/bin/chromium"
_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_LIBRARY: Final = "/static-packages/"
_FIRST_PAINT: Final = """
() => performance.getEntriesByType('paint').find(entry => entry.name === 'first-contentful-paint')?.startTime
"""


class View(NamedTuple):
    """One view of the page."""

    name: str
    path: str
    stream: str
    complete: str  # an element that is there once the view shows what was read


class Opened(NamedTuple):
    """One view, opened once."""

    paint_s: float
    complete_s: float
    page_kb: float  # all that was received until then, without the chart library


@dataclass(slots=True)
class Watched:
    """The collector and the page in the periods of one kind."""

    p99_ms: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)  # of the page's processes; none without viewers


@dataclass(slots=True)
class Measured:
    """The results."""

    rows: int
    opened: dict[str, list[Opened]]  # view → its runs
    watched: dict[str, Watched]  # view, or empty for no viewers → its periods
    memory_mb: float = 0.0  # the page's own process at its peak


VIEWS: Final = (
    View("Now", "/", "/now/events", ".verdict"),
    View("Symbol", "/symbol", "/symbol/events?symbol={symbol}", "#chart[data-range*=–]"),
    View("Days", "/days", "/days/events", "a.day"),
)


def measure(scratch: Path, rows: int, seconds: float) -> Measured:
    """`rows` are in the day file before; each period with or without viewers has this many seconds."""
    names = default_symbols(SYMBOLS * 4)
    preparation = Preparation(names[:SYMBOLS], 1)
    kinds = ("", *(view.name for view in VIEWS)) * _RUNS
    lengths_s = [_OPENING_S, *(seconds for _ in kinds)]
    parts = [preparation.part(int(TARGET_RATE * each_s), TARGET_RATE) for each_s in lengths_s]
    trial = Trial(scratch, preparation.symbols, parts)
    trial.data.mkdir()
    BigDay(trial.path, names[SYMBOLS:], _OPEN_MS).fill(rows)
    found = Measured(rows, {view.name: [] for view in VIEWS}, {kind: Watched() for kind in kinds})
    marks = Marks()
    with trial, serve(scratch, trial.settings) as (page, port):
        trial.go()
        begun_s = time.monotonic()
        with browser() as chromium:
            for view in VIEWS * (1 + _RUNS):
                found.opened[view.name].append(open_view(chromium, f"http://127.0.0.1:{port}{view.path}", view))
        if (took_s := time.monotonic() - begun_s) > _OPENING_S:
            raise BrokenRunError(f"opening the views took {took_s:.0f} s, and there were ticks for {_OPENING_S:.0f} s")
        stored = _watch_stored(trial, marks, parts[0], 0)
        for number, kind in enumerate(kinds):
            with ExitStack() as stack:
                paths = _paths(kind, preparation.symbols)
                result = stack.enter_context(looking(scratch, page.pid, port, seconds, paths)) if paths else None
                trial.go()
                stored = _watch_stored(trial, marks, parts[number + 1], stored)
                if result:
                    found.watched[kind].cores.append(judged(result, seconds))
        found.memory_mb = memory_mb(page.pid, peak=True)
        if page.poll() is not None:
            raise BrokenRunError((scratch / "web.log").read_text())
        segments = marks.segments(trial.verify(parts), parts)
    for opened in found.opened.values():
        del opened[0]  # the process was not warm
    for kind, segment in zip(kinds, segments[1:], strict=True):
        found.watched[kind].p99_ms.append(segment[len(segment) * 99 // 100])
    return found


def _paths(kind: str, symbols: Sequence[str]) -> list[str]:
    """The streams of ten viewers of a view; none if no view is named."""
    return [view.stream.format(symbol=each) for view in VIEWS if view.name == kind for each in symbols[:_VIEWERS]]


def _watch_stored(trial: Trial, marks: Marks, part: Part, before: int) -> int:
    """Waits until the part is stored, and notes when each of its rows was."""
    expected = before + len(part.rows)
    for seen in trial.until_stored(expected, LOOK_EVERY_S):
        marks.note(seen)
    return expected


@contextmanager
def serve(scratch: Path, settings: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The verb `web`, and its port."""
    log = scratch / "web.log"
    command = ["hk_tick_collector", "web", "--addr", "127.0.0.1:0", "--env-file", os.devnull]
    with process(command, settings, log) as running:
        _wait_for(running, log, "Ctrl-C")
        address = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        assert address
        yield running, int(address[1])


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's chromium, without a window. BrokenRunError if it is not installed."""
    if not Path(_CHROMIUM).exists():
        raise BrokenRunError(f"{_CHROMIUM} is missing: tools/debian_packages.sh chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        with closing(chromium):
            yield chromium


def open_view(chromium: Browser, url: str, view: View) -> Opened:
    """Opens a view with an empty cache. BrokenRunError if it is refused, has an error, or does not become complete."""
    with closing(chromium.new_context(viewport={"width": 1440, "height": 900})) as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        received = _received(page)
        begun_s = time.monotonic()
        try:
            answer = page.goto(url, wait_until="commit")
            page.wait_for_selector(view.complete, state="attached", timeout=_CAP_S * 1000)
            complete_s = time.monotonic() - begun_s
            page.wait_for_function(_FIRST_PAINT, timeout=_CAP_S * 1000)
            paint_ms = float(page.evaluate(_FIRST_PAINT))
            page.wait_for_load_state("load", timeout=_CAP_S * 1000)  # style sheets and scripts are here
            total = sum(size for address, size in received.values() if _LIBRARY not in address)
        except Error as error:
            raise BrokenRunError(f"{view.name} did not become complete: {error}, {faults}") from None
        if faults or not answer or not answer.ok:
            raise BrokenRunError(f"{view.name}: {answer and answer.status} {faults}")
    return Opened(paint_ms / 1000, complete_s, total / _KB)


def _received(page: Page) -> dict[str, tuple[str, int]]:
    """Request → its address and how many bytes of its answer have come, its stream of events included."""
    found: dict[str, tuple[str, int]] = {}
    session = page.context.new_cdp_session(page)

    def asked(event: dict[str, Any]) -> None:
        found[event["requestId"]] = (event["request"]["url"], 0)

    def came(event: dict[str, Any]) -> None:
        address, size = found.get(event["requestId"], ("", 0))
        found[event["requestId"]] = (address, size + event["dataLength"])

    session.on("Network.requestWillBeSent", asked)
    session.on("Network.dataReceived", came)
    session.send("Network.enable")
    return found


@contextmanager
def looking(scratch: Path, pid: int, port: int, seconds: float, paths: Sequence[str]) -> Iterator[Path]:
    """Viewers of these streams; inside the block all of them look. Gives the file with their result."""
    log = scratch / "viewers.log"
    with process(["bench.viewers", str(port), str(pid), str(seconds), *paths], {}, log) as running:
        _wait_for(running, log, viewers.LOOKING)
        yield log


def judged(log: Path, seconds: float) -> float:
    """The page's share of a core. BrokenRunError if one of the viewers was not served all the time."""
    end_s = time.monotonic() + _CAP_S
    while not (lines := [line for line in log.read_text().splitlines() if line.startswith("{")]):
        if time.monotonic() > end_s:
            raise BrokenRunError(f"the viewers did not end: {log.read_text()}")
        time.sleep(0.05)
    result = json.loads(lines[-1])
    if min(result["frames"]) < _LEAST_FRAMES * (seconds - 1):
        raise BrokenRunError(f"viewers had {result['frames']} frames in {seconds:.0f} s")
    return float(result["cores"])


def _wait_for(running: subprocess.Popen[bytes], log: Path, word: str) -> None:
    end_s = time.monotonic() + _CAP_S
    while word not in log.read_text():
        if time.monotonic() > end_s or running.poll() is not None:
            raise BrokenRunError(log.read_text())
        time.sleep(0.01)


def figures(found: Measured) -> list[Figure]:
    """First paint, size, cost, and what the collector notices of it."""
    topic = f"page, {found.rows:,} rows and {TARGET_RATE:,} ticks/s"
    figures = []
    for name, runs in found.opened.items():
        figures += [
            Figure(topic, f"{name}: first paint", "s", [run.paint_s for run in runs], Target(1)),
            Figure(topic, "  complete", "s", [run.complete_s for run in runs]),
            Figure(topic, "  received, without the chart library", "KB", [run.page_kb for run in runs], Target(300)),
        ]
    alone = found.watched[""].p99_ms
    figures.append(Figure(topic, "no viewers: p99, socket → committed", "ms", alone, Target(300)))
    for name in found.opened:
        watched = found.watched[name]
        ratios = [each / without for each, without in zip(watched.p99_ms, alone, strict=True)]
        figures += [
            Figure(
                topic,
                f"ten viewers of {name}: the page's share of one core",
                "%",
                [cores * 100 for cores in watched.cores],
                Target(5),
            ),
            Figure(topic, "  p99, socket → committed", "ms", watched.p99_ms, Target(300)),
            Figure(topic, "  p99 ÷ without viewers", "ratio", ratios, Target(1.05)),
        ]
    figures.append(Figure(topic, "peak memory of the page's process", "MB", [found.memory_mb]))
    return figures
