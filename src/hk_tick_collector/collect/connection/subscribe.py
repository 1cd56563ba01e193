"""Subscribes in batches, so that a refused symbol or a short quota does not affect the other symbols.

OpenD accepts or refuses a batch as a whole. The text of a refusal may name one symbol.

1. Every batch is requested as a whole.
2. The symbols of refused batches are requested in groups, each time the group that is expected to subscribe the most
   symbols (`refused_batches.py`).
3. A symbol is presumed to be refused if a refusal names it, or if it is the only one left of a refused group. It is
   requested alone at the end.
4. If several single symbols of a refused batch are refused too, all with the same text, the whole batch is presumed to
   be refused: a request for each of its symbols would be useless.

Requests after a refusal are delayed to stay within OpenD's limits.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.opend.refusals import (
    OTHER,
    QUOTA,
    QUOTE_RIGHT,
    TEMPORARY,
    cause_of,
    named_in,
    pattern_of,
    without_codes,
)

from .ask_in_halves import halves
from .refused_batches import Sieve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

BATCH_SYMBOLS: Final = 100  # as many as the vendor's SDK puts into one request
_UNANSWERED_MOST: Final = 2  # after this many consecutive batches without an answer, no further batch is requested
# By cause of the refusal: how many single symbols, all refused with the same text, are enough to presume that the whole
# batch is refused. Few are enough for a missing quote right. Unknown symbols may be only some symbols of the batch.
_PROBES: Final = {QUOTE_RIGHT: 4, OTHER: 8, QUOTA: 1, TEMPORARY: 1}
_AT_ONCE: Final = 20  # requests after a refusal
_ONE_MORE_S: Final = 3.0


class Pace:
    """Limits the requests after a refusal: twenty at once, and one more every 3 s."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._left = float(_AT_ONCE)
        self._at_s = now_s()

    def take(self) -> float:
        """Counts one request; returns how many seconds it must wait."""
        now_s = self._now_s()
        self._left = min(_AT_ONCE, self._left + (now_s - self._at_s) / _ONE_MORE_S) - 1
        self._at_s = now_s
        return max(0.0, -self._left * _ONE_MORE_S)


@dataclass(slots=True)
class Outcome:
    """The results so far: refused symbols with OpenD's text, and symbols without an answer with the reason."""

    refused: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, None] = field(default_factory=dict, compare=False)  # in the order of their answers


async def subscribe_all(
    request: Callable[[int, Message], Awaitable[bytes]],
    symbols: Sequence[str],
    pace: Pace | None = None,
    on_wait: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Subscribes `symbols`. Those that `Outcome` does not list as refused or unanswered are subscribed.

    A refusal is an answer. A batch without an answer, or with an unreadable one, may be subscribed or not. `on_wait` is
    called with the results so far before a delayed request; a symbol presumed to be refused may be accepted later.
    """
    return await _Subscribing(request, pace or Pace(), on_wait).run(symbols)


class _Subscribing:
    """One pass over all symbols."""

    def __init__(
        self, request: Callable[[int, Message], Awaitable[bytes]], pace: Pace, on_wait: Callable[[Outcome], None]
    ) -> None:
        self._request = request
        self._pace = pace
        self._on_wait = on_wait
        self._outcome = Outcome()
        self._sieve = Sieve()
        self._accused: list[str] = []  # symbols presumed to be refused, not yet requested alone
        self._silent = 0  # consecutive batches without an answer
        self._is_named = False  # the last refusal of a batch named a symbol
        self._last_words = ""  # the text of the last refusal of a batch
        self._no_quota = ""  # the text with which a single symbol was refused because the quota is used up
        self._refused_alike = ""  # the pattern of the text with which a batch was presumed to be refused as a whole
        self._random = random.Random()  # noqa: S311 - chooses the single symbols to request

    async def run(self, symbols: Sequence[str]) -> Outcome:
        """Every symbol is accepted, refused or unanswered at the end."""
        outcome = self._outcome
        batches = [list(symbols[i : i + BATCH_SYMBOLS]) for i in range(0, len(symbols), BATCH_SYMBOLS)]
        waiting = [(batch, True) for batch in reversed(batches)]  # a stack of (symbols, never requested)
        while waiting or self._sieve or self._accused:
            if waiting:
                batch, is_new = waiting.pop()
                words = await self._ask(batch, paced=not is_new)
                if words is not None and len(batch) > 1:
                    waiting += await self._divide(batch, words, is_new=is_new)
            elif self._sieve:
                await self._sift()
            else:
                await self._ask([self._accused.pop()], paced=True)
            if self._silent >= _UNANSWERED_MOST:
                reason = next(reversed(outcome.unanswered.values()))
                outcome.unanswered.update(dict.fromkeys(self._left(waiting), reason))
                break
            if self._no_quota:  # no further symbol can be subscribed
                outcome.refused.update(dict.fromkeys(self._left(waiting), self._no_quota))
                break
        outcome.refused = {symbol: outcome.refused[symbol] for symbol in symbols if symbol in outcome.refused}
        return outcome

    async def _divide(self, batch: list[str], words: str, *, is_new: bool) -> list[tuple[list[str], bool]]:
        """Handles a refused batch. Returns the parts to request next; the rest is for the sieve."""
        rest = await self._probe(batch, words) if is_new else batch
        if cause_of(words) == QUOTA:  # the remaining quota is used in the order of FUTU_SYMBOLS
            return [(half, False) for half in halves(rest) or [rest] if half]
        # All refused symbols may be among those that were requested alone.
        self._keep(rest, words, holds_refused=not any(symbol in self._outcome.refused for symbol in batch))
        return []

    async def _sift(self) -> None:
        """Sends one request for a group of symbols of refused batches."""
        outcome = self._outcome
        refused, accepted = len(outcome.refused), len(outcome.accepted)
        group = self._sieve.take(refused, refused + accepted, is_named=self._is_named)
        words = await self._ask(group, paced=True)
        if words is not None:
            self._last_words = words
            self._sieve.failed()
            if len(group) > 1:
                self._keep(group, words, holds_refused=True)
        elif group[0] in outcome.unanswered:
            self._sieve.failed()
        elif (symbol := self._sieve.accepted()) is not None:
            self._accuse(symbol, self._last_words)

    def _keep(self, rest: list[str], words: str, *, holds_refused: bool) -> None:
        """Keeps `rest` of a refused batch for later requests. `holds_refused`: at least one of them is refused."""
        self._last_words = words
        named = named_in(words, rest) if cause_of(words) != QUOTA else []
        self._is_named = len(named) == 1
        if self._is_named:
            self._accuse(named[0], words)
            rest, holds_refused = [symbol for symbol in rest if symbol != named[0]], False
        if len(rest) == 1 and holds_refused:
            self._accuse(rest[0], words)
        else:
            self._sieve.add(rest, holds_refused=holds_refused)

    def _accuse(self, symbol: str, words: str) -> None:
        """Presumes that a symbol is refused, with the text of OpenD's refusal of its batch."""
        self._outcome.refused[symbol] = without_codes(words, [symbol])
        self._accused.append(symbol)

    def _left(self, waiting: list[tuple[list[str], bool]]) -> list[str]:
        """The symbols without a result."""
        left = [*(symbol for batch, _ in waiting for symbol in batch), *self._sieve.rest()]
        return [symbol for symbol in left if not self._is_settled(symbol)]

    async def _probe(self, batch: list[str], words: str) -> list[str]:
        """Requests single symbols of a refused batch, until one is accepted or refused with another text. Returns the
        symbols of the batch without a result: none if all were refused with the same text.
        """
        outcome, cause = self._outcome, cause_of(words)
        pattern = pattern_of(without_codes(words, batch))
        count = 1 if pattern == self._refused_alike else _PROBES[cause]
        if len(batch) <= count:
            return batch
        alike = ""
        for symbol in batch[:1] if cause == QUOTA else self._random.sample(batch, count):
            if await self._ask([symbol], paced=True) is None:
                break
            words_of_it = outcome.refused[symbol]
            if alike and pattern_of(words_of_it) != pattern_of(alike):
                break
            alike = words_of_it
        else:
            if cause != QUOTA:
                self._refused_alike = pattern
                outcome.refused.update(dict.fromkeys(batch, alike))
        return [symbol for symbol in batch if not self._is_settled(symbol)]

    def _is_settled(self, symbol: str) -> bool:
        outcome = self._outcome
        return symbol in outcome.refused or symbol in outcome.unanswered or symbol in outcome.accepted

    async def _ask(self, batch: list[str], *, paced: bool) -> str | None:
        """Sends one request and records its result. Returns OpenD's text if it refuses the batch, else None."""
        outcome = self._outcome
        wait_s = self._pace.take() if paced else 0.0
        if wait_s:
            self._on_wait(outcome)
            await asyncio.sleep(wait_s)
        try:
            body = await self._request(messages.SUB, messages.subscribe(batch))
        except CollectorError as error:
            self._unanswered(batch, str(error))
            self._silent += 1
            return None
        self._silent = 0
        try:
            messages.read_outcome(body)
        except OpenDError as error:
            if paced and len(batch) > 1 and cause_of(str(error)) == TEMPORARY:  # not because of the symbols
                self._unanswered(batch, str(error))
                self._silent += 1
                return None
            if len(batch) == 1:
                words = outcome.refused[batch[0]] = without_codes(str(error), batch)
                self._no_quota = words if cause_of(words) == QUOTA else ""
            return str(error)
        except CollectorError as error:
            self._unanswered(batch, str(error))
            return None
        for symbol in batch:
            outcome.refused.pop(symbol, None)
        outcome.accepted.update(dict.fromkeys(batch))
        return None

    def _unanswered(self, batch: list[str], reason: str) -> None:
        for symbol in batch:
            self._outcome.refused.pop(symbol, None)
            self._outcome.unanswered[symbol] = reason
