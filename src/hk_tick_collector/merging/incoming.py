"""Messages of the stream as bytes → parts and sums, or why they are refused. No I/O.

A message is refused as a whole if it names another collector than its subject, or if it has ticks of another day or
values that no collector sends. The engine lets a collector publish only under its own subjects, so the subject says who
sent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import MessageError
from hk_tick_collector.jetstream.message import SumsMessage, decode, decode_sums
from hk_tick_collector.jetstream.subjects import day_and_source
from hk_tick_collector.model import ts_ms_of

from .parts import Part, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SHARES: Final = 2**40  # of one tick, as `opend.convert` accepts it; the sum of a day then fits into 64 bits
_TICKS: Final = "hk.ticks."
_SUMS: Final = "hk.sums."
_VOLUME: Final = 4  # index of the column


class Refused(NamedTuple):
    """A message that cannot be merged."""

    subject: str
    source: str  # by its subject; empty if the subject names none
    why: str
    is_other_source: bool = False  # it names another collector than its subject


class Incoming(NamedTuple):
    """One message of the stream. `content` is None for a request to a collector, which a merge does not answer."""

    position: Position
    content: Content


Content: TypeAlias = Part | SumsMessage | Refused | None


def read(subject: str, data: bytes, now_ms: int) -> Content:
    """The content of a message. It never raises: what is wrong is returned. `now_ms` is UTC epoch ms."""
    if not subject.startswith((_TICKS, _SUMS)):
        return None
    try:
        day, source = day_and_source(subject)
    except MessageError as error:
        return Refused(subject, "", str(error))
    if market.parse_day(day) > market.day_number(now_ms) + 1:
        return Refused(subject, source, "its day has not begun")
    try:
        if subject.startswith(_SUMS):
            sums = decode_sums(data)
            return (
                _other(subject, source, sums.source)
                or _of_day(subject, source, day, sums.day)
                or _totals_wrong(subject, source, market.parse_day(day), sums)
                or sums
            )
        ticks = decode(data)
        number = market.parse_day(day)
        wrong = (
            _other(subject, source, ticks.source)
            or _of_day(subject, source, day, ticks.day)
            or _rows_wrong(subject, source, number, ticks.rows)
        )
        return wrong or Part(number, source, ticks.rows)
    except MessageError as error:
        return Refused(subject, source, str(error))


def _other(subject: str, source: str, named: str) -> Refused | None:
    if named == source:
        return None
    return Refused(subject, source, f"it names the collector {named}", is_other_source=True)


def _of_day(subject: str, source: str, day: str, named: str) -> Refused | None:
    return None if named == day else Refused(subject, source, f"it names the day {named}")


def _totals_wrong(subject: str, source: str, day: int, sums: SumsMessage) -> Refused | None:
    begin_ms, end_ms = market.day_start_ms(day), market.day_start_ms(day + 1)
    if all(begin_ms <= row.at_ms < end_ms for row in sums.totals):
        return None
    return Refused(subject, source, "it has totals of another day")


def _rows_wrong(subject: str, source: str, day: int, rows: Sequence[tuple[object, ...]]) -> Refused | None:
    times = [ts_ms_of(row) for row in rows]
    if min(times) < market.day_start_ms(day) or max(times) >= market.day_start_ms(day + 1):
        return Refused(subject, source, "it has ticks of another day")
    if max(abs(row[_VOLUME]) for row in rows) > MAX_SHARES:  # type: ignore[arg-type]
        return Refused(subject, source, "a volume is too large")
    return None
