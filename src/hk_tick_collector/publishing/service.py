"""The process: connects to a server, again and again, until it is told to stop or may not go on.

At the start a refusal of the engine ends the process with one line, so that wrong settings are noticed. Later it is in
publish.json, and the next attempt follows: servers, certificates and credentials are renewed while the process runs.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, clock, log
from hk_tick_collector.background import Background, in_thread
from hk_tick_collector.errors import StoreError, StreamAwayError, StreamError
from hk_tick_collector.jetstream.connect import connect
from hk_tick_collector.jetstream.disk_sync import DiskSync
from hk_tick_collector.ops.findings.publish import check_publish
from hk_tick_collector.ops.live.every_second import every_second
from hk_tick_collector.ops.live.publish_state import write_publish_state
from hk_tick_collector.ops.live.record import text_of
from hk_tick_collector.ops.live.systemd_notify import Notifier
from hk_tick_collector.signals import stop_event, stop_is_complete
from hk_tick_collector.store.publish_cursors import PublishCursors

from .days import Days
from .figures import Figures
from .presence import NameTakenError, Publisher
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.ops.live.publish_state import PublishState

    from .options import PublishOptions

_AGAIN_S: Final = (0.2, 1.5)  # between two attempts to connect, at random
_REFUSED_AGAIN_S: Final = 5.0
_ALERTS_S: Final = 1.0  # how long a stop waits for messages
_STOP_S: Final = 8.0  # for the acknowledgements that are still to come
_AWAY_LINE_S: Final = 60.0


async def serve(options: PublishOptions, clock_ms: Callable[[], int] = clock.now_ms) -> int:
    """Publishes until a stop signal; returns the exit code.

    Raises StreamError if the engine refuses us at the start, NameTakenError at any time; OwnedError and StoreError for
    the cursor file; with `until_sent` StoreError for a day file that could not be read.
    """
    stop = stop_event()
    started_ms = clock_ms()
    figures = Figures(started_ms, os.getpid(), __version__, options.source, str(options.data_root))
    cursors = PublishCursors(options.cursor_path)
    if cursors.set_aside:
        log.warning("publish_cursors_damaged", renamed_to=cursors.set_aside)
    days, background = Days(options.data_root, cursors), Background("files")
    began = await background.run(lambda: days.begin(options.source, options.since, started_ms))
    if began:
        log.warning("publish_source_renamed", detail=began)
    since = days.noted("since")
    log.info("publish_started", source=options.source, since=since, data_root=options.data_root)
    ours = Publisher.this(options.source, started_ms, secrets.token_hex(4))
    session = Session(options, days, background, figures, ours, clock_ms)
    with closing(Notifier(options.notify_socket)) as notifier:
        reporting = asyncio.create_task(_report_every_second(options, figures, notifier, clock_ms))
        try:
            ended = await _until_stopped(_connections(options, session, figures, stop, clock_ms), stop)
        finally:
            reporting.cancel()
            if options.alerts is not None:
                await in_thread(options.alerts.stop, time.monotonic() + _ALERTS_S)
            figures.state = "stopped"
            with suppress(OSError):
                write_publish_state(options.state_path, text_of(figures.record(clock_ms())), figures.pid)
            log.info("publish_stopped", published_rows=figures.published_rows, behind_rows=figures.behind_rows)
            stop_is_complete()
    if ended:  # else a disk hangs, and its thread still uses them
        days.close_files()
        cursors.close()
    if options.until_sent and figures.days_unread and not stop.is_set():
        day, why = next(iter(figures.days_unread.items()))
        raise StoreError(f"{day or 'DATA_ROOT'} was not sent: {why}")
    return 0


async def _until_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Runs the work until it ends, at most `_STOP_S` seconds after a stop. Returns whether it ended by itself."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((working,), timeout=_STOP_S)
        has_ended = working.done()
        if has_ended:
            working.result()
        return has_ended
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, StreamError):
            await working


async def _connections(
    options: PublishOptions,
    session: Session,
    figures: Figures,
    stop: asyncio.Event,
    clock_ms: Callable[[], int],
) -> None:
    """One connection after the other. Raises StreamError if the first server refuses us; with `until_sent` any."""
    was_connected = False
    repeats = log.Repeated(_AWAY_LINE_S)
    while not stop.is_set():
        connection: Connection | None = None
        try:
            connection = await connect(options.servers)
            await session.run(connection, stop)
        except NameTakenError:
            raise
        except StreamError as error:
            refused = not isinstance(error, StreamAwayError)
            was_connected = was_connected or bool(figures.server)
            if refused and (options.until_sent or not was_connected):
                raise  # somebody waits for the end
            reason = error.one_line() if refused else error
            if figures.server:
                log.warning("publish_disconnected", reason=reason)
                repeats = log.Repeated(_AWAY_LINE_S)
            elif (held_back := repeats.allow(time.monotonic())) is not None:
                log.warning("publish_engine_away", reason=reason, repeats=held_back)
            figures.disconnected(error, refused, clock_ms())
        else:
            return
        finally:
            if connection is not None:
                await connection.close()
        delay_s = _REFUSED_AGAIN_S if refused else random.uniform(*_AGAIN_S)  # noqa: S311 - no secret
        with suppress(TimeoutError):
            # Not asyncio.timeout: Python 3.11.2 raises CancelledError in it once anything has cancelled this task.
            await asyncio.wait_for(stop.wait(), delay_s)  # noqa: TID251 - `stop` is seen also if the wait is not


async def _report_every_second(
    options: PublishOptions, figures: Figures, notifier: Notifier, clock_ms: Callable[[], int]
) -> None:
    """Each second: publish.json, alerts and systemd; now and then a line in the log."""
    rows_before, sync = 0, DiskSync()

    def prepare() -> Callable[[], None]:
        figures.unsynced = sync.is_unsynced()
        return partial(_report, options, figures.record(clock_ms()))

    def log_summary() -> None:
        nonlocal rows_before
        now_ms = clock_ms()
        log.info(
            "publish_summary",
            connected=bool(figures.server),
            rows=figures.published_rows - rows_before,
            behind_rows=figures.behind_rows,
            ack_ms_p50=figures.ack_ms(50, now_ms),
            ack_ms_p99=figures.ack_ms(99, now_ms),
        )
        rows_before = figures.published_rows

    notifier.ready()
    if options.alerts is not None:
        options.alerts.start(f"{options.source} publish")
    await every_second(notifier, partial(_status_line, figures), prepare, log_summary, options.summary_s)


def _report(options: PublishOptions, state: PublishState) -> None:
    try:
        write_publish_state(options.state_path, text_of(state), state.pid)
    except OSError as error:
        log.warning("status_not_written", path=options.state_path, detail=error.strerror or error)
    if options.alerts is not None:
        options.alerts.update(check_publish(state, state.written_ms))


def _status_line(figures: Figures) -> str:
    if figures.server:
        return f"publishing to {figures.server}, {figures.behind_rows} ticks behind"
    return f"no NATS server: {figures.fault.one_line()}" if figures.fault else "connecting"
