"""A day file and what was sent of it → the ticks to send next, in chunks of limited size.

For each symbol the number of stored ticks (`symbols.rows`) is compared with the number sent. Ticks above the highest
sequence sent are new. If more are missing, there are late ticks: ticks below that sequence that were received after all
those sent. They are sent if their number is exactly that of the missing ticks; else the symbol is sent again from its
first tick, and readers ignore what they have.

Why that number is a proof: the ticks sent (S) are some of the stored ones, and none of those found (F) is in S, since
each of F was received later than all of S. So F is a part of the missing ticks, and has as many: it is all of them.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.model import recv_ts_ms_of, seq_of
from hk_tick_collector.store.outbox_reader import LOWEST_SEQ, OutboxReader
from hk_tick_collector.store.publish_cursors import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

CHUNK_ROWS: Final = 16_000  # 8 MB of rows and messages
_KEPT_OPEN_S: Final = 10.0  # then the file is closed, so that it can be sealed
_FRESH_S: Final = 0.1  # a file that changed within this time may change again without a new mtime
_ANEW_APART_S: Final = 10.0  # at least, between two times that a symbol is sent from its first tick
_NEAR_SEQS: Final = 900 << 32  # late ticks are first sought among the sequences of the last 15 minutes
_MODULUS: Final = 2**64
_NOTHING: Final = Sent()

Signature = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ticks of one day to send, and what was sent of their symbols once they are acknowledged."""

    day: str
    rows: list[TickRow]
    sent: dict[str, Sent]
    stored: int  # ticks in the day file
    behind: int  # of them, those that are not sent once this chunk is
    is_full: bool  # there may be more at once
    late: int = 0  # of the rows, those below the highest sequence sent before
    anew: tuple[str, ...] = ()  # symbols that are sent again from their first tick


@dataclass(slots=True)
class _Taking:
    """A chunk while it is being filled."""

    rows: list[TickRow] = field(default_factory=list)
    sent: dict[str, Sent] = field(default_factory=dict)
    late: int = 0
    anew: list[str] = field(default_factory=list)

    @property
    def room(self) -> int:
        return CHUNK_ROWS - len(self.rows)

    def add(self, symbol: str, before: Sent, rows: Sequence[TickRow], late: int) -> None:
        self.rows += rows
        self.late += late
        self.sent[symbol] = with_rows(before, rows)


def with_rows(sent: Sent, rows: Sequence[TickRow]) -> Sent:
    """What is sent once these ticks, none of which was sent before, are as well."""
    if not rows:
        return sent
    seqs = list(map(seq_of, rows))
    return Sent(
        max_seq=max(sent.max_seq, *seqs),
        rows=sent.rows + len(seqs),
        seq_sum=(sent.seq_sum + sum(seqs)) % _MODULUS,
        mark_ms=max(sent.mark_ms, *map(recv_ts_ms_of, rows)),
    )


class Outbox:
    """The outbox of one day. `sent` is what was acknowledged; the caller changes it with `acknowledge` and `forget`.

    One thread at a time uses it. `take` raises the errors of DayConnection: the file then counts as unread.
    """

    def __init__(self, path: Path, sent: dict[str, Sent], clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.day = path.stem
        self.sent = sent
        self.stored = 0  # ticks in the file, when it was last read
        self.behind = -1  # of them, those not sent once the chunk taken last is acknowledged; -1: not known
        self.is_sealed = False
        self._clock = clock
        self._reader: OutboxReader | None = None
        self._opened_s = 0.0
        self._version = -1
        self._seen: Signature | None = None  # of the file before it was last read; None if that proves nothing
        self._is_unfinished = True  # something is left to send although the file does not change
        self._begins_with = ""  # the symbol with which the next chunk begins, so that each has its turn
        self._anew_s: dict[str, float] = {}  # when a symbol was last sent from its first tick
        self._wants_anew: set[str] = set()  # symbols that must be sent so again, but were within the last seconds
        self._odd: dict[str, int] = {}  # symbols whose counter is not the number of their ticks, and that counter

    def close(self) -> None:
        """Closes the file, if it is open."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def acknowledge(self, chunk: Chunk) -> None:
        """The ticks of a chunk are acknowledged."""
        self.sent.update(chunk.sent)

    def read_again(self) -> None:
        """A chunk that was taken is not sent: its ticks are taken again."""
        self._is_unfinished, self.behind = True, -1

    def forget(self, symbols: Sequence[str]) -> None:
        """Nothing of these symbols counts as sent."""
        for symbol in symbols:
            self.sent.pop(symbol, None)
        self.read_again()

    def forget_all(self) -> None:
        """Nothing counts as sent."""
        self.sent.clear()
        self.read_again()

    def take(self) -> Chunk | None:
        """The next ticks to send; None if nothing was committed since all was sent."""
        signature = self._signature()
        reader = self._changed_file(signature)
        if reader is None:
            return None
        taking = _Taking()
        with reader.snapshot():
            counts = reader.counts()
            changed = self._changed(counts)
            new = self._new_of_all(reader, changed)
            for symbol, stored in changed:
                if taking.room <= 0:
                    self._begins_with = symbol
                    break
                self._take_symbol(reader, symbol, stored, taking, None if new is None else new.get(symbol, []))
            is_sealed = reader.is_sealed()  # of the same moment: what is stored afterwards is not counted here
        self.stored = sum(stored for _, stored in counts)
        sent = self.sent | taking.sent
        self.behind = behind = sum(
            max(stored - sent.get(symbol, _NOTHING).rows, 0)
            for symbol, stored in counts
            if self._odd.get(symbol) != stored
        )
        self.is_sealed = is_sealed
        is_full = taking.room <= 0
        self._seen = None if _is_fresh(signature) else signature
        self._is_unfinished = is_full or behind > 0
        return Chunk(self.day, taking.rows, taking.sent, self.stored, behind, is_full, taking.late, tuple(taking.anew))

    def check(self) -> list[str]:
        """The symbols of which other ticks are stored than were sent, although their number is the same.

        Reads the keys of the whole day. There are none, unless another program changed the file.
        """
        with OutboxReader(self.path) as reader, reader.snapshot():
            return [
                symbol
                for symbol, rows, seq_sum in reader.key_sums()
                if symbol in self.sent and self.sent[symbol].rows == rows and self.sent[symbol].seq_sum != seq_sum
            ]

    def _changed(self, counts: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """The symbols of which not all is sent, from the one on at which the last chunk was full."""
        begin, self._begins_with = self._begins_with, ""
        at = next((index for index, (symbol, _) in enumerate(counts) if symbol >= begin), 0)
        return [
            (symbol, stored)
            for symbol, stored in counts[at:] + counts[:at]
            if stored != self.sent.get(symbol, _NOTHING).rows and self._odd.get(symbol) != stored
        ]

    def _new_of_all(self, reader: OutboxReader, changed: list[tuple[str, int]]) -> dict[str, list[TickRow]] | None:
        """The ticks above the highest sequence sent, by symbol; None where they may not fit in a chunk.

        One statement for all symbols: a busy market has ticks of hundreds in each commit.
        """
        before = [self.sent.get(symbol, _NOTHING) for symbol, _ in changed]
        if sum(max(stored - sent.rows, 0) for (_, stored), sent in zip(changed, before, strict=True)) > CHUNK_ROWS:
            return None
        wanted = {symbol: sent.max_seq for (symbol, _), sent in zip(changed, before, strict=True)}
        rows = reader.rows_after_each(wanted, CHUNK_ROWS + 1)
        if len(rows) > CHUNK_ROWS:  # a counter is wrong
            return None
        found: dict[str, list[TickRow]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(row)
        return found

    def _take_symbol(
        self, reader: OutboxReader, symbol: str, stored: int, taking: _Taking, new: list[TickRow] | None
    ) -> None:
        """Adds the ticks of a symbol; `new` are those above the highest sequence sent, if they were read already."""
        sent = self.sent.get(symbol, _NOTHING)
        if stored < sent.rows or symbol in self._wants_anew:  # less: ticks are gone, another file or changed by hand
            if self._take_anew(reader, symbol, stored, taking) or stored < sent.rows:
                return
            taking.add(symbol, sent, reader.rows_after(symbol, sent.max_seq, taking.room), 0)
            return
        new = reader.rows_after(symbol, sent.max_seq, taking.room) if new is None else new[: taking.room]
        late = stored - sent.rows - len(new)
        if late < 0:
            self._odd[symbol] = stored
        if late <= 0 or len(new) == taking.room:
            taking.add(symbol, sent, new, 0)
            return
        if late > taking.room:
            if taking.room == CHUNK_ROWS:
                self._take_anew(reader, symbol, stored, taking)
            return  # else it waits for a chunk of its own
        found = self._late(reader, symbol, sent, late)
        if found is not None:
            taking.add(symbol, sent, [*found, *new][: taking.room], late)
        elif not self._take_anew(reader, symbol, stored, taking):
            taking.add(symbol, sent, new, 0)

    def _late(self, reader: OutboxReader, symbol: str, sent: Sent, late: int) -> list[TickRow] | None:
        """The `late` ticks below the highest sequence sent; None if it is not certain which they are."""
        for lowest in (max(sent.max_seq - _NEAR_SEQS, LOWEST_SEQ), LOWEST_SEQ):
            found = reader.late_rows(symbol, (lowest, sent.max_seq), sent.mark_ms, late + 1)
            if len(found) == late:
                return found
        return None

    def _take_anew(self, reader: OutboxReader, symbol: str, stored: int, taking: _Taking) -> bool:
        """Adds the first ticks of a symbol. False if that was done seconds ago: then it waits, and is behind."""
        now_s = self._clock()
        if now_s - self._anew_s.get(symbol, float("-inf")) < _ANEW_APART_S:
            self._wants_anew.add(symbol)
            return False
        self._wants_anew.discard(symbol)
        self._anew_s[symbol] = now_s
        rows = reader.rows_after(symbol, LOWEST_SEQ, taking.room)
        if len(rows) < taking.room and len(rows) != stored:
            self._odd[symbol] = stored
        taking.anew.append(symbol)
        taking.add(symbol, _NOTHING, rows, 0)
        return True

    def _changed_file(self, signature: Signature) -> OutboxReader | None:
        """The file, if it may have changed since all of it was read; it is opened if needed."""
        now_s = self._clock()
        if self._reader is not None and now_s - self._opened_s > _KEPT_OPEN_S:
            self.close()
        if self._reader is None:
            if self._seen == signature and not self._is_unfinished:
                return None
            self._reader = OutboxReader(self.path)
            self._opened_s, self._version = now_s, -1
        version = self._reader.data_version()
        if version == self._version and not self._is_unfinished:
            return None
        self._version = version
        return self._reader

    def _signature(self) -> Signature:
        """What changes with each commit: the inode, sizes and times of the file and of its WAL."""
        main = os.stat(self.path)  # noqa: PTH116 - faster
        try:
            wal = os.stat(f"{self.path}-wal")  # noqa: PTH116
        except FileNotFoundError:
            return main.st_dev, main.st_ino, main.st_size, main.st_mtime_ns, 0, 0
        return main.st_dev, main.st_ino, main.st_size, main.st_mtime_ns, wal.st_size, wal.st_mtime_ns


def _is_fresh(signature: Signature) -> bool:
    """Whether the file has just changed: times of the kernel have steps of a few ms."""
    return abs(time.time() - max(signature[3], signature[5]) / 1e9) < _FRESH_S
