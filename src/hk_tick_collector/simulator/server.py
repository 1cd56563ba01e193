"""The simulator: its sockets, its pace, and its end.

Input: a Plan and a Gateway. `async with Simulator(plan, gateway) as simulator` listens on `simulator.port` and makes
ticks in the background until the block ends. `perform` runs one step of a scenario.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import TYPE_CHECKING, Final, Self

from hk_tick_collector import log
from hk_tick_collector.errors import CollectorError, CryptoError, UsageError
from hk_tick_collector.market import day_number
from hk_tick_collector.opend.crypto import RsaCipher
from hk_tick_collector.simulator.encoding.encode import BodyEncoder
from hk_tick_collector.simulator.exchange.clock import Clock, slot_seconds, wall_ms
from hk_tick_collector.simulator.exchange.listing import listing
from hk_tick_collector.simulator.exchange.market import SyntheticMarket
from hk_tick_collector.simulator.exchange.sequences import Sequences
from hk_tick_collector.simulator.exchange.timetable import Calendar
from hk_tick_collector.simulator.faults.scenario import moments
from hk_tick_collector.simulator.faults.steps import Faults, Stage
from hk_tick_collector.simulator.gateway.account import Account
from hk_tick_collector.simulator.gateway.answers import Desk
from hk_tick_collector.simulator.gateway.conditions import Conditions
from hk_tick_collector.simulator.gateway.feed import Feed
from hk_tick_collector.simulator.gateway.listening_socket import Door
from hk_tick_collector.simulator.gateway.out_of_reach import OutOfReach
from hk_tick_collector.simulator.gateway.recent_ticks import Tape
from hk_tick_collector.simulator.gateway.session import Session
from hk_tick_collector.simulator.truth.replay import Replay, made_row
from hk_tick_collector.simulator.truth.truth import TruthFile, last_moment, read_outliers, read_rejects, read_truth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from types import TracebackType

    from hk_tick_collector.simulator.exchange.listing import Security
    from hk_tick_collector.simulator.exchange.made import MadeRow, Source
    from hk_tick_collector.simulator.faults.scenario import Line, Step

    from .plan import Gateway, Plan

_CONN_IDS: Final = 7_000_000_000_000_000_000


class Simulator:
    """An OpenD that needs no account. Raises UsageError if the truth file, the key or the port cannot be used.

    `sleep` is how scenarios wait.
    """

    def __init__(self, plan: Plan, gateway: Gateway, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._plan = plan
        self._gateway = gateway
        self._clock = Clock(_start_ms(plan), plan.speed, slot_seconds(plan.rate))
        today = day_number(self._clock.now_ms())
        securities = listing(plan.symbols, plan.seed)
        calendar = Calendar(today, plan.seed, always_open=plan.start_ms is None)
        places = {security.symbol: place for place, security in enumerate(securities)}
        self._source = _source(plan, securities, places, calendar)
        self._rsa = _rsa(gateway.rsa_pem)
        tape = Tape(securities)
        self._conditions = Conditions(refused=gateway.refused)
        self.sessions: dict[int, Session] = {}
        self._truth = TruthFile(plan.truth, plan.symbols, go_on=plan.resume) if plan.truth else None
        self._feed = Feed(
            securities,
            tape,
            bodies := BodyEncoder(securities),
            self.sessions,
            self._conditions,
            truth=self._truth,
            fills=plan.fills,
        )
        account = Account(gateway.quota, gateway.min_hold_s)
        self._desk = Desk(securities, places, self._conditions, calendar, self._clock, tape, account, bodies)
        self._stage = Stage(
            desk=self._desk,
            conditions=self._conditions,
            sessions=self.sessions,
            feed=self._feed,
            source=self._source,
            making=asyncio.Lock(),
            rng=random.Random(f"{plan.seed}/faults"),
            listen=self._listen,
            stop_listening=self._stop_listening,
            sleep=sleep,
        )
        self._faults = Faults(self._stage)
        self._out_of_reach = OutOfReach(self.sessions, self._conditions) if plan.within_window else None
        self._door = Door(gateway.host, gateway.port)
        self._next_conn_id = _first_conn_id()
        self._needed = [place for symbol, place in places.items() if symbol not in gateway.refused]
        self._subscribed = asyncio.Event()
        self._started = asyncio.Event()
        self._play: asyncio.Task[None] | None = None
        if plan.resume:
            self._resume(places, today)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._door.port

    @property
    def ticks(self) -> int:
        """Number of ticks made so far by this process."""
        return self._feed.ticks

    @property
    def pushes(self) -> int:
        """Number of pushes of ticks sent so far, over all connections."""
        return self._feed.pushes

    async def __aenter__(self) -> Self:
        """Starts to listen and to make ticks."""
        try:
            await self._listen(0)
        except UsageError:
            if self._truth:
                self._truth.close()
            raise
        log.info(
            "simulator_listening",
            host=self._gateway.host,
            port=self.port,
            symbols=len(self._plan.symbols),
            rate=self._plan.rate,
            clock="simulated" if self._clock.simulated else "wall",
            encrypted=self._rsa is not None,
        )
        self._play = asyncio.create_task(self._make_ticks(), name="make ticks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection and stops making ticks, at once."""
        await self._stop_making()
        await self._faults.close()
        for session in list(self.sessions.values()):
            session.close()
        await asyncio.sleep(0)  # lets the transports report the end to their sessions
        await self._door.close()
        if self._truth:
            self._truth.close()
        log.info("simulator_stopped", ticks=self.ticks, pushes=self.pushes)

    async def perform(self, step: Step | str) -> None:
        """Performs one step of a scenario now; see `scenario` for the steps and `Faults.perform` for its errors."""
        await self._faults.perform(step)

    async def play(self, lines: Sequence[Line]) -> None:
        """Performs a scenario; its times count from the first tick."""
        await self._started.wait()
        begun_s = time.monotonic()
        for at_s, step in moments(lines):
            await self._stage.sleep(max(0.0, begun_s + at_s - time.monotonic()))
            try:
                await self.perform(step)
            except CollectorError as error:
                log.warning("scenario_step_failed", step=step.text, reason=error.one_line())

    def stats(self) -> dict[str, object]:
        """The state of the simulator at this moment, for tests."""
        sessions = self.sessions.values()
        return {
            "ticks": self.ticks,
            "pushes": self.pushes,
            "clients": len(sessions),
            "subscribed": max((len(session.client.pushed) for session in sessions), default=0),
            "waiting_bytes": sum(session.waiting_bytes for session in sessions),
            "lasting": ",".join(self._faults.lasting) or "none",
        }

    async def finish(self, patience_s: float) -> None:
        """Makes no more ticks, and gives clients this long to read what was sent to them."""
        await self._stop_making()
        await self._door.shut()
        sessions = list(self.sessions.values())
        for session in sessions:
            session.finish()
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.gather(*(session.closed.wait() for session in sessions))
        except TimeoutError:
            log.warning("clients_left", clients=len(self.sessions), waiting_bytes=self.stats()["waiting_bytes"])

    async def started(self) -> None:
        """Returns when ticks are being made."""
        await self._started.wait()

    async def finished(self) -> None:
        """Returns when all ticks of the plan are made; raises the error if they ended early."""
        assert self._play is not None
        await asyncio.shield(self._play)

    async def _listen(self, conn_ids_apart: int) -> None:
        self._next_conn_id += conn_ids_apart
        await self._door.open(self._session)

    async def _stop_listening(self) -> None:
        await self._door.shut()

    def _session(self) -> Session:
        self._next_conn_id += 1
        return Session(
            self._desk,
            self.sessions,
            self._next_conn_id,
            rsa=self._rsa,
            buffer_bytes=self._gateway.buffer_bytes,
            on_subscribed=self._note_subscribed,
        )

    def _note_subscribed(self, session: Session) -> None:
        if session.client.pushed.issuperset(self._needed):
            self._subscribed.set()

    def _resume(self, places: dict[str, int], today: int) -> None:
        """Restores from the truth file of an earlier process: counters, windows of ticks, totals of the day."""

        def made() -> Iterator[MadeRow]:
            assert self._plan.truth is not None
            return (made_row(tick, places[tick.symbol]) for tick in read_truth(self._plan.truth))

        assert isinstance(self._source, SyntheticMarket)
        assert self._plan.truth is not None
        others: list[tuple[int, int, int | None]] = [
            *((places[symbol], seq, None) for symbol, seq in read_rejects(self._plan.truth)),
            *((places[tick.symbol], tick.seq, tick.made_ms) for tick in read_outliers(self._plan.truth)),
        ]
        self._source.resume(made(), others)
        self._feed.restore(made(), today)

    async def _stop_making(self) -> None:
        assert self._play is not None
        self._play.cancel()
        await asyncio.gather(self._play, return_exceptions=True)  # `finished` raises the error

    async def _make_ticks(self) -> None:
        """Makes the ticks of one slot after another, each when its time is over; catches up if it is late."""
        plan, clock, stage = self._plan, self._clock, self._stage
        left = plan.total
        if plan.wait:
            await self._subscribed.wait()
        clock.begin()
        for number in itertools.count():
            start_ms, end_ms = clock.slot(number)
            stage.made_until_ms = max(stage.made_until_ms, start_ms)
            self._started.set()
            await asyncio.sleep(clock.wait_s(number))
            if plan.seconds is not None and clock.slot_begins_s(number) >= plan.seconds:
                break
            async with stage.making:
                if not self._conditions.trading or (self._out_of_reach and self._out_of_reach.is_near()):
                    continue
                ticks = self._source.slot(start_ms, end_ms)
                if left is not None:
                    ticks = self._first(ticks, left)
                    left -= len(ticks)
                if ticks:
                    self._feed.publish(ticks, clock.received_s(end_ms))
                if ticks and self._out_of_reach:
                    self._out_of_reach.note(tick[0] for tick in ticks)
            if left == 0:
                break
        log.info("simulator_market_ended", ticks=self.ticks, pushes=self.pushes)

    def _first(self, ticks: Sequence[MadeRow], most: int) -> Sequence[MadeRow]:
        """Keeps the first of these ticks; the exchange takes back the others."""
        if len(ticks) > most and isinstance(self._source, SyntheticMarket):
            self._source.take_back(ticks[most:])
        return ticks[:most]


def _first_conn_id() -> int:
    """Connection ids use all of uint64's upper half, like the vendor's, and differ from process to process."""
    return _CONN_IDS + wall_ms() % 1_000_000_000 * 1_000_000


def _start_ms(plan: Plan) -> int | None:
    """The start of exchange time: when resuming, not before the last tick."""
    if plan.start_ms is None or not plan.resume:
        return plan.start_ms
    assert plan.truth is not None
    last_ms = last_moment(plan.truth, day_number(plan.start_ms))
    return plan.start_ms if last_ms is None else max(plan.start_ms, last_ms + 1)


def _source(plan: Plan, securities: Sequence[Security], places: dict[str, int], calendar: Calendar) -> Source:
    if plan.recorded is not None:
        return Replay(plan.recorded, places)
    ticks_per_ms = plan.rate / plan.speed / 1000
    sequences = Sequences(plan.symbols, plan.sequence, plan.seed)
    return SyntheticMarket(
        securities, calendar, seed=plan.seed, ticks_per_ms=ticks_per_ms, fills=plan.fills, sequences=sequences
    )


def _rsa(pem: bytes | None) -> RsaCipher | None:
    if pem is None:
        return None
    try:
        return RsaCipher(pem)
    except CryptoError as error:
        raise UsageError(str(error), hint=error.hint) from None
