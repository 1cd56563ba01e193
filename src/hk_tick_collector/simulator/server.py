"""The simulator: its sockets, its pace, and its end.

Enters: a Plan and a Gateway. `async with Simulator(plan, gateway) as simulator` listens on `simulator.port` and makes
ticks in the background until the block ends.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
from typing import TYPE_CHECKING, Final, Self

from hk_tick_collector import log
from hk_tick_collector.errors import CryptoError, UsageError
from hk_tick_collector.market import day_number
from hk_tick_collector.opend.crypto import RsaCipher

from .account import Account
from .answers import Desk
from .clock import Clock, slot_seconds
from .encode import BodyEncoder
from .feed import Feed
from .listing import listing
from .market import SyntheticMarket
from .replay import Replay
from .session import Session
from .tape import Tape
from .timetable import Calendar
from .truth import TruthFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from .listing import Security
    from .market import Source
    from .plan import Gateway, Plan

_FIRST_CONN_ID: Final = 7_000_000_000_000_000_001  # connection ids need all of uint64's upper half, as the vendor's do


class Simulator:
    """An OpenD that needs no account. Raises UsageError when the truth file, the key or the port cannot be used."""

    def __init__(self, plan: Plan, gateway: Gateway) -> None:
        self._plan = plan
        self._gateway = gateway
        self._clock = Clock(plan.start_ms, plan.speed, slot_seconds(plan.rate))
        securities = listing(plan.symbols, plan.seed)
        calendar = Calendar(day_number(self._clock.now_ms()), plan.seed, always_open=plan.start_ms is None)
        places = {security.symbol: place for place, security in enumerate(securities)}
        self._source = _source(plan, securities, places, calendar)
        self._rsa = _rsa(gateway.rsa_pem)
        self._truth = TruthFile(plan.truth, plan.symbols) if plan.truth else None
        tape, bodies = Tape(securities), BodyEncoder(securities)
        self._tape = tape
        self._feed = Feed(securities, tape, bodies, truth=self._truth, fills=plan.fills)
        account = Account(gateway.quota, gateway.min_hold_s)
        self._desk = Desk(securities, places, gateway.refused, calendar, self._clock, tape, account, bodies)
        self.sessions: dict[int, Session] = {}
        self._conn_ids = itertools.count(_FIRST_CONN_ID)
        self._server: asyncio.Server | None = None
        self._needed = [place for symbol, place in places.items() if symbol not in gateway.refused]
        self._subscribed = asyncio.Event()
        self._started = asyncio.Event()
        self._play: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def ticks(self) -> int:
        """How many ticks were made so far."""
        return self._tape.made

    @property
    def pushes(self) -> int:
        """How many pushes of made ticks were sent so far, over all connections."""
        return self._feed.pushes

    async def __aenter__(self) -> Self:
        """Listens, and begins to make ticks."""
        gateway = self._gateway
        try:
            self._server = await asyncio.get_running_loop().create_server(self._session, gateway.host, gateway.port)
        except OSError as error:
            if self._truth:
                self._truth.close()
            raise _cannot_listen(gateway, error) from None
        log.info(
            "simulator_listening",
            host=gateway.host,
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
        """Ends every connection and the making of ticks, at once."""
        assert self._server is not None
        assert self._play is not None
        self._play.cancel()
        await asyncio.gather(self._play, return_exceptions=True)  # `finished` tells what went wrong
        self._server.close()
        for session in list(self.sessions.values()):
            session.close()
        await asyncio.sleep(0)  # lets the transports tell their sessions
        await self._server.wait_closed()
        if self._truth:
            self._truth.close()
        log.info("simulator_stopped", ticks=self.ticks, pushes=self.pushes)

    async def started(self) -> None:
        """Returns once ticks are being made."""
        await self._started.wait()

    async def finished(self) -> None:
        """Returns once the plan's ticks are all made; raises what ended their making too early."""
        assert self._play is not None
        await asyncio.shield(self._play)

    def _session(self) -> Session:
        return Session(
            self._desk,
            self.sessions,
            next(self._conn_ids),
            rsa=self._rsa,
            buffer_bytes=self._gateway.buffer_bytes,
            on_subscribed=self._note_subscribed,
        )

    def _note_subscribed(self, session: Session) -> None:
        if session.client.pushed.issuperset(self._needed):
            self._subscribed.set()

    async def _make_ticks(self) -> None:
        """Makes the ticks of one slot after the other, each when it is over, and catches up when late."""
        plan, clock = self._plan, self._clock
        if plan.wait:
            await self._subscribed.wait()
        clock.begin()
        self._started.set()
        for number in itertools.count():
            await asyncio.sleep(clock.wait_s(number))
            if plan.seconds is not None and clock.slot_begins_s(number) >= plan.seconds:
                break
            start_ms, end_ms = clock.slot(number)
            ticks = self._source.slot(start_ms, end_ms)
            if plan.total is not None:
                ticks = ticks[: plan.total - self._tape.made]
            if ticks:
                self._feed.publish(ticks, clock.received_s(end_ms), list(self.sessions.values()))
            if plan.total is not None and self._tape.made >= plan.total:
                break
        log.info("simulator_market_ended", ticks=self.ticks, pushes=self.pushes)


def _source(plan: Plan, securities: Sequence[Security], places: dict[str, int], calendar: Calendar) -> Source:
    if plan.recorded is not None:
        return Replay(plan.recorded, places)
    ticks_per_ms = plan.rate / plan.speed / 1000
    return SyntheticMarket(securities, calendar, seed=plan.seed, ticks_per_ms=ticks_per_ms, fills=plan.fills)


def _rsa(pem: bytes | None) -> RsaCipher | None:
    if pem is None:
        return None
    try:
        return RsaCipher(pem)
    except CryptoError as error:
        raise UsageError(str(error), hint=error.hint) from None


def _cannot_listen(gateway: Gateway, error: OSError) -> UsageError:
    where = f"{gateway.host}:{gateway.port}"
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"{where} is taken", hint="stop what listens there, or give another port (0 takes a free one)"
        )
    return UsageError(f"cannot listen on {where} ({error.strerror})", hint="give an address of this host")
