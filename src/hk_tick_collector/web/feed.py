"""The one reader behind all browsers: each second a Moment, rendered once for each language. It changes nothing.

Enters: `status.json`, counters of the day file, what `status` finds. Leaves: parts of the view *Now*, on a Board for
each language.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import clock, log, market
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.findings.ordering import worst
from hk_tick_collector.ops.findings.words import LANGUAGES
from hk_tick_collector.store.query import path_of

from .board import Board
from .busiest import STEP_S, Busiest, count_rows
from .history import FOLDS, Hour
from .judging import judged, no_report
from .live_file import LiveFile
from .moment import Moment
from .reading import StillHeldError
from .today import Today

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.ops.live.status import LiveStatus

    from .live_file import Read
    from .site import Examination, Site

_SECOND: Final = 1.0
_EXAMINE_S: Final = 10.0  # while somebody looks
_EXAMINE_SILENT_S: Final = 2.0  # while somebody looks and no service reports: only this says why, and for how long
_EXAMINE_IDLE_S: Final = 60.0
_FIRST_EVERY_S: Final = 0.02
_FIRST_READS: Final = 100
_UNREAD_S: Final = 3.0  # a reader that has not come back for so long waits for the disk
_SESSIONS: Final = frozenset({"auction", "morning", "afternoon", "closing_auction"})
_LOG_EVERY_S: Final = 600.0
_LOG: Final = "sudo journalctl -u hk-tick-collector-web -n 50 --no-pager"


class Feed:
    """Runs while the server runs. `render` makes the parts of the view, given a language and a Moment."""

    def __init__(
        self, site: Site, render: Callable[[str, Moment], dict[str, str]], is_watched: Callable[[], bool]
    ) -> None:
        self._site = site
        self._render = render
        self._is_watched = is_watched
        self.boards = {lang: Board() for lang in LANGUAGES}
        self._file = LiveFile(site.data_root)
        self._hour = Hour(time.monotonic())
        self._today = Today()
        self._busiest = Busiest()
        self._started_ms = clock.now_ms()
        self._examined: Examination | None = None
        self._unexamined = ""
        self._examined_s = 0.0  # when, by a monotonic clock
        self._wanted = asyncio.Event()  # an examination, now
        self._bugs = log.Repeated(_LOG_EVERY_S)
        self.moment: Moment | None = None

    async def begin(self) -> None:
        """Reads for the first time, so that the first page has something to show; waits a moment at most."""
        self._file.start()
        for _ in range(_FIRST_READS):
            if not self._file.latest.is_first:
                break
            await asyncio.sleep(_FIRST_EVERY_S)
        self._turn()

    async def run(self) -> None:
        """Until it is cancelled; after `begin`."""
        tasks = [asyncio.create_task(each) for each in (self._examine(), self._count())]
        try:
            while True:
                await asyncio.sleep(_SECOND - time.monotonic() % _SECOND)
                self._turn()
        finally:
            self._file.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def look(self, now_s: float) -> None:
        """Somebody begins to look; `now_s` is a monotonic clock. What was found while nobody did may be too old."""
        if now_s - self._examined_s > _EXAMINE_S:
            self._wanted.set()

    def close(self) -> None:
        """Ends the streams of all browsers."""
        for board in self.boards.values():
            board.close()

    def _turn(self) -> None:
        try:
            self.moment = moment = self._observe(time.monotonic())
            for lang, board in self.boards.items():
                board.publish(about(moment), self._render(lang, moment))
        except Exception:  # noqa: BLE001 - the boundary of a second: the next one is tried
            if (repeats := self._bugs.allow(time.monotonic())) is not None:
                log.bug("web_failed", repeats=repeats)

    def _observe(self, now_s: float) -> Moment:
        read, now_ms, site = self._file.latest, clock.now_ms(), self._site
        silent = no_report(read, now_ms)
        if self._examined is not None and self._examined.silent != silent:
            self._wanted.set()
        findings = judged(read, self._examined, now_ms, site.limits)
        self._hour.add(now_s, {} if silent else figures_of(read, now_ms))
        self._today.add(now_ms, findings)
        unread_s = now_s - read.at_s
        return Moment(
            now_ms=now_ms,
            started_ms=self._started_ms,
            live=read.live,
            silent=silent,
            unread_s=unread_s if unread_s > _UNREAD_S else 0.0,
            findings=findings,
            examined=self._examined,
            unexamined=self._unexamined,
            hour={name: self._hour.series(name, now_s) for name in FOLDS},
            known_s=self._hour.known_s(now_s),
            busiest=self._busiest.top(),
            counted_s=self._busiest.known_s,
            episodes=self._today.episodes,
            dropped=self._today.dropped,
        )

    async def _examine(self) -> None:
        """What `status` finds: rarely while nobody looks, more often while somebody does, most often while no service
        reports; and at once when somebody begins to look or the service falls silent.
        """
        failures = log.Repeated(_LOG_EVERY_S)
        while True:
            self._wanted.clear()
            try:
                self._examined = await self._site.reading.call(self._site.examine)
                self._examined_s = time.monotonic()
                self._unexamined = ""
            except StillHeldError as error:  # what the last one found is still true
                self._unexamined = "" if self._examined else error.one_line()
            except CollectorError as error:  # settings that are wrong now: the live state is still judged
                self._examined = None
                self._unexamined = error.one_line()
            except Exception:  # noqa: BLE001 - the boundary of an examination: the next one is tried
                self._examined = None
                self._unexamined = CollectorError("a bug in this program", hint=_LOG).one_line()
                if (repeats := failures.allow(time.monotonic())) is not None:
                    log.bug("web_examination_failed", repeats=repeats)
            pause_s = _EXAMINE_S if self._is_watched() or self._examined is None else _EXAMINE_IDLE_S
            if self._is_watched() and self._examined and self._examined.silent:
                pause_s = _EXAMINE_SILENT_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            await asyncio.sleep(_SECOND)  # not more often, also while the service comes and goes

    async def _count(self) -> None:
        """The ticks of each symbol, every ten seconds."""
        while True:
            live = self._file.latest.live
            day = (live.newest_day if live else "") or market.day_name(market.day_number(clock.now_ms()))
            try:
                path = path_of(self._site.data_root, day)
                self._busiest.add(day, await self._site.reading.read(partial(count_rows, path), path))
            except CollectorError:  # no file yet, or one that cannot be read: the findings say so
                self._busiest.add(day, None)
            except Exception:  # noqa: BLE001 - the boundary of a count: the next one is tried
                log.bug("web_count_failed")
            await asyncio.sleep(STEP_S - time.monotonic() % STEP_S)


def figures_of(read: Read, now_ms: int) -> dict[str, float | None]:
    """The figures of one second, for the last hour."""
    live = read.live
    if live is None:
        return {}
    return {
        "rate": live.rows_per_s[-1] if live.rows_per_s else None,
        "lag": lag_s(live, now_ms),
        "commit": live.commit_ms_p99,
        "queue": live.waiting,
        "spool": live.spooled,
        "disk": live.disk_free_mb,
    }


def lag_s(live: LiveStatus, now_ms: int) -> float | None:
    """The age of the newest stored tick; None outside the market's sessions, where it says nothing.

    While OpenD is away, the last market state that it reported is used, so that the page shows the lag growing.
    """
    if live.newest_ts_ms is None or live.market_state not in _SESSIONS:
        return None
    return max(0.0, (now_ms - live.newest_ts_ms) / 1000)


def about(moment: Moment) -> dict[str, Any]:
    """What goes with each frame: the time by this host's clock, as text, because a browser's own clock may be wrong."""
    severity = worst(moment.findings).name
    return {"time": f"{market.hkt(moment.now_ms):%H:%M:%S}", "severity": severity}
