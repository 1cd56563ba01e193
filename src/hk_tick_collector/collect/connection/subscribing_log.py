"""Log lines about subscribing: its progress, and the symbols that OpenD refuses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.opend.refusals import groups
from hk_tick_collector.ops.findings import remedies

if TYPE_CHECKING:
    from hk_tick_collector.collect.opend_state import OpenDState

_PROGRESS_EVERY_S: Final = 15.0
_REASONS_TOLD: Final = 5  # most reasons of refusals that have a line of their own


class SubscribingLog:
    """The lines of one connection. `symbols` is the number of wanted symbols."""

    def __init__(self, symbols: int, opend: OpenDState) -> None:
        self._symbols = symbols
        self._opend = opend
        self._logged: set[str] = set()  # refused symbols logged since `begin`
        self._progress = log.Repeated(_PROGRESS_EVERY_S)

    def begin(self) -> None:
        """Symbols are requested again: those that are refused again are logged again."""
        self._logged.clear()

    def refused(self, refused: dict[str, str]) -> None:
        """Logs refused symbols (→ OpenD's text), each once."""
        fresh = {symbol: words for symbol, words in refused.items() if symbol not in self._logged}
        self._logged.update(fresh)
        _log_refused(fresh)

    def progress(self) -> None:
        """Logs how many symbols have a result, at most one line per interval."""
        repeats = self._progress.allow(time.monotonic())
        if repeats is not None:
            subscribed, refused = self._opend.subscribed, len(self._opend.refused)
            left = self._symbols - subscribed - refused
            log.info("subscribing", symbols=subscribed, refused=refused, left=left, repeats=repeats)


def _log_refused(refused: dict[str, str]) -> None:
    """Logs a line for each reason, the one with the most symbols first, and one line for all further reasons."""
    told = groups(refused)
    for words, cause, names in told[:_REASONS_TOLD]:
        shown = ",".join(names[:20]) + (f",… ({len(names)} in all)" if len(names) > 20 else "")
        hint = remedies.for_refusal(cause).advice
        log.error("symbols_refused", cause=cause, symbols=shown, count=len(names), reason=words, hint=hint)
    if told[_REASONS_TOLD:]:
        rest = sum(len(names) for _, _, names in told[_REASONS_TOLD:])
        log.error("symbols_refused", cause="several", symbols="others", count=rest, reason="other reasons")
