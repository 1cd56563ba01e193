"""Metrics: the live state and Stats at the moment of a scrape, in Prometheus' text format.

Input: the latest live state, Stats, the limits. Output: text. It counts nothing itself and has no label by symbol, so
its size does not grow with the symbols. The names never change: dashboards and rules in deploy/, and docs/metrics.md,
use them.

Imported only if METRICS_ADDR is set: the library takes 20 ms and 1.7 MB.
"""

from __future__ import annotations

import time
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from hk_tick_collector import market
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.health import check
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.service import unplanned_restarts
from hk_tick_collector.ops.live.stream_states import read_stream_states
from hk_tick_collector.stats import LATENCY_BOUNDS_MS
from hk_tick_collector.text import plain

from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.stats import Latencies, Stats

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MIB: Final = 2**20
_MAX_CODES: Final = 64  # of codes without a spec: OpenD may add codes without limit
_OTHER: Final = "other"


class Seen(NamedTuple):
    """The input of a scrape: the live state of the last second, which is not changed any more, and the counters."""

    live: LiveStatus
    stats: Stats
    limits: Limits


class Plain(NamedTuple):
    """A metric without labels; `read` returns None while there is no value."""

    name: str
    help: str
    read: Callable[[Seen], float | None]


_GAUGES: Final = (
    Plain("hktc_status_timestamp_seconds", "When the figures were taken.", lambda seen: _s(seen.live.written_ms)),
    Plain(
        "hktc_unplanned_restarts",
        "How often the collector was started within the last hour without having been stopped by anybody.",
        lambda seen: len(unplanned_restarts(seen.live, seen.live.written_ms)),
    ),
    # OpenD
    Plain("hktc_opend_connected", "1 while there is a connection to OpenD.", lambda seen: seen.live.connected),
    Plain(
        "hktc_opend_ready",
        "1 while OpenD is connected, logged in and serves quotes.",
        lambda seen: (
            seen.live.connected
            and seen.live.quote_logged_in
            and seen.live.program == "ready"
            and not seen.live.trouble.keys() - {"trade_password_changed"}
        ),
    ),
    Plain(
        "hktc_opend_link_since_timestamp_seconds",
        "Since when there has been a connection, or none.",
        lambda seen: _s(seen.live.link_since_ms),
    ),
    Plain("hktc_clock_drift_seconds", "This host's clock minus OpenD's.", lambda seen: seen.live.drift_s),
    Plain(
        "hktc_clock_drift_limit_seconds",
        "DRIFT_WARN_SEC: a larger drift is a warning.",
        lambda seen: seen.limits.drift_warn_s,
    ),
    Plain("hktc_symbols_wanted", "Symbols of FUTU_SYMBOLS.", lambda seen: seen.live.symbols),
    Plain("hktc_symbols_subscribed", "Symbols that OpenD pushes.", lambda seen: seen.live.subscribed),
    Plain("hktc_symbols_refused", "Symbols that OpenD refused.", lambda seen: len(seen.live.refused)),
    Plain(
        "hktc_symbols_stopped",
        "Symbols whose pushes stopped within the last 15 minutes; they were subscribed again.",
        lambda seen: seen.live.pushes_stopped_lately,
    ),
    Plain("hktc_quota_used", "Subscriptions that the account uses.", lambda seen: seen.live.quota_used),
    Plain("hktc_quota_remaining", "Subscriptions that the account has left.", lambda seen: seen.live.quota_remaining),
    Plain(
        "hktc_market_trading",
        "1 while OpenD says that the Hong Kong market trades.",
        lambda seen: seen.live.trading,
    ),
    # the flow of data
    Plain("hktc_queue_rows", "Rows received and neither committed nor refused.", lambda seen: seen.live.waiting),
    Plain("hktc_queue_limit_rows", "MAX_QUEUE_ROWS.", lambda seen: seen.live.max_queue_rows),
    Plain(
        "hktc_queue_warn_rows",
        "WATCHDOG_QUEUE_THRESHOLD_ROWS: more waiting rows are a warning.",
        lambda seen: seen.limits.queue_warn_rows,
    ),
    Plain("hktc_spool_rows", "Of the waiting rows, those that memory could not hold.", lambda seen: seen.live.spooled),
    Plain(
        "hktc_held_rows",
        "Of the waiting rows, those of days whose own file cannot be written.",
        lambda seen: sum(seen.live.held_rows.values()) + sum(seen.live.held_again.values()),
    ),
    Plain(
        "hktc_exposed_rows",
        "Of the waiting rows, those in memory only: lost if the process dies.",
        lambda seen: seen.live.exposed_rows,
    ),
    Plain(
        "hktc_newest_tick_timestamp_seconds",
        "Trade time of the newest stored tick.",
        lambda seen: _s(seen.live.newest_ts_ms),
    ),
    Plain(
        "hktc_lag_limit_seconds",
        "LAG_CRITICAL_SEC: if the newest stored tick is older during trading, that is critical.",
        lambda seen: seen.limits.lag_critical_s,
    ),
    # the writer and its disk
    Plain(
        "hktc_last_commit_timestamp_seconds",
        "When a commit last returned.",
        lambda seen: _s(seen.live.last_commit_ms),
    ),
    Plain(
        "hktc_writer_alive_timestamp_seconds",
        "When the writer thread was last active.",
        lambda seen: _s(seen.live.writer_alive_ms),
    ),
    Plain(
        "hktc_writer_blocked",
        "1 while the writer waits for a named cause: a lock, a full disk, a permission.",
        lambda seen: bool(seen.live.writer_trouble),
    ),
    Plain(
        "hktc_disk_wait_seconds",
        "How long the writer has been waiting in the kernel for the disk, 0 if it is not waiting.",
        lambda seen: seen.live.disk_wait_s,
    ),
    Plain("hktc_wal_bytes", "Size of the newest day's WAL.", lambda seen: seen.live.wal_bytes),
    Plain(
        "hktc_disk_free_bytes",
        "Free space in DATA_ROOT.",
        lambda seen: None if seen.live.disk_free_mb is None else seen.live.disk_free_mb * _MIB,
    ),
    Plain(
        "hktc_disk_free_limit_bytes",
        "DISK_MIN_FREE_MB: less is a warning, a quarter of it critical.",
        lambda seen: seen.limits.disk_min_free_mb * _MIB,
    ),
    # what is missing, and what would be lost
    Plain("hktc_gaps_open", "Open gaps of the newest day.", lambda seen: seen.live.gaps_open),
    Plain(
        "hktc_gaps_healing", "Of the open gaps, those that OpenD can still fill.", lambda seen: seen.live.gaps_healing
    ),
    Plain(
        "hktc_missing_ticks",
        "Ticks that are known to be missing in the newest day's open gaps.",
        lambda seen: seen.live.gaps_missing,
    ),
    Plain(
        "hktc_outage_budget_seconds",
        "How long OpenD may be unreachable before ticks of the most active symbol are lost.",
        lambda seen: seen.live.outage_budget_s,
    ),
)

_COUNTERS: Final = (
    Plain("hktc_opend_connects_total", "Connections to OpenD that were made.", lambda seen: seen.live.connects),
    Plain("hktc_opend_link_breaks_total", "Established connections that ended.", lambda seen: seen.stats.link_breaks),
    Plain(
        "hktc_opend_protocol_errors_total",
        "Of these, connections that ended because of bytes that are not OpenD's protocol.",
        lambda seen: seen.stats.protocol_errors,
    ),
    Plain(
        "hktc_opend_skipped_messages_total",
        "Complete messages of OpenD that the collector does not know.",
        lambda seen: seen.live.skipped_messages,
    ),
    Plain("hktc_ticks_received_total", "Ticks that reached our socket.", lambda seen: seen.live.received),
    Plain(
        "hktc_sealed_day_ticks_total",
        "Of the rejected ticks, those whose day is sealed.",
        lambda seen: seen.live.sealed_day + seen.live.sealed_day_backfill,
    ),
    Plain(
        "hktc_conflict_ticks_total",
        "Of the rejected ticks, those with other content than the stored tick of their symbol and sequence.",
        lambda seen: seen.live.conflicts,
    ),
    Plain(
        "hktc_no_sequence_ticks_total",
        "The same for ticks with the sequence 0, that is, without a sequence.",
        lambda seen: seen.live.no_sequence,
    ),
    Plain("hktc_commits_total", "Transactions that were committed.", lambda seen: seen.stats.commits),
    Plain("hktc_watchdog_stalls_total", "Stalls of the writer that the watchdog found.", lambda seen: seen.live.stalls),
    Plain(
        "hktc_day_files_damaged_total",
        "Damaged day files that were renamed.",
        lambda seen: len(seen.live.damaged_files),
    ),
    Plain(
        "hktc_day_files_gone_total",
        "Day files that were deleted, moved or replaced while they were written.",
        lambda seen: len(seen.live.gone_files),
    ),
)


class OwnProcess(ProcessCollector):
    """The library's collector, which returns nothing if it cannot read /proc/stat, for example under ProcSubset=pid."""

    def _boot_time(self) -> float:
        """When the host started, seconds since 1970."""
        try:
            told: float = super()._boot_time()  # type: ignore[no-untyped-call]
        except OSError:
            return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return told


class Metrics:
    """Renders the values of `latest` and `stats`. `now_ms` is the wall clock in UTC epoch ms.

    Call it from one thread, which need not be the one that writes Stats.
    """

    def __init__(
        self, latest: Callable[[], LiveStatus | None], stats: Stats, limits: Limits, now_ms: Callable[[], int]
    ) -> None:
        self._latest = latest
        self._stats = stats
        self._limits = limits
        self._now_ms = now_ms
        self._codes = FindingCodes()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        OwnProcess(registry=self._registry)  # memory, CPU, descriptors, start: names that dashboards use

    def render(self) -> bytes:
        """The text of a scrape; before the first live state only the process's own figures."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present value, for the library."""
        live = self._latest()
        if live is None:
            return
        seen = Seen(live, self._stats, self._limits)
        now_ms = self._now_ms()
        streams = Streams(*read_stream_states(live.data_root, now_ms))
        yield _info(live)
        findings = [*check(live, now_ms, self._limits), *streams.findings(now_ms, self._limits.disk_min_free_mb)]
        yield from self._codes.metrics(findings)
        yield from streams.metrics()
        yield _market_state(live)
        yield _outcomes(live)
        for metric in _GAUGES:
            yield GaugeMetricFamily(metric.name, metric.help, metric.read(seen))
        for metric in _COUNTERS:
            yield CounterMetricFamily(metric.name, metric.help, metric.read(seen))
        yield _histogram("hktc_commit_duration_seconds", "How long commits with ticks took.", seen.stats.commit_times)
        yield _histogram(
            "hktc_socket_to_commit_seconds",
            "Of each commit's oldest tick: from our socket to the return of COMMIT.",
            seen.stats.row_ages,
        )


class FindingCodes:
    """The findings as metrics. A code that was seen in this run stays, with the value 0."""

    def __init__(self) -> None:
        self._codes: set[str] = set()

    def metrics(self, findings: Sequence[Finding]) -> Iterator[Metric]:
        """The worst severity of each code, and how many findings there are."""
        worst: dict[str, int] = dict.fromkeys(self._codes, 0)
        for finding in findings:
            known = finding.code in self._codes or len(self._codes) < _MAX_CODES or REGISTRY.defines(finding.code)
            code = finding.code if known else _OTHER
            worst[code] = max(worst.get(code, 0), finding.severity)
        self._codes |= worst.keys()
        by_code = GaugeMetricFamily(
            "hktc_finding",
            "What `status` finds wrong: 2 critical, 1 a warning, 0 over. A code appears once it has occurred in this"
            " run.",
            labels=("code",),
        )
        for code, severity in sorted(worst.items()):
            by_code.add_metric((_label(code),), severity)
        yield by_code
        count = GaugeMetricFamily("hktc_findings", "How many findings are open.", labels=("severity",))
        for severity in (Severity.WARNING, Severity.CRITICAL):
            number = sum(finding.severity == severity for finding in findings)
            count.add_metric((severity.name.lower(),), number)
        yield count


class ProcessMetrics:
    """Renders the figures of `publish` or `merge` alone, where it serves them itself."""

    def __init__(self, read: Callable[[], Streams], min_free_mb: int, now_ms: Callable[[], int]) -> None:
        self._read = read
        self._min_free_mb = min_free_mb
        self._now_ms = now_ms
        self._codes = FindingCodes()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        OwnProcess(registry=self._registry)

    def render(self) -> bytes:
        """The text of a scrape."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present value, for the library."""
        streams = self._read()
        yield from self._codes.metrics(streams.findings(self._now_ms(), self._min_free_mb))
        yield from streams.metrics()


def _label(text: str) -> str:
    r"""Text from outside as a label; line breaks stay, the library writes them as `\n`."""
    return "\n".join(map(plain, text.split("\n")))


def _info(live: LiveStatus) -> Metric:
    info = GaugeMetricFamily(
        "hktc_build_info", "Always 1; the version and the name of this collector.", labels=("version", "instance_id")
    )
    info.add_metric((_label(live.version), _label(live.instance)), 1)
    return info


def _market_state(live: LiveStatus) -> Metric:
    states = GaugeMetricFamily("hktc_market_state", "1 for the state that OpenD reports.", labels=("state",))
    names = (*market.STATE_NAMES, "unknown")
    now = live.market_state if live.market_state in names else _OTHER
    for name in (*names, _OTHER):
        states.add_metric((name,), name == now)
    return states


def _outcomes(live: LiveStatus) -> Metric:
    """The account: received = the sum of these + the rows that wait in the queue."""
    ticks = CounterMetricFamily("hktc_ticks_total", "What happened to received ticks.", labels=("outcome",))
    ticks.add_metric(("stored",), live.stored)
    ticks.add_metric(("duplicate",), live.duplicate)
    ticks.add_metric(("rejected",), live.rejected)
    ticks.add_metric(("dropped",), live.dropped)
    return ticks


def _histogram(name: str, words: str, latencies: Latencies) -> Metric:
    bounds = [*(str(bound_ms / 1000) for bound_ms in LATENCY_BOUNDS_MS), "+Inf"]
    buckets = list(zip(bounds, accumulate(list(latencies.counts)), strict=True))
    return HistogramMetricFamily(name, words, buckets=buckets, sum_value=latencies.sum_ms / 1000)


def _s(moment_ms: int | None) -> float | None:
    return None if moment_ms is None else moment_ms / 1000
