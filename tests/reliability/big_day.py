"""The page and `top` over a live day of 12 million ticks, the largest that the market has had.

    .venv/bin/python tests/reliability/soak.py --big-day

A collector adds ticks of other symbols to the file. Each view must become complete in a browser; ten viewers look at
the busiest symbols, of which the first has an eighth of all ticks; the page's processes together must need less than
its unit may use; `top` must draw the day and go on with it. AssertionError or BrokenRunError if one of this is not so.
"""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench.bigday import BigDay
from bench.trial import memory_mb
from bench.web import VIEWS, browser, looking, open_view
from tools.incidents.scene import Scene

from hk_tick_collector import market
from hk_tick_collector.simulator.exchange.listing import default_symbols

ROWS: Final = 12_000_000
_SYMBOLS: Final = 2_000
_LIVE: Final = 20  # of them are collected
_OPEN_MS: Final = 34_200_000
_LOOK_S: Final = 5.0
_UNIT: Final = Path(__file__).parents[2] / "deploy" / "systemd" / "hk-tick-collector-web.service"


def judge(directory: Path, rows: int) -> list[str]:
    """One trial in an empty directory; returns what was seen, line by line."""
    data_root = directory / "HK"
    data_root.mkdir()
    names = default_symbols(_SYMBOLS)
    live, others = names[:_LIVE], names[_LIVE:]
    day = market.day_name(market.day_number(time.time_ns() // 1_000_000))
    BigDay(data_root / f"{day}.db", others, _OPEN_MS).fill(rows)
    found = [f"{rows:,} ticks in the file before"]
    with Scene(directory, data_root, ",".join(live)) as scene:
        scene.collect()
        url = scene.page()
        port, pid = int(url.rpartition(":")[2]), scene.web.pid
        with browser() as chromium:
            for view in VIEWS:
                opened = open_view(chromium, f"{url}{view.path}", view)
                found.append(f"{view.name}: complete after {opened.complete_s:.1f} s, {opened.page_kb:.0f} KB")
        symbols = _busiest(data_root / f"{day}.db")
        with looking(directory, pid, port, _LOOK_S, [f"/symbol/events?symbol={each}" for each in symbols]):
            found.append(f"ten viewers look at {', '.join(symbols)}")
        used = _peaks_mb(pid)
        limit = re.search(r"^MemoryMax=(\d+)M$", _UNIT.read_text("utf-8"), re.MULTILINE)
        assert limit
        assert sum(used) < int(limit[1]) * 2**20 / 1e6, f"the page's processes needed {used} MB"
        found.append(f"peak memory of the page's processes: {', '.join(f'{each:.0f}' for each in used)} MB")
        screen = scene.top()
        shown = re.search(r"of the day +\d+ +ticks ([\d,]+)", screen)
        assert shown, screen
        assert int(shown[1].replace(",", "")) > rows, screen
        found.append(f"top: {shown[0]}")
    return found


def _busiest(path: Path) -> list[str]:
    from hk_tick_collector.store.query import DayReader

    with DayReader(path) as reader, reader.snapshot():
        return [each.symbol for each in sorted(reader.symbols(), key=lambda each: -each.rows)[:10]]


def _peaks_mb(pid: int) -> list[float]:
    """The highest resident memory of a process and each of its descendants that lives now."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        with suppress(OSError):
            found.append(memory_mb(each, peak=True))
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return found


def main() -> int:
    """The trial at its full size."""
    with tempfile.TemporaryDirectory(prefix="big-day-") as directory:
        for line in judge(Path(directory), ROWS):
            print(line, flush=True)
    print("OK")
    return 0
