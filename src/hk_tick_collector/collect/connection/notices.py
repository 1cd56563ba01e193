"""What OpenD tells of itself by Notify, and what follows from it.

Enters: notices. Leaves: what is wrong in OpenDState, log lines, word to the backfill that ticks may pass us by, or
that they no longer do. A flood of notices costs a few lines a minute and one look a second, whatever they say.
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

_AT_ONCE: Final = 5  # lines of a kind in each interval; the other notices are counted
_EVERY_S: Final = 60.0
_KINDS: Final = 30  # told apart, and remembered as trouble; OpenD has some twenty
_OTHERS: Final = "others"
_LOOK_EVERY_S: Final = 1.0


class Notices:
    """Takes notices, for as long as the service runs. To be used within the event loop.

    `interrupt` is called when OpenD says that ticks may pass us by, `look` when it says that this is over.
    """

    def __init__(
        self,
        opend: OpenDState,
        interrupt: Callable[[str], None],
        look: Callable[[], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opend = opend
        self._interrupt = interrupt
        self._look = look
        self._now_s = now_s
        self._kinds: dict[str, log.Rationed] = {}  # what may be told of each
        self._interrupted = False  # and not looked since
        self._look_at_s = float("-inf")  # not before
        self._looking: asyncio.TimerHandle | None = None

    def note(self, notice: messages.Notice) -> None:
        """Takes one notice."""
        trouble, kind = self._opend.trouble, notice.kind
        self._log(notice)
        if notice.healthy:
            if kind.startswith("quote_right"):
                self._forget(rights=True)
            elif kind in ("quote_link_up", "program_ready"):
                self._forget(rights=False)
        elif kind in trouble or len(trouble) < _KINDS:
            trouble[kind] = notice.detail
            self._opend.trouble_since_ms.setdefault(kind, clock.now_ms())
            if not self._interrupted:
                self._interrupted = True
                self._interrupt(kind)

    def serving(self) -> None:
        """OpenD answers that it can serve: what it told before is over, but for its rights."""
        self._forget(rights=False)

    def end(self) -> None:
        """The connection is over: all that is known of it is asked anew on the next one."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._interrupted = False

    def tell(self) -> None:
        """Logs how many notices were held back, where that is due."""
        for kind, lines in list(self._kinds.items()):
            held_back = lines.ended(self._now_s())
            if held_back is not None:
                del self._kinds[kind]
            if held_back:
                log.warning("opend_notices", kind=kind, repeats=held_back)

    def _log(self, notice: messages.Notice) -> None:
        self.tell()
        kind = notice.kind if notice.kind in self._kinds or len(self._kinds) < _KINDS else _OTHERS
        lines = self._kinds.setdefault(kind, log.Rationed(_AT_ONCE, _EVERY_S))
        if lines.allow(self._now_s()) is None:
            return
        say = log.info if notice.healthy else log.error
        say("opend_notice", kind=notice.kind, detail=notice.detail)

    def _forget(self, *, rights: bool) -> None:
        """OpenD says that its quote right is back, or that all else is well: what passed us by is asked for."""
        trouble = self._opend.trouble
        over = [kind for kind in trouble if kind.startswith("quote_right") == rights]
        for kind in over:
            del trouble[kind]
            self._opend.trouble_since_ms.pop(kind, None)
        if over and not trouble and self._looking is None:
            wait_s = self._look_at_s - self._now_s()
            if wait_s > 0:  # it was told a moment ago
                self._looking = asyncio.get_running_loop().call_later(wait_s, self._look_now)
            else:
                self._look_now()

    def _look_now(self) -> None:
        self._looking = None
        if self._opend.trouble:
            return  # it came again meanwhile; its end will be told too
        self._interrupted = False
        self._look_at_s = self._now_s() + _LOOK_EVERY_S
        self._look()
