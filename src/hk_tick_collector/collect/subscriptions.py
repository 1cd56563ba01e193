"""Subscribing in batches, so that one refused symbol or a short quota never costs the others.

OpenD accepts or refuses a batch as a whole and names no culprit. A refused batch is cut in half until the culprits
stand alone: about 2 log₂ n requests for one bad symbol among n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import OpenDError
from hk_tick_collector.opend import messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

BATCH_SYMBOLS: Final = 100  # what the vendor's SDK puts into one request


async def subscribe_all(request: Callable[[int, Message], Awaitable[bytes]], symbols: Sequence[str]) -> dict[str, str]:
    """Subscribes to `symbols` and returns those that OpenD refused, with its words.

    Raises OpenDError only when the connection ends: a refusal is an answer.
    """
    refused: dict[str, str] = {}
    waiting = [list(symbols[i : i + BATCH_SYMBOLS]) for i in range(0, len(symbols), BATCH_SYMBOLS)][::-1]
    while waiting:
        batch = waiting.pop()
        body = await request(messages.SUB, messages.subscribe(batch))
        try:
            messages.read_outcome(body)
        except OpenDError as error:
            if len(batch) == 1:
                refused[batch[0]] = str(error)
            else:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
    return refused
