"""The newest text of each part of a view, for all browsers that look at it. Nothing is queued, so memory is bounded.

A view is rendered once, whoever looks. A browser that reads slowly misses texts and gets the newest ones.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Board:
    """Parts of a view by name. Used by one event loop."""

    def __init__(self) -> None:
        self._number = 0
        self._about = "{}"
        self._parts: dict[str, tuple[int, str, str]] = {}  # number of its last change, text, text as JSON
        self._changed = asyncio.Event()
        self._closed = False

    def publish(self, about: Mapping[str, Any], parts: Mapping[str, str]) -> None:
        """Shows these parts, and wakes every reader. `about` goes with each frame; it must be JSON."""
        self._number += 1
        self._about = json.dumps(about, separators=(",", ":"))
        for name, text in parts.items():
            if name not in self._parts or self._parts[name][1] != text:
                self._parts[name] = self._number, text, json.dumps(text)
        self._wake()

    def parts(self) -> dict[str, str]:
        """The newest text of each part."""
        return {name: text for name, (_, text, _) in self._parts.items()}

    def close(self) -> None:
        """Ends every reader."""
        self._closed = True
        self._wake()

    async def frames(self) -> AsyncIterator[bytes]:
        """Events for one browser: all parts, then at each `publish` those that have changed, until `close`."""
        seen = 0
        while not self._closed:
            changed = self._changed
            if seen != self._number:
                parts = [(name, coded) for name, (number, _, coded) in self._parts.items() if number > seen]
                seen = self._number
                inside = ",".join(f"{json.dumps(name)}:{coded}" for name, coded in parts)
                yield f'data: {{"about":{self._about},"parts":{{{inside}}}}}\n\n'.encode()
            await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
