"""Creates the parts of the service: OpenD → feed → intake → queue → writer → day files, and the heartbeat.

Enters: options. Leaves: connected parts, none of them started.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.collect.buffer.intake import Intake
from hk_tick_collector.collect.buffer.overflow import Overflow
from hk_tick_collector.collect.buffer.tick_queue import TickQueue
from hk_tick_collector.collect.connection.ask_instruments import InstrumentAsker
from hk_tick_collector.collect.connection.backfill import Backfiller
from hk_tick_collector.collect.connection.compare_totals import Reconciler
from hk_tick_collector.collect.connection.feed import Feed
from hk_tick_collector.collect.loading.load import unfinished_days
from hk_tick_collector.collect.loading.loader import DayLoader
from hk_tick_collector.collect.reporting.gap_log import GapLog
from hk_tick_collector.collect.reporting.health_lines import HealthLines
from hk_tick_collector.collect.reporting.heartbeat import Heartbeat
from hk_tick_collector.collect.reporting.live_state import LiveState
from hk_tick_collector.collect.writing.current_writer import CurrentWriter
from hk_tick_collector.collect.writing.predecessor_days import PredecessorDays
from hk_tick_collector.collect.writing.recount_days import RecountDays
from hk_tick_collector.collect.writing.recovery import Recovery
from hk_tick_collector.collect.writing.waiting_days import WaitingDays
from hk_tick_collector.collect.writing.watchdog import Watchdog
from hk_tick_collector.collect.writing.writer import Writer
from hk_tick_collector.gaps.backfill_plan import BackfillPlan
from hk_tick_collector.gaps.tracker import GapTracker
from hk_tick_collector.ops.alerts.alerter import Alerter
from hk_tick_collector.ops.alerts.deadman import DeadMan
from hk_tick_collector.ops.alerts.mutes import MUTES_NAME
from hk_tick_collector.ops.alerts.options import AlertOptions
from hk_tick_collector.ops.live.systemd_notify import Notifier
from hk_tick_collector.stats import Stats
from hk_tick_collector.store.spool import Spool

from .day_turn import DayTurn
from .opend_state import ExchangeClock, OpenDState
from .options import WriterOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from .options import ServiceOptions

_SPOOL_BUFFER_ROWS: Final = 50_000  # rows in memory, in addition to MAX_QUEUE_ROWS, that wait to be spooled


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts that the service starts, runs and stops. `run_id` names this run in the table `ledger`."""

    run_id: str
    stats: Stats
    live: LiveState
    feed: Feed
    tracker: GapTracker
    intake: Intake
    queue: TickQueue
    overflow: Overflow
    current_writer: CurrentWriter
    heartbeat: Heartbeat
    alerter: Alerter
    deadman: DeadMan
    predecessor_days: PredecessorDays
    notifier: Notifier


def assemble(options: ServiceOptions) -> Assembly:
    """Creates the parts of one run. Raises StoreError when the spool cannot be used."""
    stats, opend = Stats(bad_symbols=list(options.bad_symbols)), OpenDState()
    run_id = f"{market.hkt(now_ms()):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    spool = Spool(options.spool_dir / run_id)  # this run's own directory; the others belong to earlier runs
    overflow = Overflow(spool, _SPOOL_BUFFER_ROWS, stats)
    queue = TickQueue(options.max_queue_rows, overflow)
    loader = DayLoader(options.data_root)
    tracker = GapTracker(loader, now_ms)
    intake = Intake(queue, tracker, opend, stats, time.monotonic)
    loader.serve(tracker, intake)
    current_writer = _writers(options, run_id, queue, opend, stats)
    plan = BackfillPlan(tracker)
    unfinished = partial(unfinished_days, options.data_root)
    backfiller = Backfiller(plan, tracker, intake, opend, stats, unfinished, loader.wait)
    reconciler = Reconciler(options.data_root, options.feed.symbols, opend, queue.storing, current_writer.reconcile)
    instruments = InstrumentAsker(
        options.data_root, options.feed, opend, queue.storing, current_writer.keep_instruments
    )
    feed = Feed(options.feed, intake, backfiller, (reconciler, instruments), opend, stats)
    day_turn = DayTurn(opend, current_writer)
    recount = RecountDays(queue.storing, current_writer, loader.rebuild, tracker.open_days, tracker.unread_days)
    watchdog = Watchdog(options.watchdog_stall_s, options.watchdog_queue_rows, options.watchdog_max_failures)
    recovery = Recovery(watchdog, queue, opend, stats, current_writer)
    notifier = Notifier(options.notify_socket)
    gaps = GapLog(tracker, plan, current_writer, now_ms)
    live = LiveState(options, stats, opend, queue, day_turn, gaps, current_writer)
    lines = HealthLines(options, stats, opend, queue, live)
    duties = (current_writer.demand_alive, day_turn.check, recount.check, lambda: recovery.check(now_ms()))
    heartbeat = Heartbeat(options, live, lines, gaps, opend, notifier, duties)
    alerter = Alerter(_alert_options(options), stats, now_ms)
    deadman = DeadMan(options.deadman_url, options.limits, stats)
    heartbeat.listeners += (alerter.update, deadman.update)
    predecessor_days = PredecessorDays(
        options.data_root, intake, queue, current_writer, stats, tracker.known.recount_losses
    )
    return Assembly(
        run_id,
        stats,
        live,
        feed,
        tracker,
        intake,
        queue,
        overflow,
        current_writer,
        heartbeat,
        alerter,
        deadman,
        predecessor_days,
        notifier,
    )


def _writers(options: ServiceOptions, run_id: str, queue: TickQueue, opend: OpenDState, stats: Stats) -> CurrentWriter:
    """Creates the writer. Each replacement has its own row in the ledger; all share the rows that wait for a file."""
    writing = _writer_options(options, run_id)
    held = WaitingDays(queue, stats, options.data_root, options.spool_dir / run_id)

    def create(number: int, on_fresh: Callable[[int], None]) -> Writer:
        clock = ExchangeClock(opend, now_ms)
        return Writer(queue, stats, _numbered(writing, number), clock, on_fresh, held)

    return CurrentWriter(queue, create)


def _alert_options(options: ServiceOptions) -> AlertOptions:
    return AlertOptions(
        destinations=options.destinations,
        limits=options.limits,
        data_root=options.data_root,
        mutes_path=options.status_path.with_name(MUTES_NAME),
        instance=options.instance,
        lang=options.lang,
        heartbeat_min=options.alert_heartbeat_min,
        streams=options.streams,
    )


def _writer_options(options: ServiceOptions, run_id: str) -> WriterOptions:
    return WriterOptions(
        data_root=options.data_root,
        run_id=run_id,
        version=__version__,
        batch_rows=options.batch_rows,
        max_wait_ms=options.max_wait_ms,
        store=options.store,
        snapshot_dir=options.snapshot_dir,
    )


def _numbered(options: WriterOptions, number: int) -> WriterOptions:
    return options if number == 1 else replace(options, run_id=f"{options.run_id}-{number}")
