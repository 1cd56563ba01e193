"""Handles OpenD's Notify messages.

Enters: notices. Leaves: the trouble in OpenDState, log lines, and calls that tell the backfill when an interruption
begins or ends. A flood of notices causes at most a few log lines a minute and one check of the symbols a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import clock, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.opend_state import OpenDState
    from hk_tick_collector.opend import messages

_AT_ONCE: Final = 5  # log lines of one kind in each interval; further notices are counted
_EVERY_S: Final = 60.0
_KINDS: Final = 30  # most kinds that are logged separately and kept as trouble; OpenD has about twenty
_OTHERS: Final = "others"
_CHECK_EVERY_S: Final = 1.0
_KICKED_OUT: Final = "kicked_out"
_RIGHT: Final = "quote_right"


class Notices:
    """Handles notices for as long as the service runs. Use it only on the event loop.

    `interrupt` is called when a notice says that OpenD may miss ticks, `check` when one says that this has ended.
    """

    def __init__(
        self,
        opend: OpenDState,
        interrupt: Callable[[str], None],
        check: Callable[[], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opend = opend
        self._interrupt = interrupt
        self._check = check
        self._now_s = now_s
        self._kinds: dict[str, log.Rationed] = {}  # kind → its limit of log lines
        self._received: int | None = None  # ticks at the first ready state after a kick-out
        self._old_right = False  # the trouble of a quote right is of an earlier connection
        self._before_right: int | None = None  # ticks at the first ready state of the connection after it
        self._interrupted = False  # `interrupt` was called, and `check` not since then
        self._check_at_s = float("-inf")  # earliest time of the next call of `check`
        self._check_timer: asyncio.TimerHandle | None = None

    def note(self, notice: messages.Notice) -> None:
        """Handles one notice."""
        trouble, kind = self._opend.trouble, notice.kind
        self._log(notice)
        if notice.healthy:
            if kind.startswith(_RIGHT):
                self._forget(rights=True)
            elif kind in ("quote_link_up", "program_ready"):
                self._forget(rights=False)
        elif kind in trouble or len(trouble) < _KINDS:
            trouble[kind] = notice.detail
            if kind.startswith(_RIGHT):
                self._old_right = False
            if kind == _KICKED_OUT:
                self._opend.was_unready, self._received = False, None
            self._opend.trouble_since_ms.setdefault(kind, clock.now_ms())
            if not self._interrupted:
                self._interrupted = True
                self._interrupt(kind)

    def serving(self) -> None:
        """OpenD answered that it can serve: all trouble has ended, except that of quote rights.

        After a kick-out OpenD may go on to answer so. Only ticks, a time in which it could not serve, or a new
        connection show that it has ended. Ticks on a new connection show that a quote right is back: OpenD may have
        been started again meanwhile, and does not report that.
        """
        opend = self._opend
        if self._old_right:
            if self._before_right is None:
                self._before_right = opend.received
            if opend.received > self._before_right:
                self._old_right = False
                self._forget(rights=True)
        if _KICKED_OUT in opend.trouble and not opend.was_unready:
            if self._received is None:
                self._received = opend.received
            if opend.received == self._received:
                self._forget(rights=False, kept=_KICKED_OUT)
                return
        self._forget(rights=False)

    def end(self) -> None:
        """The connection has ended. On the next one every symbol is checked anyway."""
        if self._check_timer is not None:
            self._check_timer.cancel()
            self._check_timer = None
        self._interrupted = False
        self._opend.was_unready = True
        self._old_right, self._before_right = any(kind.startswith(_RIGHT) for kind in self._opend.trouble), None

    def log_due(self) -> None:
        """Logs how many notices were suppressed, for each kind whose interval has ended."""
        for kind, lines in list(self._kinds.items()):
            held_back = lines.ended(self._now_s())
            if held_back is not None:
                del self._kinds[kind]
            if held_back:
                log.warning("opend_notices", kind=kind, repeats=held_back)

    def _log(self, notice: messages.Notice) -> None:
        self.log_due()
        kind = notice.kind if notice.kind in self._kinds or len(self._kinds) < _KINDS else _OTHERS
        lines = self._kinds.setdefault(kind, log.Rationed(_AT_ONCE, _EVERY_S))
        if lines.allow(self._now_s()) is None:
            return
        say = log.info if notice.healthy else log.error
        say("opend_notice", kind=notice.kind, detail=notice.detail)

    def _forget(self, *, rights: bool, kept: str = "") -> None:
        """Removes the trouble of quote rights, or all other trouble. If none is left, the symbols are checked."""
        trouble = self._opend.trouble
        over = [kind for kind in trouble if kind.startswith(_RIGHT) == rights and kind != kept]
        for kind in over:
            del trouble[kind]
            self._opend.trouble_since_ms.pop(kind, None)
        if over and not trouble and self._check_timer is None:
            wait_s = self._check_at_s - self._now_s()
            if wait_s > 0:  # the last check was a moment ago
                self._check_timer = asyncio.get_running_loop().call_later(wait_s, self._check_now)
            else:
                self._check_now()

    def _check_now(self) -> None:
        self._check_timer = None
        if self._opend.trouble:
            return  # new trouble began meanwhile; OpenD will report its end too
        self._interrupted = False
        self._check_at_s = self._now_s() + _CHECK_EVERY_S
        self._check()
