"""Questions to OpenD beside the ticks: how it is, what is subscribed, which days trade.

Enters: a question. Leaves: its answer, or None and a log line. An answer that is refused, late, wrong or missing never
ends a connection: only the transport, silence, or OpenD's own word does. The question is asked again later.
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
_LOG_EVERY_S: Final = 600.0  # of one kind; how often it failed meanwhile is told


@dataclass(slots=True)
class _Kind:
    """What became of one kind of question."""

    failures: int = 0  # since the last answer
    told: bool = False  # that it fails
    answered_s: float | None = None  # by the monotonic clock
    lines: log.Repeated = field(default_factory=lambda: log.Repeated(_LOG_EVERY_S))


class Questions:
    """Asks, and remembers over all connections which kinds of questions OpenD does not answer."""

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
        """The answer, as `read` understands it; None when there is none."""
        try:
            answer = read(await transport.request(*request, limit_s))
        except CollectorError as error:
            if not transport.closed.done():  # the end of a connection is told as such
                self.failed(kind, str(error))
            return None
        self.answered(kind)
        return answer

    def failed(self, kind: str, reason: str) -> None:
        """One more question without an answer; told once, then every ten minutes with a count."""
        state = self._kinds.setdefault(kind, _Kind())
        state.failures += 1
        self._stats.questions_failed[kind] = reason
        held_back = state.lines.allow(self._now_s())
        if held_back is not None:
            state.told = True
            log.warning("question_failed", kind=kind, reason=reason, failures=state.failures, repeats=held_back)

    def answered(self, kind: str) -> None:
        """OpenD answers questions of this kind, again perhaps."""
        state = self._kinds.setdefault(kind, _Kind())
        if state.told:
            log.info("question_answered", kind=kind, failures=state.failures)
        state.failures, state.told, state.answered_s = 0, False, self._now_s()
        self._stats.questions_failed.pop(kind, None)

    def silent_s(self, kind: str) -> float:
        """For how long there has been no answer of this kind, infinity when there never was one."""
        state = self._kinds.get(kind)
        return float("inf") if state is None or state.answered_s is None else self._now_s() - state.answered_s
