"""Server-sent events: one open answer for each browser that looks, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST: Final = 64  # browsers that look at once, over all views
_AGAIN: Final = b"retry: 2000\n\n"  # ms until a browser whose connection was lost connects again


class Streams:
    """Counts the open streams and refuses more than `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.open = 0

    def answer(self, events: AsyncIterator[bytes]) -> Response:
        """The answer that carries these events; 503 if there are too many already."""
        if self.open >= self._most:
            return PlainTextResponse(f"{self._most} browsers look already: close one\n", 503, {"Retry-After": "10"})
        return StreamingResponse(
            self._counted(events), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            yield _AGAIN
            async for event in events:
                yield event
        finally:
            self.open -= 1
