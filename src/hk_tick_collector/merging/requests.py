"""Which collectors are asked to send ticks again, and how often. No I/O.

Enters: sums, losses, days. Leaves: requests that are due. A request makes a collector send up to a whole day, so they
are limited: a collector is asked for a day at most once a minute, and after the same sums at most three times.

A collector answers a request with the ticks and then with its sums. Sums say up to which message of the stream the
collector had read requests, because they may answer the request of another merge. Older collectors do not say it; then
the first sums after a request count as its answer. After the answer the union has all that the collector can give.

For a merged day that is sealed no request is sent; a finding reports the missing ticks for 15 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector.jetstream.message import AgainMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hk_tick_collector.jetstream.message import SumsMessage

    from .sums import Lacking

_APART_S: Final = 60.0
_TIMES: Final = 3
_TOLD_S: Final = 900.0  # how long it is told that a sealed day lacks ticks
_SYMBOLS_MOST: Final = 5_000  # of one request; above that the whole day is asked for


@dataclass(slots=True)
class _Unequal:
    """Sums of a collector and day of which the union still lacks ticks."""

    message: SumsMessage
    asked: int = 0
    missing: int = 0  # symbols that certainly lack ticks
    request_seq: int | None = None  # of the stream: the first request because of these sums
    compared_s: float = float("-inf")  # when they were taken for another comparison
    is_sealed: bool = False  # the merged day is, so it stays as it is
    told_until_s: float | None = None  # when the finding of a sealed day ends


class Requests:
    """The requests of one merge. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], set[str] | None] = {}  # (collector, day) → symbols, None: all of the day
        self._asked_s: dict[tuple[str, str], float] = {}
        self._unequal: dict[tuple[str, str], _Unequal] = {}

    def want(self, source: str, day: str, symbols: Sequence[str] = ()) -> None:
        """Asks a collector for symbols of a day, or for all of it."""
        key = source, day
        before = self._due.get(key, set())
        if not symbols or before is None or len(before) + len(symbols) > _SYMBOLS_MOST:
            self._due[key] = None
        else:
            self._due[key] = before | set(symbols)

    def want_all(self, sources: Iterable[str], days: Iterable[str]) -> None:
        """Asks each collector for each day: messages are missing, and which ones is unknown."""
        days = list(days)
        for source in sources:
            for day in days:
                self.want(source, day)

    def take_due(self, now_s: float) -> Iterator[AgainMessage]:
        """The requests to send now."""
        for key in list(self._due):
            if now_s - self._asked_s.get(key, float("-inf")) < _APART_S:
                continue
            symbols = self._due.pop(key)
            self._asked_s[key] = now_s
            yield AgainMessage(*key, tuple(sorted(symbols)) if symbols is not None else ())

    # --- sums ---

    def note_sent(self, request: AgainMessage, stream_seq: int) -> None:
        """A request has this sequence of the stream."""
        unequal = self._unequal.get((request.source, request.day))
        if unequal is not None and unequal.asked and unequal.request_seq is None:
            unequal.request_seq = stream_seq

    def note_lost(self) -> None:
        """The engine lost messages, perhaps also requests: what was asked for because of sums is asked for again."""
        for each in self._unequal.values():
            each.asked, each.request_seq = 0, None

    def note_sums(self, message: SumsMessage, lacking: Lacking, stream_seq: int = 0) -> bool:
        """The result of comparing sums with the union. Returns whether the union has all that the collector has.

        `stream_seq` is that of the message, if it was read now. After an answer only ticks that are certainly missing
        count: a gap that is still open is one that the collector cannot fill.
        """
        key = message.source, message.day
        before = self._unequal.get(key)
        is_same = before is not None and before.message.sums == message.sums
        is_answered = before is not None and is_same and _is_answer(message, stream_seq, before.request_seq)
        if not lacking.symbols or ((is_answered or lacking.is_sealed) and not lacking.missing):
            self._unequal.pop(key, None)
            return True
        if before is None or not is_same:
            before = self._unequal[key] = _Unequal(message)
        before.message, before.missing, before.is_sealed = message, len(lacking.missing), lacking.is_sealed
        if not before.is_sealed and before.asked < _TIMES and key not in self._due:
            before.asked += 1
            self.want(*key, lacking.symbols)
        return False

    def to_compare(self, now_s: float) -> list[SumsMessage]:
        """Sums to compare again: the collector was asked a while ago, and may have answered. Once a minute."""
        due = [
            each
            for key, each in self._unequal.items()
            if not each.is_sealed
            and key not in self._due
            and now_s - self._asked_s.get(key, now_s) >= _APART_S
            and now_s - each.compared_s >= _APART_S
        ]
        for each in due:
            each.compared_s = now_s
        return [each.message for each in due]

    def unequal(self, now_s: float) -> dict[str, int]:
        """`DAY COLLECTOR` → the number of symbols that lack ticks although the collector was asked often enough.

        A sealed day is told for 15 minutes.
        """
        return {
            f"{day} {source}": each.missing
            for (source, day), each in self._unequal.items()
            if each.missing and (each.asked >= _TIMES or each.is_sealed) and _is_told(each, now_s)
        }


def _is_answer(message: SumsMessage, stream_seq: int, request_seq: int | None) -> bool:
    """Whether a collector had read a request before it said these sums. `stream_seq` is 0 if they were read earlier."""
    read_before = message.answered_before or stream_seq
    if stream_seq:
        read_before = min(read_before, stream_seq)  # the engine may have lost its log, and counts anew
    return request_seq is not None and request_seq < read_before


def _is_told(unequal: _Unequal, now_s: float) -> bool:
    if not unequal.is_sealed:
        return True
    if unequal.told_until_s is None:
        unequal.told_until_s = now_s + _TOLD_S
    return now_s < unequal.told_until_s
