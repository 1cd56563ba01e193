"""Which days are sent, each with its outbox: those from `since` on, until each is sealed and all its ticks are sent.

Methods that read or write files run in the background thread. The event loop reads `values`, `noted`, `is_sent`,
`newest`, `unread` and `unsaved`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log, market
from hk_tick_collector.errors import CollectorError, StoreError
from hk_tick_collector.store.day_connection import list_days, path_of
from hk_tick_collector.store.outbox_reader import OutboxReader
from hk_tick_collector.store.publish_cursors import DayEntry

from .notes import CursorRecords
from .outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hk_tick_collector.jetstream.message import AgainMessage
    from hk_tick_collector.store.publish_cursors import PublishCursors, Sent

    from .outbox import Chunk

SUMS: Final = ("", "lunch", "close", "sealed")  # in this order
_SUMS_AT_MS: Final = {"lunch": (12 * 60 + 5) * 60_000, "close": (16 * 60 + 15) * 60_000}  # after midnight in Hong Kong
_STREAM_DAYS: Final = 7  # for which a stream keeps messages
_ANY_DAY: Final = "00000000"
_UNREAD_S: Final = 1.0  # until a file that could not be read is tried again
_REFUSED_S: Final = 60.0  # until ticks that cannot be sent are tried again
_KEPT_DAYS: Final = 60  # what was sent of older days is forgotten, and they are not sent again


class Days:
    """The days below `data_root`. `unread`: day → why its file cannot be read; the empty day → why none can."""

    def __init__(self, data_root: Path, cursors: PublishCursors) -> None:
        self.unread: dict[str, str] = {}
        self._data_root = data_root
        self._outboxes: dict[str, Outbox] = {}
        self._notes = CursorRecords(cursors, self._sent_of)
        self._waits_until_s: dict[str, float] = {}

    def begin(self, source: str, since: str, now_ms: int) -> str:
        """Decides the first day to send. Returns why everything is sent from the start, else an empty text."""
        notes, told = self._notes, ""
        since_before = notes.values.get("since", "")
        known = notes.values.get("source", source)
        newest = _newest(list_days(self._data_root), now_ms)
        if known != source:
            told = f"the source is now {source}, not {known}"
            notes.forget_all()
        if told or (notes.was_damaged and not since_before):  # all that a stream keeps is sent again
            since_before = max(since_before, _before(newest, _STREAM_DAYS))
        oldest = _before(newest, _KEPT_DAYS)
        notes.drop_before(oldest)
        first = since_before or _first_day(self._data_root, newest)
        notes.set({"source": source, "since": since or max(first, oldest)})
        return told

    def close_files(self) -> None:
        """Closes all day files; the next read opens them again."""
        for outbox in self._outboxes.values():
            outbox.close()

    def open_new(self) -> None:
        """Adds the days that are there and not finished, and takes note of files that were replaced or removed."""
        try:
            found = list_days(self._data_root)
        except StoreError as error:
            self._note_unread("", error)
            return
        self.unread.pop("", None)
        failed = set()
        for day in found:
            entry = self._notes.entries.get(day)
            if day < self.noted("since") and (entry is None or entry.done):
                continue  # else a reader asked for it
            try:
                self._check(day)
            except FileNotFoundError:
                continue
            except (OSError, StoreError) as error:
                failed.add(day)
                self._note_unread(day, error)
        for day, outbox in list(self._outboxes.items()):
            if not outbox.path.exists():
                outbox.close()
                del self._outboxes[day]
                self.unread.pop(day, None)
                log.warning("publish_day_gone", day=day, unsent=_unsent(outbox))
        for day in self.unread.keys() - self._outboxes.keys() - failed:  # those being sent are read again by `take`
            del self.unread[day]

    def newest_first(self) -> list[str]:
        """The days being sent, the newest first: today's ticks do not wait for those of another day."""
        return sorted(self._outboxes, reverse=True)

    def take(self, day: str) -> Chunk | None:
        """The next ticks of a day; None if there are none, or its file cannot be read."""
        outbox = self._outboxes.get(day)
        if outbox is None or time.monotonic() < self._waits_until_s.get(day, 0.0):
            return None
        try:
            chunk = outbox.take()
        except FileNotFoundError:
            return None
        except (OSError, StoreError) as error:
            outbox.close()
            self._note_unread(day, error)
            self._waits_until_s[day] = time.monotonic() + _UNREAD_S
            return None
        if self.unread.pop(day, ""):
            log.info("publish_day_read", day=day)
        return chunk

    def refuse(self, day: str, error: CollectorError) -> None:
        """Ticks of a day cannot be sent, because the collector did not write them: it is tried again later."""
        self._note_unread(day, error)
        self._waits_until_s[day] = time.monotonic() + _REFUSED_S
        self.drop(day)

    def drop(self, day: str) -> None:
        """The chunk of a day that was taken is not sent: its ticks are taken again."""
        outbox = self._outboxes.get(day)
        if outbox is not None:
            outbox.read_again()

    def is_sent(self, day: str) -> bool:
        """Whether all that is stored of a day was sent, when its file was last read."""
        outbox = self._outboxes.get(day)
        return outbox is not None and outbox.behind == 0 and day not in self.unread

    def acknowledge(self, chunk: Chunk, values: Mapping[str, str]) -> None:
        """The ticks of a chunk are acknowledged: this and further values are noted in the cursor file."""
        outbox = self._outboxes.get(chunk.day)
        if outbox is not None:
            outbox.acknowledge(chunk)
            self._notes.acknowledge(chunk.day, chunk.sent, values)

    def note(self, values: Mapping[str, str]) -> None:
        """Notes values in the cursor file."""
        self._notes.set(values)

    @property
    def values(self) -> Mapping[str, str]:
        """All noted values."""
        return self._notes.values

    def noted(self, key: str) -> str:
        """A noted value; empty if there is none."""
        return self._notes.values.get(key, "")

    @property
    def unsaved(self) -> str:
        """Why the cursor file cannot be written; empty if it can."""
        return self._notes.unsaved

    def due_sums(self, day: str, now_ms: int) -> str:
        """Which sums of a day are due: lunch, close, sealed; empty if none is."""
        outbox, entry = self._outboxes.get(day), self._notes.entries.get(day)
        if outbox is None or entry is None:
            return ""
        if outbox.is_sealed:
            return "sealed"
        since_ms = now_ms - market.day_start_ms(market.parse_day(day))
        due = next((name for name in ("close", "lunch") if since_ms >= _SUMS_AT_MS[name]), "")
        return due if SUMS.index(due) > SUMS.index(entry.told) else ""

    def sums(self, day: str) -> tuple[dict[str, tuple[int, int]], bool]:
        """What was sent of a day by symbol, rows and the sum of their sequences; and whether the day is finished."""
        outbox = self._outboxes.get(day)
        sent = outbox.sent if outbox is not None else self._notes.sent(day)
        entry = self._notes.entries.get(day)
        is_sealed = outbox.is_sealed if outbox is not None else entry is not None and entry.done
        return {symbol: (each.rows, each.seq_sum) for symbol, each in sorted(sent.items()) if each.rows}, is_sealed

    def wrong_symbols(self, day: str) -> list[str] | None:
        """Symbols whose stored ticks are not those sent; they are sent again. None if the file cannot be read now."""
        outbox = self._outboxes.get(day)
        if outbox is None:
            return []
        try:
            wrong = outbox.check()
        except (OSError, StoreError) as error:
            outbox.close()
            self._note_unread(day, error)
            self._waits_until_s[day] = time.monotonic() + _REFUSED_S
            return None
        self._forget(day, wrong)
        return wrong

    def told(self, day: str, which: str) -> None:
        """Sums of a day were sent. After those of a sealed day, it is finished."""
        entry = self._notes.entries[day]
        entry = entry._replace(told=which, done=which == "sealed")
        self._notes.mark(entry)
        if entry.done:
            outbox = self._outboxes.pop(day)
            outbox.close()
            log.info("publish_day_done", day=day, rows=_rows(outbox))

    def send_again(self, wanted: AgainMessage) -> int:
        """Forgets that these ticks were sent; returns how many. -1 without a file; 0 of one that cannot be read."""
        try:
            found = os.stat(path_of(self._data_root, wanted.day))  # noqa: PTH116 - as below
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                return -1
            self._note_unread(wanted.day, error)
            return 0
        outbox = self._outboxes.get(wanted.day) or self._reopen(wanted.day, found)
        before = _rows(outbox)
        if wanted.symbols:
            self._forget(wanted.day, wanted.symbols)
        else:
            self._begin_anew(wanted.day)
        return before - _rows(outbox)

    def lost(self, now_ms: int) -> list[str]:
        """The engine lost what it had acknowledged: the days being sent are sent anew.

        Returns the finished days of which a stream may hold ticks: readers compare sums, and ask for what differs.
        """
        for day in self._outboxes:
            self._begin_anew(day)
        oldest = _before(_newest(self._notes.entries, now_ms), _STREAM_DAYS)
        return [day for day, entry in self._notes.entries.items() if entry.done and day >= oldest]

    def figures(self) -> tuple[int, int]:
        """The ticks stored in the days being sent, when each was last read, and those of them that were not sent."""
        boxes = self._outboxes.values()
        return sum(outbox.stored for outbox in boxes), sum(map(_unsent, boxes))

    @property
    def newest(self) -> str:
        """The newest day being sent; empty if there is none."""
        return max(self._outboxes, default="")

    def _check(self, day: str) -> None:
        """Begins to send a day that is new, or whose file was replaced."""
        path = path_of(self._data_root, day)
        found = os.stat(path)  # noqa: PTH116 - its device and inode
        entry = self._notes.entries.get(day)
        # A restart of the host may give its disks other numbers: all finished days would be sent again at once.
        is_same = entry is not None and entry.inode == found.st_ino and (entry.done or entry.device == found.st_dev)
        if entry is not None and is_same:
            if not entry.done and day not in self._outboxes:
                self._outboxes[day] = Outbox(path, self._notes.sent(day))
            return
        if entry is not None:
            log.warning("publish_day_anew", day=day, reason="replaced")
        if day in self._outboxes:
            self._outboxes.pop(day).close()
        self._notes.begin(DayEntry(day, found.st_dev, found.st_ino, False, ""))
        self._outboxes[day] = Outbox(path, {})

    def _reopen(self, day: str, found: os.stat_result) -> Outbox:
        path = path_of(self._data_root, day)
        entry = self._notes.entries.get(day, DayEntry(day, found.st_dev, found.st_ino, False, ""))
        if day not in self._notes.entries:
            self._notes.begin(entry)
        self._notes.entries[day] = entry._replace(done=False)
        self._outboxes[day] = Outbox(path, self._notes.sent(day))
        return self._outboxes[day]

    def _begin_anew(self, day: str) -> None:
        self._outboxes[day].forget_all()
        self._notes.begin(self._notes.entries[day]._replace(done=False, told=""))

    def _forget(self, day: str, symbols: Sequence[str]) -> None:
        self._outboxes[day].forget(symbols)
        self._notes.forget(day, symbols)

    def _sent_of(self, day: str) -> Mapping[str, Sent] | None:
        outbox = self._outboxes.get(day)
        return outbox.sent if outbox is not None else None

    def _note_unread(self, day: str, error: Exception) -> None:
        text = error.one_line() if isinstance(error, CollectorError) else f"{getattr(error, 'strerror', '') or error}"
        if self.unread.get(day) != text:
            self.unread[day] = text
            log.warning("publish_day_unread", day=day or "any", detail=text)


def _newest(days: Iterable[str], now_ms: int) -> str:
    """The newest of the days, of those up to today; `_ANY_DAY` if there is none.

    Neither a date of a file in the future nor a clock that is years ahead may move the first day to send: nothing would
    be sent until that date.
    """
    today = market.day_name(market.day_number(now_ms))
    return max((day for day in days if day <= today), default=_ANY_DAY)


def _first_day(data_root: Path, newest: str) -> str:
    """The first day to send if none was chosen: the newest one, or the day after it if that is sealed."""
    if newest != _ANY_DAY:
        with suppress(StoreError), OutboxReader(path_of(data_root, newest)) as reader:
            if reader.is_sealed():
                return market.day_name(market.parse_day(newest) + 1)
    return newest


def _before(day: str, days: int) -> str:
    """The day that is `days` days before another one; `_ANY_DAY` stays the same."""
    return day if day == _ANY_DAY else market.day_name(market.parse_day(day) - days)


def _unsent(outbox: Outbox) -> int:
    """The ticks that are not sent: as the outbox found, or by the counters while its file was not read."""
    return outbox.behind if outbox.behind >= 0 else max(outbox.stored - _rows(outbox), 0)


def _rows(outbox: Outbox) -> int:
    return sum(each.rows for each in outbox.sent.values())
