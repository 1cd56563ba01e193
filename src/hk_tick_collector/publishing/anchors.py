"""The messages that the stream must still hold: the acknowledged one with the highest sequence, and some before it.

The message acknowledged last is not enough: servers can lose the last seconds while the connection stays. After a loss
the stream counts on from a lower sequence; if other publishers send much, our next message may get a higher one than
the lost ones had, and the loss would not be noticed. So one message of every few seconds is kept as well. All are noted
in the cursor file.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from hk_tick_collector.jetstream.anchor import Anchor, Held, check_anchor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hk_tick_collector.jetstream.connect import Connection

_EARLIER: Final = 6
_LAST_KEY: Final = "anchor"
_EARLIER_KEY: Final = "anchors"


class Anchors:
    """The anchors in the values `noted` in the cursor file. The caller notes `to_note` after each change."""

    def __init__(self, noted: Mapping[str, str]) -> None:
        words = f"{noted.get(_EARLIER_KEY, '')} {noted.get(_LAST_KEY, '')}".split()
        pairs = zip(words[::2], words[1::2], strict=False)
        found = [Anchor(int(seq), message_id) for seq, message_id in pairs if seq.isascii() and seq.isdigit()]
        self._last = found.pop() if found else None
        self._earlier = deque(found, maxlen=_EARLIER)

    @property
    def to_note(self) -> dict[str, str]:
        """The values for the cursor file."""
        earlier = " ".join(f"{each.seq} {each.message_id}" for each in self._earlier)
        return {_LAST_KEY: f"{self._last.seq} {self._last.message_id}" if self._last else "", _EARLIER_KEY: earlier}

    def acknowledged(self, anchor: Anchor) -> None:
        """A message was acknowledged."""
        if self._last is None or anchor.seq > self._last.seq:
            self._last = anchor

    def keep(self) -> None:
        """Keeps the last message as one of the earlier ones; called every few seconds."""
        if self._last is not None and self._last not in self._earlier:
            self._earlier.append(self._last)

    def forget(self) -> None:
        """Forgets all anchors."""
        self._last = None
        self._earlier.clear()

    async def first_lost(self, connection: Connection) -> Anchor | None:
        """The first message that the stream does not hold although it should. Raises as every request."""
        for anchor in (*self._earlier, *([self._last] if self._last else [])):
            if await check_anchor(connection, anchor) is Held.LOST:
                return anchor
        return None
