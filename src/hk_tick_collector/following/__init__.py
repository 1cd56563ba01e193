"""The live Python API: `hk_tick_collector.stream` returns a `Stream` of batches, each committed tick exactly once.

Its source is day files, which another process writes, and an archive; or servers. It only reads.

arguments.py    what the caller wrote → where the stream begins (bound.py)
local_days.py   the days of a directory and of an archive, one after the other
day.py          one day file: new ticks, late ticks (window.py: a backlog; watched_file.py: when to look; gap_news.py)
archived_day.py one archived day
published.py    the days of a stream of servers (feed.py: the thread that reads it)
found.py        what one look at a source found
delivered.py    which ticks were delivered; position.py: the same as a text
pace.py         when a tick of a replay is due
engine.py       what was found → batches (batch.py)
reading.py      reads a source until it is closed; here is where it waits
stream.py       `Stream`: in a `for` loop or an `async for` loop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.clock import now_ms

from .arguments import Asked, read_archive, read_arguments, read_source
from .local_days import StreamWarning
from .stream import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.data.ranges import Day
    from hk_tick_collector.data.requests import Symbols
    from hk_tick_collector.jetstream.connect import Servers

    from .arguments import Start

__all__ = ["Stream", "StreamWarning", "make_stream", "read_archive", "read_source", "servers_of"]


def servers_of(urls: tuple[str, ...], creds: Path | None, ca: Path | None) -> Servers:
    """The servers at these addresses. UsageError for a file that cannot be used, CollectorError without the extra."""
    from hk_tick_collector.frames.extras import need
    from hk_tick_collector.jetstream.connect import Servers

    need("nats", "stream")
    found = Servers(urls, "stream", creds, ca)
    found.check()
    return found


def make_stream(
    data_root: Path | None,
    archive: Path | None,
    servers: Servers | None = None,
    symbols: Symbols = None,
    *,
    start: Start | None = None,
    day: Day | None = None,
    speed: float | None = None,
) -> Stream:
    """A stream over these directories or servers, see `hk_tick_collector.stream`. UsageError for a wrong argument."""
    position, only, speed = read_arguments(symbols, start, day, speed, now_ms())
    return Stream(Asked(data_root, archive, servers, position, only, speed))
