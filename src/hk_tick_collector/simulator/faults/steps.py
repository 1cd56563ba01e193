"""What each step of a scenario does to a running simulator.

A fault is a function of the Stage and the step's arguments. One that lasts returns a function that ends it. The step's
arguments, and whether it lasts, are defined in `scenario.STEPS`; a test compares the two tables.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hk_tick_collector import log
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.market import DAY_MS
from hk_tick_collector.opend.messages import SUB_TYPE_TICKER
from hk_tick_collector.simulator.encoding import wrong_bytes
from hk_tick_collector.simulator.encoding.notices import RIGHTS_WITHOUT_PUSHES, notice, program_notice, program_number
from hk_tick_collector.simulator.exchange.market import SyntheticMarket
from hk_tick_collector.simulator.gateway.account import Subscription
from hk_tick_collector.simulator.gateway.conditions import Reply, ReplyFault

from . import ticker_faults
from .scenario import ALL, MARKET_STATES, MESSAGES, STEPS, Step, parse_step
from .ticker_faults import TICKER_FAULTS

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from hk_tick_collector.simulator.exchange.made import Source
    from hk_tick_collector.simulator.gateway.answers import Desk
    from hk_tick_collector.simulator.gateway.conditions import Conditions
    from hk_tick_collector.simulator.gateway.feed import Feed
    from hk_tick_collector.simulator.gateway.session import Session

Undo: TypeAlias = "Callable[[], Awaitable[None] | None]"

_TRICKLE_EVERY_S: Final = 1.0
_BURST_ROWS: Final = 2_000  # published at once; between such groups other tasks run
_CONN_IDS_APART: Final = 1_000_000  # an OpenD that starts again numbers its connections from here


@dataclass(slots=True)
class Stage:
    """The objects that faults act upon. `listen` and `stop_listening` open and close OpenD's port."""

    desk: Desk
    conditions: Conditions
    sessions: dict[int, Session]
    feed: Feed
    source: Source
    making: asyncio.Lock  # held while ticks are made, so that they are in the order of their counters
    rng: random.Random
    listen: Callable[[int], Awaitable[None]]  # the step by which connection numbers jump
    stop_listening: Callable[[], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]
    made_until_ms: int = 0  # no tick of an earlier moment will be made; 0 before the first

    def connected(self) -> list[Session]:
        """The open sessions; CollectorError if there is none."""
        sessions = list(self.sessions.values())
        if not sessions:
            raise CollectorError("no client is connected")
        return sessions

    def listeners(self) -> list[int]:
        """The positions in the listing that some client is subscribed to; CollectorError if there is none."""
        places = set().union(*(session.client.pushed for session in self.sessions.values()))
        if not places:
            raise CollectorError("no client is subscribed")
        return sorted(places)

    def synthetic(self) -> SyntheticMarket:
        """The market, which can make additional ticks; CollectorError if there is none."""
        if not isinstance(self.source, SyntheticMarket):
            raise CollectorError("a recorded day has no additional ticks")
        if not self.made_until_ms:
            raise CollectorError("the market has not begun")
        return self.source

    def notify(self, body: bytes) -> None:
        """Sends a notice to every client."""
        for session in list(self.sessions.values()):
            session.notify(body)


class Faults:
    """Performs steps, and ends those that last."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._undo: dict[str, Undo] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    @property
    def lasting(self) -> list[str]:
        """The steps that last at this moment."""
        return list(self._undo)

    async def perform(self, step: Step | str) -> None:
        """Performs a step and returns when it is done; a step that lasts ends later.

        Raises UsageError for an invalid step, CollectorError for one that is impossible at this moment.
        """
        if isinstance(step, str):
            step = parse_step(step)
        log.warning("scenario_step", step=step.text)
        if step.name == "end":
            await self._end(list(self._undo) if step.arguments[0] == ALL else [str(step.arguments[0])])
            return
        await self._end([step.name])
        undo = FAULTS[step.name](self._stage, *step.arguments)
        if inspect.isawaitable(undo):
            undo = await undo
        if undo is not None:
            self._undo[step.name] = undo
            if step.for_s is not None:
                timer = self._end_later(step.name, step.for_s)
                self._timers[step.name] = asyncio.create_task(timer, name=f"end {step.name}")

    async def close(self) -> None:
        """Forgets the steps that last, without ending them."""
        timers = list(self._timers.values())
        for timer in timers:
            timer.cancel()
        await asyncio.gather(*timers, return_exceptions=True)

    async def _end_later(self, name: str, after_s: float) -> None:
        await self._stage.sleep(after_s)
        del self._timers[name]  # this task, which must not cancel itself
        log.warning("scenario_step", step=f"end {name}")
        try:
            await self._end([name])
        except CollectorError as error:
            log.error("scenario_step_failed", step=f"end {name}", reason=error.one_line())

    async def _end(self, names: Sequence[str]) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer:
                timer.cancel()
            undo = self._undo.pop(name, None)
            ending = undo() if undo else None
            if ending is not None:
                await ending


# ---- connections ----


def _cut(stage: Stage) -> None:
    for session in stage.connected():
        session.cut("scenario")


def _cut_mid_frame(stage: Stage) -> None:
    for session in stage.connected():
        session.cut_in_next_write(wrong_bytes.within_first_frame)


def _cut_mid_burst(stage: Stage) -> None:
    for session in stage.connected():
        session.cut_in_next_write(wrong_bytes.between_frames)


def _cut_during_backfill(stage: Stage) -> None:
    stage.conditions.cut_next_ticker = True


async def _away(stage: Stage) -> Undo:
    await stage.stop_listening()
    for session in list(stage.sessions.values()):
        session.cut("scenario")
    return lambda: stage.listen(_CONN_IDS_APART)


def _half_open(stage: Stage) -> None:
    for session in stage.connected():
        session.freeze()


def _trickle(stage: Stage, size: int) -> Undo:
    stage.conditions.trickle = True

    async def let_out() -> None:
        while True:
            await stage.sleep(_TRICKLE_EVERY_S)
            for session in list(stage.sessions.values()):
                session.let_out(size)

    task = asyncio.create_task(let_out(), name="trickle")

    def undo() -> None:
        task.cancel()
        stage.conditions.trickle = False
        for session in list(stage.sessions.values()):
            session.let_out()

    return undo


# ---- subscriptions ----


def _places(stage: Stage, symbols: Sequence[str]) -> set[int]:
    """The positions of symbols in the listing; all if none is given."""
    places = stage.desk.places
    unknown = [symbol for symbol in symbols if symbol not in places]
    if unknown:
        raise CollectorError(f"{unknown[0]} is not simulated")
    return {places[symbol] for symbol in symbols} if symbols else set(places.values())


def _stop_pushes(stage: Stage, symbols: Sequence[str]) -> Undo:
    places = _places(stage, symbols)
    stopped = [(session, session.client.pushed & places) for session in stage.connected()]
    for session, lost in stopped:
        session.client.pushed -= lost

    def undo() -> None:
        for session, lost in stopped:
            if session.client.conn_id in stage.sessions:
                held = stage.desk.account.held(session.client.conn_id)
                session.client.pushed |= {place for place in lost if Subscription(place, SUB_TYPE_TICKER) in held}

    return undo


def _lose_subscriptions(stage: Stage, symbols: Sequence[str]) -> None:
    places = _places(stage, symbols)
    for session in stage.connected():
        session.client.pushed -= places
    stage.desk.account.lose(places)


def _set(name: str) -> Callable[[Stage, Any], Undo]:
    """A fault that sets one of the Conditions to its argument."""

    def fault(stage: Stage, value: Any) -> Undo:
        before = getattr(stage.conditions, name)
        setattr(stage.conditions, name, value)
        return lambda: setattr(stage.conditions, name, before)

    return fault


def _switch(name: str, value: bool) -> Callable[[Stage], Undo]:
    """A fault that sets one of the Conditions to a fixed value."""
    fault = _set(name)
    return lambda stage: fault(stage, value)


def _refuse(stage: Stage, symbols: Sequence[str]) -> Undo:
    return _set("refused")(stage, stage.conditions.refused | set(symbols))


def _suspend(stage: Stage, symbols: Sequence[str]) -> Undo:
    return _set("suspended")(stage, stage.conditions.suspended | set(symbols))


def _quota(stage: Stage, quota: int) -> Undo:
    account = stage.desk.account
    before, account.quota = account.quota, quota

    def undo() -> None:
        account.quota = before

    return undo


# ---- invalid bytes ----


def _garbage(stage: Stage, size: int) -> None:
    for session in stage.connected():
        session.write(stage.rng.randbytes(size))


def _wrong(name: str) -> Callable[[Stage], None]:
    def fault(stage: Stage) -> None:
        for session in stage.connected():
            if name in wrong_bytes.WRONG_FRAMES:
                session.write(wrong_bytes.WRONG_FRAMES[name])
            for message in wrong_bytes.WRONG_MESSAGES.get(name, ()):
                session.send(*message)

    return fault


# ---- requests ----


def _reply_fault(stage: Stage, message: str, fault: ReplyFault) -> Undo:
    proto_id = MESSAGES[message]
    stage.conditions.replies[proto_id] = fault

    def undo() -> None:
        if stage.conditions.replies.get(proto_id) is fault:
            del stage.conditions.replies[proto_id]

    return undo


def _no_reply(stage: Stage, message: str, number: int | None = None) -> Undo:
    return _reply_fault(stage, message, ReplyFault(Reply.NONE, number))


def _slow_reply(stage: Stage, message: str, delay_s: float, number: int | None = None) -> Undo:
    return _reply_fault(stage, message, ReplyFault(Reply.SLOW, number, delay_s))


def _fail_reply(stage: Stage, message: str, number: int | None = None) -> Undo:
    return _reply_fault(stage, message, ReplyFault(Reply.REFUSED, number))


# ---- answers to GetTicker ----


def _ticker(name: str, *, has_value: bool) -> Callable[..., Undo]:
    def fault(stage: Stage, symbols: Sequence[str], *numbers: float) -> Undo:
        value, *left = numbers if has_value else (0.0, *numbers)
        places = frozenset(_places(stage, symbols))
        if name == "ticker-other-symbol" and len(stage.desk.securities) == 1:
            raise CollectorError("there is no other symbol")
        return ticker_faults.begin(name, stage.desk, stage.rng, places, value, int(left[0]) if left else None)

    return fault


# ---- OpenD's notices about itself ----


def _notify(stage: Stage, kind: str) -> None:
    stage.connected()
    stage.notify(notice(kind))


def _without_quotes(stage: Stage) -> Callable[[], None]:
    """Stops ticks and quotes. The returned function ends this; OpenD then pushes a part of the missed ticks."""
    conditions = stage.conditions
    conditions.logged_in, conditions.pushes_stop = False, True

    def back() -> None:
        conditions.logged_in, conditions.pushes_stop = True, False
        stage.feed.refill()

    return back


def _lost(first_notice: str) -> Callable[[Stage], Undo]:
    """OpenD reports that it has no quotes any more, and later that it has them again."""

    def fault(stage: Stage) -> Undo:
        stage.notify(notice(first_notice))
        back = _without_quotes(stage)

        def undo() -> None:
            stage.notify(notice("quote-link-up"))
            back()

        return undo

    return fault


def _quote_right(stage: Stage, right: str) -> Undo:
    stage.notify(notice(f"quote-right-{right}"))
    stage.conditions.pushes_stop = right in RIGHTS_WITHOUT_PUSHES

    def undo() -> None:
        stage.conditions.pushes_stop = False
        stage.notify(notice("quote-right-level2"))
        stage.feed.refill()

    return undo


def _program(stage: Stage, word: str) -> Undo:
    number = program_number(word)
    undo_state = _set("program")(stage, number)
    back = _without_quotes(stage)
    stage.notify(program_notice(number))

    def undo() -> None:
        undo_state()
        stage.notify(program_notice(stage.conditions.program))
        back()

    return undo


def _clock(stage: Stage, shift_s: float) -> Undo:
    return _set("clock_offset_ms")(stage, int(shift_s * 1000))


def _market_state(stage: Stage, state: str) -> Undo:
    return _set("market_state")(stage, MARKET_STATES[state])


# ---- ticks ----


async def _burst(stage: Stage, number: int) -> None:
    await _make(stage, number, last_first=False)


async def _out_of_order(stage: Stage, number: int) -> None:
    await _make(stage, number, last_first=True)


async def _make(stage: Stage, number: int, *, last_first: bool) -> None:
    synthetic = stage.synthetic()
    async with stage.making:
        moment_ms = stage.made_until_ms
        ticks = synthetic.burst(number, moment_ms)
        portion = len(ticks) if last_first else _BURST_ROWS
        for start in range(0, len(ticks), portion):
            stage.feed.publish(ticks[start : start + portion], moment_ms / 1000, last_first=last_first)
            await asyncio.sleep(0)


def _duplicate(stage: Stage, number: int) -> None:
    stage.listeners()
    stage.feed.repeat(number)


async def _late(stage: Stage, number: int) -> None:
    await _odd(stage, ["yesterday"] * number)


async def _bad_ticks(stage: Stage, kinds: Sequence[str]) -> None:
    await _odd(stage, kinds)


async def _odd(stage: Stage, kinds: Sequence[str]) -> None:
    """One odd tick of each kind, of the subscribed securities in turn."""
    synthetic, places = stage.synthetic(), stage.listeners()
    async with stage.making:
        for number, kind in enumerate(kinds):
            stage.feed.publish_odd(kind, synthetic, places[number % len(places)], stage.made_until_ms)


async def _late_report(stage: Stage, symbols: Sequence[str], ago_s: float) -> None:
    await _outliers(stage, symbols, -int(ago_s * 1000))


async def _wrong_date(stage: Stage, symbols: Sequence[str], days: int) -> None:
    await _outliers(stage, symbols, days * DAY_MS)


async def _outliers(stage: Stage, symbols: Sequence[str], off_ms: int) -> None:
    """One tick of each symbol, made now, with another time."""
    synthetic, places = stage.synthetic(), sorted(_places(stage, symbols))
    async with stage.making:
        for place in places:
            stage.feed.publish_outlier(synthetic, place, stage.made_until_ms, stage.made_until_ms + off_ms)


async def _restart_sequence(stage: Stage, symbols: Sequence[str]) -> None:
    synthetic, places = stage.synthetic(), _places(stage, symbols)
    async with stage.making:
        synthetic.restart_counters(places, stage.made_until_ms)


FAULTS: Final[dict[str, Callable[..., Any]]] = {
    "cut": _cut,
    "cut-mid-frame": _cut_mid_frame,
    "cut-mid-burst": _cut_mid_burst,
    "cut-during-backfill": _cut_during_backfill,
    "away": _away,
    "mute": _switch("mute", True),
    "half-open": _half_open,
    "trickle": _trickle,
    "stop-pushes": _stop_pushes,
    "lose-subscriptions": _lose_subscriptions,
    "refuse": _refuse,
    "suspend": _suspend,
    "quota": _quota,
    "no-first-push": _switch("first_push", False),
    "window": _set("window_rows"),
    "garbage": _garbage,
    **{name: _wrong(name) for name in (*wrong_bytes.WRONG_FRAMES, *wrong_bytes.WRONG_MESSAGES)},
    "no-reply": _no_reply,
    "slow-reply": _slow_reply,
    "fail-reply": _fail_reply,
    **{name: _ticker(name, has_value=len(STEPS[name].reads) > 2) for name in TICKER_FAULTS},
    "notify": _notify,
    "kicked-out": _lost("kicked-out"),
    "quote-link-lost": _lost("quote-link-lost"),
    "quote-right": _quote_right,
    "program": _program,
    "not-logged-in": _without_quotes,
    "clock": _clock,
    "market-state": _market_state,
    "pause": _switch("paused", True),
    "burst": _burst,
    "duplicate": _duplicate,
    "out-of-order": _out_of_order,
    "late": _late,
    "late-report": _late_report,
    "wrong-date": _wrong_date,
    "restart-sequence": _restart_sequence,
    "bad-ticks": _bad_ticks,
}
