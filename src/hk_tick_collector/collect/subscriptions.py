"""Subscribing in batches, so that one refused symbol or a short quota never costs the others.

OpenD accepts or refuses a batch as a whole and names no culprit. A refused batch is cut in half until the culprits
stand alone: about 2 log₂ n requests for one bad symbol among n.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.opend import messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

BATCH_SYMBOLS: Final = 100  # what the vendor's SDK puts into one request


_UNANSWERED_MOST: Final = 2  # batches without an answer, one after the other; then the others are not asked for


@dataclass(slots=True)
class Outcome:
    """Symbols that are not subscribed, so far as is known: by OpenD's words, or by the reason why it gave no answer."""

    refused: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)


async def subscribe_all(request: Callable[[int, Message], Awaitable[bytes]], symbols: Sequence[str]) -> Outcome:
    """Subscribes to `symbols`; those that `Outcome` does not name are subscribed.

    A refusal is an answer. A batch without one, or with one that cannot be read, may be subscribed or not.
    """
    outcome, in_a_row = Outcome(), 0
    waiting = [list(symbols[i : i + BATCH_SYMBOLS]) for i in range(0, len(symbols), BATCH_SYMBOLS)][::-1]
    while waiting:
        batch = waiting.pop()
        try:
            body = await request(messages.SUB, messages.subscribe(batch))
        except CollectorError as error:
            outcome.unanswered.update(dict.fromkeys(batch, str(error)))
            in_a_row += 1
            if in_a_row >= _UNANSWERED_MOST:
                outcome.unanswered.update((symbol, str(error)) for rest in waiting for symbol in rest)
                break
            continue
        in_a_row = 0
        try:
            messages.read_outcome(body)
        except OpenDError as error:
            if len(batch) == 1:
                outcome.refused[batch[0]] = str(error)
            else:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
        except CollectorError as error:
            outcome.unanswered.update(dict.fromkeys(batch, str(error)))
    return outcome
