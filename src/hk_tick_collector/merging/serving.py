"""The process `merge`: locks its directory, runs the service until a signal, writes its live state every second."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, log, market
from hk_tick_collector.background import in_thread
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.reporting.free_space import FreeSpace
from hk_tick_collector.jetstream.disk_sync import DiskSync
from hk_tick_collector.ops.alerts.process_alerts import ProcessAlerts
from hk_tick_collector.ops.findings.merge import check_merge
from hk_tick_collector.ops.findings.words import ENGLISH
from hk_tick_collector.ops.live.every_second import every_second
from hk_tick_collector.ops.live.merge_state import MERGE_ALERTS_NAME, MergeState, write_merge_state
from hk_tick_collector.ops.live.record import text_of
from hk_tick_collector.ops.live.systemd_notify import Notifier
from hk_tick_collector.ops.metrics.server import process_metrics
from hk_tick_collector.ops.metrics.streams import Streams
from hk_tick_collector.signals import stop_event, stop_is_complete
from hk_tick_collector.store.collector_lock import OwnerLock

from .committing import Committing, make_merger
from .ownership import demand_merged
from .service import MergeService

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.ops.alerts.destination import Destination
    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.store.dayfile import StoreOptions

_UMASK: Final = 0o027
_ALERTS_S: Final = 1.0  # how long a stop waits for messages
_STOP_S: Final = 20.0  # for the transaction that is being committed, and for closing the files


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """All that `serve` needs."""

    servers: Servers
    root: Path  # of the merged day files
    store: StoreOptions
    instance: str
    state_path: Path  # of merge.json
    notify_socket: str | None = None
    destinations: tuple[Destination, ...] = ()
    lang: str = ENGLISH
    metrics_addr: tuple[str, int] | None = None
    disk_min_free_mb: int = 0
    summary_s: float = 60.0  # between two lines of the log with the figures


async def serve(options: MergeOptions) -> int:
    """Merges until SIGTERM, SIGINT or SIGHUP; returns the exit code.

    Raises OwnedError when a collector or another merge uses the directory, UsageError when it is a collector's,
    StoreError when it cannot be used.
    """
    log.in_background()
    os.umask(_UMASK)
    started_ms = now_ms()
    who = f"pid {os.getpid()}, merge of {options.instance}, started {market.moment_text(started_ms)}"
    lock = OwnerLock(options.root, who, "MERGE_ROOT")
    try:
        demand_merged(options.root)
        state = MergeState(0, started_ms, os.getpid(), __version__, options.instance, "running", str(options.root))
        make = make_merger(options.root, options.store, __version__, now_ms)
        service = MergeService(
            options.servers,
            lambda stopping: Committing(make, options.root, state, stopping, now_ms),
            state,
            now_ms,
        )
        log.info("merge_started", version=__version__, pid=os.getpid(), data_root=options.root)
        await _run(options, service, state)
    finally:
        lock.release()
    return 0


async def _run(options: MergeOptions, service: MergeService, state: MergeState) -> None:
    stop = stop_event()
    with closing(Notifier(options.notify_socket)) as notifier:
        notifier.ready()
        working = asyncio.create_task(service.run())
        stopping = asyncio.create_task(stop.wait())
        alerts = ProcessAlerts(
            options.destinations, options.root / MERGE_ALERTS_NAME, options.root, options.lang, now_ms
        )
        alerts.start(f"{options.instance} merge")
        metrics = process_metrics(
            options.metrics_addr,
            lambda: Streams(merge=replace(state, sources=dict(state.sources))),
            options.disk_min_free_mb,
        )
        reporting = asyncio.create_task(_report_every_second(options, state, notifier, alerts))
        try:
            await asyncio.wait((working, stopping, reporting), return_when=asyncio.FIRST_COMPLETED)
            if reporting.done():
                reporting.result()  # a bug: without reports nobody would know the state of this process
            state.state = "stopping"
            notifier.stopping(_STOP_S)
            service.stop()
            await asyncio.wait((working,), timeout=_STOP_S)
            if working.done():
                working.result()
            else:
                working.cancel()  # a disk hangs; what is not committed is in the stream
        finally:
            stopping.cancel()
            reporting.cancel()
            if metrics is not None:
                metrics.stop()
            await in_thread(alerts.stop, time.monotonic() + _ALERTS_S)
            state.state = "stopped"
            state.written_ms = now_ms()
            _write(options.state_path, text_of(state), state.pid)
            log.info("merge_stopped", position=state.position, behind=state.behind, in_time=working.done())
            stop_is_complete()


async def _report_every_second(
    options: MergeOptions, state: MergeState, notifier: Notifier, alerts: ProcessAlerts
) -> None:
    """Each second: merge.json, alerts and systemd; now and then a line in the log."""
    stored_before, space, sync = 0, FreeSpace(options.root), DiskSync()

    def prepare() -> Callable[[], None]:
        state.disk_free_mb = space.mb()
        state.unsynced = sync.is_unsynced()
        state.written_ms = now_ms()
        findings = check_merge(state, state.written_ms, options.disk_min_free_mb)
        return partial(_report, options.state_path, text_of(state), state.pid, alerts, findings)

    def log_summary() -> None:
        nonlocal stored_before
        log.info(
            "merge_summary",
            connected=bool(state.server),
            rows=state.stored - stored_before,
            behind=state.behind,
            delay_ms_p50=state.delay_ms_p50,
            delay_ms_p99=state.delay_ms_p99,
            gaps_open=state.gaps_open,
            trouble=state.trouble,
        )
        stored_before = state.stored

    await every_second(notifier, partial(_status_line, state), prepare, log_summary, options.summary_s)


def _report(path: Path, text: str, pid: int, alerts: ProcessAlerts, findings: list[Finding]) -> None:
    _write(path, text, pid)
    alerts.update(findings)


def _write(path: Path, text: str, pid: int) -> None:
    with suppress(OSError):  # the reader then finds an old file, and says since when
        write_merge_state(path, text, pid)


def _status_line(state: MergeState) -> str:
    if state.trouble:
        return f"{state.trouble_day}.db cannot be written ({state.trouble}), trying again"
    if state.server:
        return f"merging from {state.server}, {state.behind} messages behind"
    return f"no NATS server: {state.fault}" if state.fault else "connecting"
