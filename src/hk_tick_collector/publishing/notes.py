"""What is noted about the days in the cursor file.

What cannot be written, because the disk is full for example, is kept in memory and written later. It runs in the
background thread, as all of days.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hk_tick_collector.store.publish_cursors import DayEntry, PublishCursors, Sent


class CursorRecords:
    """The entries of the days and further values. `unsaved` is why they cannot be written; empty if they can.

    `sent_of` returns what was sent of a day that is being sent now, else None.
    """

    def __init__(self, cursors: PublishCursors, sent_of: Callable[[str], Mapping[str, Sent] | None]) -> None:
        self.unsaved = ""
        self.was_damaged = bool(cursors.set_aside)
        self.values = cursors.meta()
        self.entries = {entry.day: entry for entry in cursors.days()}
        self._cursors = cursors
        self._sent_of = sent_of
        self._unsaved_days: dict[str, Mapping[str, Sent] | None] = {}  # what was sent of them

    def forget_all(self) -> None:
        """Removes all notes: every day is sent from its first tick. StoreError if the file cannot be written."""
        self._cursors.clear()
        self.entries.clear()
        self.values.clear()

    def drop_before(self, day: str) -> None:
        """Removes the notes of the days before this one. StoreError if the file cannot be written."""
        self._cursors.drop_before(day)
        self.entries = {each: entry for each, entry in self.entries.items() if each >= day}

    def sent(self, day: str) -> dict[str, Sent]:
        """What was sent of a day, by symbol."""
        return self._cursors.sent(day)

    def set(self, values: Mapping[str, str]) -> None:
        """Notes values."""
        self.values.update(values)
        self._write("", lambda: None)

    def acknowledge(self, day: str, sent: Mapping[str, Sent], values: Mapping[str, str]) -> None:
        """Notes what was sent of these symbols, and values."""
        self.values.update(values)
        self._write(day, lambda: self._cursors.save(day, sent))

    def begin(self, entry: DayEntry) -> None:
        """Nothing of a day counts as sent."""
        self.entries[entry.day] = entry
        self._write(entry.day, lambda: self._cursors.begin(entry))

    def mark(self, entry: DayEntry) -> None:
        """Which sums of a day were sent, and whether it is finished."""
        self.entries[entry.day] = entry
        self._write(entry.day, lambda: self._cursors.mark(entry))

    def forget(self, day: str, symbols: Sequence[str]) -> None:
        """Nothing of these symbols of a day counts as sent; the day is not finished."""
        entry = self.entries[day] = self.entries[day]._replace(done=False)

        def write() -> None:
            self._cursors.forget(day, symbols)
            self._cursors.mark(entry)

        self._write(day, write)

    def _write(self, day: str, write: Callable[[], None]) -> None:
        """Writes, in one transaction with all that could not be written before."""
        try:
            with self._cursors.transaction():
                for each, noted in sorted(self._unsaved_days.items()):
                    sent = self._sent_of(each)
                    sent = noted if sent is None else sent  # it is finished meanwhile
                    if sent is not None:
                        self._cursors.begin(self.entries[each])
                        self._cursors.save(each, sent)
                    self._cursors.mark(self.entries[each])
                write()
                self._cursors.save_meta(self.values)
            self._unsaved_days.clear()
            self.unsaved = ""
        except StoreError as error:
            if not self.unsaved:
                log.warning("publish_cursors_not_written", detail=error.one_line())
            self.unsaved = error.one_line()
            if day:
                self._unsaved_days[day] = self._sent_of(day)
