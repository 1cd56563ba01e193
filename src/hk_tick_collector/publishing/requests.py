"""What readers ask a source to send again: messages on `hk.again.<source>`, read in the order of the stream.

They lie in the stream, so one that is made while the publisher is away is read later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import MessageError, StoreError
from hk_tick_collector.jetstream.engine import next_message
from hk_tick_collector.jetstream.message import AgainMessage, decode_again
from hk_tick_collector.jetstream.subjects import again_subject
from hk_tick_collector.store.day_connection import list_days

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.jetstream.connect import Connection

_MOST: Final = 100  # at a time
_ANSWERED_DAYS: Final = 60  # of an older one nothing is sent again either
_MOST_BYTES: Final = 2**21  # of requests that are read at a time; one message may have 1 MiB


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in the order of the stream, those of one day made into one."""

    wanted: tuple[AgainMessage, ...]
    seq: int  # up to which the stream was read
    count: int
    unreadable: int  # messages that are none of ours


async def read_requests(connection: Connection, source: str, after_seq: int) -> Requests:
    """The requests after a sequence of the stream. Raises StreamAwayError and StreamError as every request."""
    found: dict[str, AgainMessage] = {}
    seq, count, unreadable, size = after_seq, 0, 0, 0
    while count + unreadable < _MOST and size < _MOST_BYTES:
        message = await next_message(connection, again_subject(source), seq + 1)
        if message is None:
            break
        seq = message.seq
        size += len(message.data)
        try:
            wanted = decode_again(message.data)
        except MessageError:
            unreadable += 1
            continue
        count += 1
        before = found.get(wanted.day)
        found[wanted.day] = _both(before, wanted) if before else wanted
    return Requests(tuple(found.values()), seq, count, unreadable)


def is_past(data_root: Path, day: str, now_ms: int) -> bool:
    """Whether there is a file of a later day, by two months at most: then the directory is there, and that day is over.

    No merge asks for older days. A file of the future shows nothing: one tick with a wrong date makes one.
    """
    today = market.day_number(now_ms)
    try:
        days = [market.parse_day(name) for name in list_days(data_root)]
    except StoreError:
        return False
    newest = max((each for each in days if each <= today), default=0)
    return 0 < newest - market.parse_day(day) <= _ANSWERED_DAYS


def _both(one: AgainMessage, other: AgainMessage) -> AgainMessage:
    if not one.symbols or not other.symbols:
        return AgainMessage(one.source, one.day, ())
    return AgainMessage(one.source, one.day, tuple(dict.fromkeys((*one.symbols, *other.symbols))))
