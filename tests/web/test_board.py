"""What browsers get from one rendering."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from hk_tick_collector.web.board import Board

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def parts(event: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.removeprefix(b"data: "))["parts"]
    return found


def test_a_browser_gets_all_parts_once_and_then_what_changed() -> None:
    """So a part that stays the same costs nothing."""

    async def look() -> list[dict[str, Any]]:
        board = Board()
        board.publish({}, {"a": "1", "b": "1"})
        async with aclosing(board.frames()) as frames:  # type: ignore[type-var]
            seen = [parts(await anext(frames))]
            for text in ("2", "2"):
                board.publish({}, {"a": "1", "b": text})
                seen.append(parts(await anext(frames)))
        return seen

    assert asyncio.run(look()) == [{"a": "1", "b": "1"}, {"b": "2"}, {}]


def test_a_slow_browser_misses_texts_and_gets_the_newest_of_each_part() -> None:
    """Nothing waits in a queue for it."""

    async def look() -> list[dict[str, Any]]:
        board = Board()
        board.publish({}, {"a": "0", "b": "0"})
        frames: AsyncIterator[bytes] = board.frames()
        seen = [parts(await anext(frames))]
        board.publish({}, {"a": "1", "b": "0"})
        for number in range(1000):
            board.publish({}, {"a": "1", "b": f"{number}"})
        seen.append(parts(await anext(frames)))
        board.close()
        return [*seen, *[parts(event) async for event in frames]]

    assert asyncio.run(look()) == [{"a": "0", "b": "0"}, {"a": "1", "b": "999"}]
