"""Subscribing in batches, so that one refused symbol or a short quota never costs the others.

OpenD accepts or refuses a batch as a whole; its words may name one symbol that it refuses. Every batch is asked for as
a whole first. What a refused batch holds is then asked for in groups, each time the group that subscribes the most
symbols (`sieve.py`): the good ones first. A symbol that a refusal names, or that is the only one left of a refused
group, is taken to be refused and asked for alone at the end. Where single symbols of a batch are refused too, all in
the same words, the whole batch is taken to be refused: to ask for each of them would be a hundred requests for nothing.
Requests after a refusal are paced.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.opend import messages
from hk_tick_collector.ops.findings.refusals import (
    OTHER,
    QUOTA,
    QUOTE_RIGHT,
    TEMPORARY,
    cause_of,
    named_in,
    pattern_of,
    without_codes,
)

from .halves import halves
from .sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

BATCH_SYMBOLS: Final = 100  # what the vendor's SDK puts into one request
_UNANSWERED_MOST: Final = 2  # batches without an answer, one after the other; then the others are not asked for
# So many single symbols of a refused batch, all refused alike, stand for all of it. Where the account has no right to
# them few will do; a list may well hold many symbols that OpenD does not know.
_PROBES: Final = {QUOTE_RIGHT: 4, OTHER: 8, QUOTA: 1, TEMPORARY: 1}
_AT_ONCE: Final = 20  # requests after a refusal
_ONE_MORE_S: Final = 3.0


class Pace:
    """How soon the next request after a refusal may be made: twenty at once, and one more every 3 s."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._left = float(_AT_ONCE)
        self._at_s = now_s()

    def take(self) -> float:
        """Takes one request; returns for how many seconds it must wait."""
        now_s = self._now_s()
        self._left = min(_AT_ONCE, self._left + (now_s - self._at_s) / _ONE_MORE_S) - 1
        self._at_s = now_s
        return max(0.0, -self._left * _ONE_MORE_S)


@dataclass(slots=True)
class Outcome:
    """Symbols that are not subscribed, so far as is known: by OpenD's words, or by the reason why it gave no answer."""

    refused: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, None] = field(default_factory=dict, compare=False)  # in the order of their answers


async def subscribe_all(
    request: Callable[[int, Message], Awaitable[bytes]],
    symbols: Sequence[str],
    pace: Pace | None = None,
    on_wait: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Subscribes to `symbols`; those that `Outcome` does not name as refused or unanswered are subscribed.

    A refusal is an answer. A batch without one, or with one that cannot be read, may be subscribed or not. `on_wait` is
    told what is known so far before requests are paced; one that is taken to be refused by then may be accepted later.
    """
    return await _Subscribing(request, pace or Pace(), on_wait).run(symbols)


class _Subscribing:
    """One go through all symbols."""

    def __init__(
        self, request: Callable[[int, Message], Awaitable[bytes]], pace: Pace, on_wait: Callable[[Outcome], None]
    ) -> None:
        self._request = request
        self._pace = pace
        self._on_wait = on_wait
        self._outcome = Outcome()
        self._sieve = Sieve()
        self._accused: list[str] = []  # taken to be refused, not asked for alone yet
        self._silent = 0  # batches without an answer, one after the other
        self._is_named = False  # whether OpenD named a symbol when it refused a batch lately
        self._last_words = ""  # with which a batch was refused
        self._no_quota = ""  # the words with which a single symbol was refused for want of quota
        self._refused_alike = ""  # the pattern of the words with which a whole batch was refused
        self._random = random.Random()  # noqa: S311 - which symbols stand for their batch

    async def run(self, symbols: Sequence[str]) -> Outcome:
        """Every symbol is accepted, refused or unanswered at the end."""
        outcome = self._outcome
        batches = [list(symbols[i : i + BATCH_SYMBOLS]) for i in range(0, len(symbols), BATCH_SYMBOLS)]
        waiting = [(batch, True) for batch in reversed(batches)]  # the last is next; whether it was asked for never
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
            if self._no_quota:  # not one more, whichever it is
                outcome.refused.update(dict.fromkeys(self._left(waiting), self._no_quota))
                break
        outcome.refused = {symbol: outcome.refused[symbol] for symbol in symbols if symbol in outcome.refused}
        return outcome

    async def _divide(self, batch: list[str], words: str, *, is_new: bool) -> list[tuple[list[str], bool]]:
        """A batch was refused. Returns what of it is to be asked for next; the rest is for the sieve."""
        rest = await self._probe(batch, words) if is_new else batch
        if cause_of(words) == QUOTA:  # what is left of it is used up in the order of the settings
            return [(half, False) for half in halves(rest) or [rest] if half]
        # The refused ones may all be among those that were asked for alone.
        self._keep(rest, words, holds_refused=not any(symbol in self._outcome.refused for symbol in batch))
        return []

    async def _sift(self) -> None:
        """One request for a group of symbols of refused batches."""
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
        """`rest` of a refused batch is still to be asked for; it is certain or not that one of them is refused."""
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
        """Takes a symbol to be refused by what OpenD said of its batch."""
        self._outcome.refused[symbol] = without_codes(words, [symbol])
        self._accused.append(symbol)

    def _left(self, waiting: list[tuple[list[str], bool]]) -> list[str]:
        """What was not asked for to the end."""
        left = [*(symbol for batch, _ in waiting for symbol in batch), *self._sieve.rest()]
        return [symbol for symbol in left if not self._is_settled(symbol)]

    async def _probe(self, batch: list[str], words: str) -> list[str]:
        """Asks for single symbols out of a refused batch until one is not refused, or not alike. Returns what of the
        batch is still to be asked for, in halves; where all were refused alike that is nothing.
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
        """One request; OpenD's words where it refuses the batch. What is known then is in the outcome."""
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
            if paced and len(batch) > 1 and cause_of(str(error)) == TEMPORARY:  # that says nothing of the symbols
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
