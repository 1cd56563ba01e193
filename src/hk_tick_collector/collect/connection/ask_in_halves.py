"""Asks OpenD about many symbols, some in each request. A request that OpenD refuses is sent again as two halves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    Request = Callable[[int, Message], Awaitable[bytes]]

T = TypeVar("T")

_MOST_REQUESTS: Final = 100  # of one call of `ask_about`


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A kind of request about several symbols."""

    proto_id: int
    most: int  # symbols of one request
    build: Callable[[Sequence[str]], Message]
    read: Callable[[bytes], list[T]]  # raises CollectorError if OpenD refuses


async def ask_about(
    request: Request, symbols: Sequence[str], question: Question[T], found: list[T], spacing_s: float
) -> None:
    """Adds OpenD's answers to `found`, with `spacing_s` between two requests. A symbol that OpenD refuses is left out
    and does not affect the others.

    Raises OpenDError when the connection ends or a reply does not arrive; `found` then has the answers before it.
    """
    size = question.most
    waiting = [list(symbols[i : i + size]) for i in range(0, len(symbols), size)][::-1]
    for number in range(_MOST_REQUESTS):
        if not waiting:
            break
        if number:
            await asyncio.sleep(spacing_s)
        batch = waiting.pop()
        body = await request(question.proto_id, question.build(batch))
        try:
            found += question.read(body)
        except CollectorError:  # refused, or not readable
            waiting += halves(batch)


def halves(batch: list[str]) -> list[list[str]]:
    """The two halves, the second one first: the caller takes from the end of the list. Empty for one symbol."""
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]] if middle else []
