"""`make bench`: every topic in turn, then the report.

    python -m bench [--only throughput,latency,catching_up,growth,archive,cost,bars,reading,
                            publishing,merging,following,web] [--scale 1.0]
                    [--write-docs]

`--scale 0.1` is for work on the benchmark itself: totals and times become a tenth, and the figures mean little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import (
    archiving,
    bars,
    catching_up,
    cost,
    following,
    growth,
    latency,
    merging,
    picture,
    publishing,
    reading,
    report,
    throughput,
    web,
)
from .trial import ROOT, BrokenRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catching_up import Backlog
    from .growth import Size
    from .latency import Paced
    from .throughput import Cell

TOPICS: Final = (
    "throughput",
    "latency",
    "catching_up",
    "growth",
    "archive",
    "cost",
    "bars",
    "reading",
    "publishing",
    "merging",
    "following",
    "web",
)
_BURST: Final = 300_000  # ticks of a run whose ratio has a target
_SHORT_BURST: Final = 150_000  # of the others
_SEGMENT_S: Final = 5.0
_LIVE_S: Final = 20.0  # of a market over several hosts
_BACKLOG: Final = 500_000
_ROWS_BEFORE: Final = 1_000_000  # rows in the file that is read or copied while it is written
_OWN_TICKS: Final = 5_000_000
_RATES: Final = (500, 5_000, 20_000)
_RUNS: Final = 3


class Bench:
    """Runs topics and keeps their results. Files are in `scratch`, one directory for each run."""

    def __init__(self, scratch: Path, scale: float) -> None:
        self._scratch = scratch
        self._scale = scale
        self._begun_s = time.monotonic()
        self._number = 0
        self.cells: dict[tuple[int, int], Cell] = {}
        self.paced: list[Paced] = []
        self.backlogs: list[Backlog] = []
        self.sizes: list[Size] = []
        self.figures: list[report.Figure] = []

    def throughput(self) -> None:
        """Every combination of symbols and ticks a push."""
        for symbols in throughput.SYMBOLS:
            for per_push in throughput.PER_PUSH:
                ticks = self._ticks(_BURST if (per_push, symbols) in throughput.TARGETS else _SHORT_BURST)
                with self._directory() as scratch:
                    cell = throughput.measure(scratch, per_push, symbols, ticks)
                self.cells[per_push, symbols] = cell
                rates = ", ".join(f"{rate:,.0f}" for rate in cell.end_to_end)
                self.tell(f"{per_push} a push, {symbols} symbols: {rates} ticks/s end to end")
        self.figures += throughput.figures(self.cells)

    def latency(self) -> None:
        """Every rate alone, and one beside each of the other programs."""
        others = (latency.READER, latency.SNAPSHOT, latency.ARCHIVE, latency.PUBLISH)
        beside = [(latency.TARGET_RATE, other) for other in others]
        for rate, other in [*((rate, "") for rate in _RATES), *beside]:
            rows = self._ticks(_ROWS_BEFORE) if other not in ("", latency.PUBLISH) else 0
            with self._directory() as scratch:
                paced = latency.measure(scratch, rate, max(1.0, _SEGMENT_S * self._scale), other, rows)
            self.paced.append(paced)
            shown = ", ".join(f"{each:.0f}" for each in paced.p99_ms)
            self.tell(f"{rate:,} ticks/s {other}: p99 {shown} ms")
        self.figures += latency.figures(self.paced)

    def catching_up(self) -> None:
        """A backlog, and a burst of the same size without one."""
        for _ in range(_RUNS - 1):
            with self._directory() as scratch:
                backlog = catching_up.measure(scratch, self._ticks(_BACKLOG))
            with self._directory() as scratch:
                backlog.peak_burst_mb = catching_up.measure_burst(scratch, self._ticks(_BACKLOG))
            self.backlogs.append(backlog)
            self.tell(f"{backlog.rows:,} rows waiting: empty after {backlog.caught_up_s:.1f} s")
        self.figures += catching_up.figures(self.backlogs)

    def growth(self) -> None:
        """One file of millions of rows."""
        with self._directory() as scratch:
            sizes = growth.SIZES if self._scale == 1 else growth.SIZES[:2]
            for size in growth.measure(scratch, sizes):
                self.sizes.append(size)
                self.tell(f"{size.rows:,} rows: {sorted(size.inserted)[1]:,.0f} rows/s more")
        self.figures += growth.figures(self.sizes)

    def archive(self) -> None:
        """One sealed day of millions of rows, and a year of certificates."""
        with self._directory() as scratch:
            found = archiving.measure(scratch, self._ticks(archiving.ROWS), self._ticks(_OWN_TICKS))
        wall_s = sorted(each.wall_s for each in found.archived)
        self.tell(f"{found.rows:,} rows: archived in {wall_s[1]:.1f} s, {found.bytes_per_row:.2f} bytes a row")
        self.figures += archiving.figures(found)

    def cost(self) -> None:
        """The remaining measurements of the cost."""
        with self._directory() as scratch:
            idle_mb = cost.idle_memory_mb(scratch)
        with self._directory() as one, self._directory() as two, self._directory() as three:
            starts_s = cost.start_s([one, two, three])
        imports_s, pythons_s = cost.import_s(), cost.python_s()
        self.tell(f"idle {max(idle_mb):.0f} MB, subscribed after {sorted(starts_s)[1]:.2f} s")
        self.figures += cost.figures(idle_mb, imports_s, pythons_s, starts_s, self.paced, self.cells)

    def bars(self) -> None:
        """A month of bars, and one day beside DuckDB."""
        with self._directory() as scratch:
            found = bars.measure(scratch, self._scale)
        self.figures += found
        self.tell(f"{found[0].name}: {found[0].median:.1f} s, {found[1].median:.0f} MB")

    def reading(self) -> None:
        """What a researcher waits for."""
        with self._directory() as scratch:
            found = reading.measure(scratch, self._scale)
        self.tell(", ".join(f"{figure.median:.2f} {figure.unit}" for figure in found))
        self.figures += found

    def publishing(self) -> None:
        """A day to a cluster of NATS servers."""
        runs = []
        for _ in range(publishing.RUNS):
            with self._directory() as scratch:
                runs.append(publishing.measure(scratch, self._ticks(publishing.ROWS)))
            self.tell(f"{runs[-1].rows:,} ticks acknowledged: {runs[-1].rows / runs[-1].took_s:,.0f} ticks/s")
        self.figures += publishing.figures(runs)

    def merging(self) -> None:
        """From a collector's socket to the merged file, live and after an outage."""
        rates: list[float] = []
        live: dict[int, list[merging.Live]] = {}
        for _ in range(merging.RUNS):
            with self._directory() as scratch:
                rates.append(merging.measure_catching_up(scratch, self._ticks(merging.ROWS)))
            self.tell(f"{rates[-1]:,.0f} ticks/s merged")
        for wait_ms in merging.WAITS_MS:
            live[wait_ms] = []
            for _ in range(merging.RUNS):
                with self._directory() as scratch:
                    live[wait_ms].append(merging.measure_live(scratch, max(2.0, _LIVE_S * self._scale), wait_ms))
                found = live[wait_ms][-1]
                self.tell(f"MAX_WAIT_MS={wait_ms}: p50 {found.p50_ms:.0f} ms, p99 {found.p99_ms:.0f} ms")
        self.figures += merging.figures(live, rates, self._ticks(merging.ROWS))

    def following(self) -> None:
        """From a commit to the callback of a stream."""
        with self._directory() as scratch:
            found = following.measure(scratch, max(1.0, _SEGMENT_S * self._scale))
        self.tell(", ".join(f"{figure.median:.2f} {figure.unit}" for figure in found))
        self.figures += found

    def web(self) -> None:
        """The page beside a collector, for a browser and ten viewers."""
        with self._directory() as scratch:
            found = web.measure(scratch, self._ticks(web.ROWS), max(2.0, web.SECONDS * self._scale))
        for name, runs in found.opened.items():
            paints = ", ".join(f"{run.paint_s:.2f}" for run in runs)
            shares = ", ".join(f"{cores * 100:.1f}" for cores in found.watched[name].cores)
            self.tell(f"{name}: first paint {paints} s; ten viewers {shares} % of a core")
        self.figures += web.figures(found)

    @property
    def took_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun_s

    def tell(self, line: str) -> None:
        """Prints one line of progress."""
        print(f"{self.took_s:5.0f} s  {line}", flush=True)

    @contextmanager
    def _directory(self) -> Iterator[Path]:
        """A directory for one run, deleted after it: its content would fill the disk's cache."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as directory:
            yield Path(directory)

    def _ticks(self, full: int) -> int:
        return max(10_000, int(full * self._scale) // 10_000 * 10_000)


def main() -> None:
    """Runs the topics and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(TOPICS), help="topics, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for totals and times")
    parser.add_argument(
        "--write-docs", action="store_true", help="renew the table and picture of docs/performance.md, .en.md"
    )
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := [topic for topic in wanted if topic not in TOPICS]:
        parser.error(f"no topic is named {unknown[0]!r}; there are {', '.join(TOPICS)}")
    with tempfile.TemporaryDirectory(prefix="hk-tick-bench-") as scratch:
        bench = Bench(Path(scratch), arguments.scale)
        for topic in TOPICS:
            if topic in wanted:
                bench.tell(f"— {topic}")
                try:
                    getattr(bench, topic)()
                except BrokenRunError as error:
                    raise SystemExit(f"bench: {topic}: {error}") from None
    print(report.table(bench.figures))
    drawing = picture.draw(bench.cells, bench.paced, bench.sizes)
    report.write_json(ROOT / "bench" / "report.json", bench.figures, bench.took_s)
    (ROOT / "bench" / "report.svg").write_text(drawing, "utf-8")
    print(f"{bench.took_s:.0f} s; bench/report.json and bench/report.svg are written")
    if arguments.write_docs:
        for language, name in (("zh-Hant", "performance.md"), ("en", "performance.en.md")):
            text = report.markdown(bench.figures, bench.took_s, language)
            report.write_page(ROOT / "docs" / name, text)
        (ROOT / "docs" / "performance.svg").write_text(drawing, "utf-8")


if __name__ == "__main__":
    main()
