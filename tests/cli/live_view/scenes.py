"""What a view may have to show: a full scene, whose figures are so large that none fits by chance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tests.live_state import live_state

from hk_tick_collector.cli.live_view.frame import Scene
from hk_tick_collector.cli.live_view.sample import Sample
from hk_tick_collector.model import Tick
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, Words
from hk_tick_collector.store.query import SymbolCount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hk_tick_collector.cli.live_view.cells import Line

NOW_MS: Final = 1_795_145_400_000  # 2026-11-20 11:30 in Hong Kong
DAY: Final = "20261120"
LANGUAGES: Final = (ENGLISH, CHINESE)
FIGURE: Final = re.compile(r"[\w.:,%+/'-]*\d[\w.:,%+/'-]*")  # a word with a digit


def symbol(number: int, **figures: Any) -> SymbolCount:
    """The counters of a symbol: large and all different."""
    rows = 9_876_543 - 7_919 * number
    values = {
        "symbol": f"HK.{number:05}", "rows": rows, "first_ts_ms": NOW_MS - 9_000_000, "last_ts_ms": NOW_MS - number,
        "max_seq": 7_713_609_299_083_133_201, "volume": 98_765_432_109 - number, "turnover": 987_654_321_098.75,
        "expected": rows + number,
    }  # fmt: skip
    return SymbolCount(**{**values, **figures})


def tick(number: int, **figures: Any) -> Tick:
    """A trade."""
    values = {
        "symbol": f"HK.{number % 90:05}", "seq": 7_713_609_299_083_133_201 + number, "ts_ms": NOW_MS - 99 + number,
        "price": 9_876.543, "volume": 87_654_321, "turnover": 98_765_432_109.75, "direction": "BUY",
        "tick_type": "AUTO_MATCH", "push_type": "disconnect_refill", "recv_ts_ms": NOW_MS - 90 + number,
    }  # fmt: skip
    return Tick(**{**values, **figures})


def day(**figures: Any) -> dict[str, Any]:
    """The day's counters, as in the JSON of `status`."""
    values = {
        "day": DAY, "path": f"/data/sqlite/HK/{DAY}.db", "bytes": 9_876_543_210, "symbols": 1_987, "rows": 98_765_432,
        "gaps_open": 98_765, "missing": 9_876_543, "completeness": {"percent": 98.76543}, "lost": 876_543,
    }  # fmt: skip
    return {**values, **figures}


def sample(**parts: Any) -> Sample:
    """A sample with long findings, two hundred symbols, and a collector that is away from OpenD."""
    live = live_state(
        written_ms=NOW_MS, started_ms=NOW_MS - 9_876_543, pid=1, instance="a-name-of-a-host", connected=True,
        link_since_ms=NOW_MS - 98_765_432, market_state="closing_auction", trading=True, symbols=1_987,
        subscribed=1_986, received=987_654_321, stored=986_543_210, duplicate=9_876_543, rejected=98_765,
        dropped=87_654, waiting=765_432, max_queue_rows=9_876_543, persisted_rows_per_min=987_654,
        rows_per_s=[n * 997 for n in range(60)], newest_ts_ms=NOW_MS - 98_765, commit_ms_p50=9_876.5,
        commit_ms_p99=98_765.4, wal_bytes=9_876_543_210, disk_free_mb=98_765_432, outage_budget_s=9_876.0,
        spooled=654_321, newest_day=DAY,
    )  # fmt: skip
    findings = [
        Finding("gaps", Severity.CRITICAL, "98,765 gaps are open and 9,876,543 ticks of HK.00700 are missing since a "
                "very long time: /data/sqlite/HK/20261120.db", "hk-tick-collector gaps --open", NOW_MS - 9_000,
                zh="98,765 個缺口未補，HK.00700 欠 9,876,543 筆 tick：/data/sqlite/HK/20261120.db"),
        Finding("lag", Severity.WARNING, "lag of 98.7 s", "sudo systemctl restart hk-tick-collector"),
    ]  # fmt: skip
    values: dict[str, Any] = {
        "now_ms": NOW_MS, "as_of_ms": NOW_MS, "findings": findings, "explained": Words("", ""), "live": live,
        "day": day(), "symbols": [symbol(n) for n in range(200)], "ticks": [tick(n) for n in range(90)], "read_s": 1.0,
        "prices": {f"HK.{n:05}": 9_876.543 - n for n in range(150)},
    }  # fmt: skip
    return Sample(**{**values, **parts})


def scene(lang: str = ENGLISH, **parts: Any) -> Scene:
    """A scene after two samples, a second apart."""
    shown = Scene("hk-tick-collector top", lang)
    first = sample(**parts)
    shown.history.add(DAY, 0.0, [each._replace(rows=each.rows - 9_876 + n) for n, each in enumerate(first.symbols)])
    shown.take(first)
    return shown


def texts(lines: Iterable[Line]) -> list[str]:
    """The lines as they are read."""
    return ["".join(span.text for span in line).rstrip() for line in lines]


def figures(lines: Iterable[str]) -> set[str]:
    """Every word with a digit; a word of a command that goes on in the next line is one."""
    return set(FIGURE.findall(re.sub(r"\\ *\n", "", "\n".join(lines))))


def squeezed(lines: Iterable[str]) -> str:
    """The text without blanks and the mark of a continued command: a broken line has none where the text has one."""
    return re.sub(r"\s", "", "".join(each.rstrip().removesuffix("\\") for each in lines))
