"""Requests to OpenD that are not for ticks: its state, the subscriptions, the trading days.

Enters: a request. Leaves: its answer, or None and a log line. A refused, late, wrong or missing answer does not end the
connection; the request is sent again later. A connection ends only because of the transport, of
OpenD itself, or of a silence of OpenD.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from hk_tick_collector import log
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.opend.protocol import REQUEST_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from hk_tick_collector.stats import Stats

    from .transport import Transport

    T = TypeVar("T")

STATE: Final = "GetGlobalState"
SUBSCRIBE: Final = "Sub"
SUB_INFO: Final = "GetSubInfo"
CALENDAR: Final = "RequestTradeDate"
_LOG_EVERY_S: Final = 600.0  # between log lines about one kind
# Requests that a session can do without. If connections end during one, it is left out for a time: an OpenD that closes
# the connection because of it would otherwise never deliver a tick.
_MAY_BE_LEFT_OUT: Final = frozenset({SUB_INFO, CALENDAR})
_ENDINGS: Final = 3  # in a row
_LEFT_OUT_S: Final = 600.0


@dataclass(slots=True)
class _Kind:
    """The state of one kind of request."""

    failures: int = 0  # since the last answer
    is_logged: bool = False  # the failure was logged
    answered_s: float | None = None  # time of the last answer, monotonic
    endings: int = 0  # connections in a row that ended before the answer
    left_out_until_s: float = float("-inf")
    lines: log.Repeated = field(default_factory=lambda: log.Repeated(_LOG_EVERY_S))


class Questions:
    """Sends requests, and keeps for all connections which kinds of requests OpenD does not answer."""

    def __init__(self, stats: Stats, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stats = stats
        self._now_s = now_s
        self._kinds: dict[str, _Kind] = {}

    async def ask(
        self,
        transport: Transport,
        kind: str,
        request: tuple[int, Message],
        read: Callable[[bytes], T],
        limit_s: float = REQUEST_TIMEOUT_S,
    ) -> T | None:
        """Sends a request. Returns the answer as decoded by `read`; None when there is none."""
        state = self._kinds.setdefault(kind, _Kind())
        if self._now_s() < state.left_out_until_s:
            return None
        try:
            answer = read(await transport.request(*request, limit_s))
        except CollectorError as error:
            if not transport.closed.done():  # the end of a connection is logged elsewhere
                self.failed(kind, str(error))
            elif kind in _MAY_BE_LEFT_OUT:
                self._note_ending(kind, state)
            return None
        self.answered(kind)
        return answer

    def failed(self, kind: str, reason: str) -> None:
        """Counts a failed request. Logs the first failure, then one line every ten minutes with a count."""
        state = self._kinds.setdefault(kind, _Kind())
        state.failures += 1
        self._stats.questions_failed[kind] = reason
        held_back = state.lines.allow(self._now_s())
        if held_back is not None:
            state.is_logged = True
            log.warning("question_failed", kind=kind, reason=reason, failures=state.failures, repeats=held_back)

    def answered(self, kind: str) -> None:
        """OpenD answered a request of this kind. Logged if failures were logged before."""
        state = self._kinds.setdefault(kind, _Kind())
        if state.is_logged:
            log.info("question_answered", kind=kind, failures=state.failures)
        state.failures, state.is_logged, state.answered_s, state.endings = 0, False, self._now_s(), 0
        self._stats.questions_failed.pop(kind, None)

    def _note_ending(self, kind: str, state: _Kind) -> None:
        state.endings += 1
        if state.endings >= _ENDINGS:
            state.left_out_until_s = self._now_s() + _LEFT_OUT_S
            state.endings = _ENDINGS - 1  # the next ending is enough
            self.failed(kind, "the connection ended before the answer")

    def silent_s(self, kind: str) -> float:
        """How long ago the last answer of this kind was; infinity if there was none."""
        state = self._kinds.get(kind)
        return float("inf") if state is None or state.answered_s is None else self._now_s() - state.answered_s
