"""How far `publish` has come: for each day and symbol, what the engine has acknowledged. A small SQLite file.

Losing it costs no tick: what it does not know is sent again. So it is not synced at each commit, and a damaged one is
set aside. It must never be ahead of what was acknowledged: it is written after the acknowledgements only.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from hk_tick_collector.errors import OwnedError, StoreError

from .outbox_reader import LOWEST_SEQ
from .rights import refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_VERSION: Final = 1
_APPLICATION_ID: Final = 0x484B5443 ^ 0x7075626C
_MODE: Final = 0o640
_SCHEMA: Final = """
CREATE TABLE days (
    day    TEXT    PRIMARY KEY,
    device INTEGER NOT NULL,
    inode  INTEGER NOT NULL,   -- of the file whose ticks were sent
    done   INTEGER NOT NULL,   -- 1: sealed, and all of it is sent
    told   TEXT    NOT NULL    -- the last sums that were sent: '', lunch, close, sealed
) STRICT, WITHOUT ROWID;
CREATE TABLE sent (
    day     TEXT    NOT NULL,
    symbol  TEXT    NOT NULL,
    max_seq INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    seq_sum TEXT    NOT NULL,  -- modulo 2^64, which is more than an INTEGER
    mark_ms INTEGER NOT NULL,  -- the latest recv_ts_ms
    PRIMARY KEY (day, symbol)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


class Sent(NamedTuple):
    """What was sent of one symbol and day: a set of its ticks, all with a sequence up to `max_seq`."""

    max_seq: int = LOWEST_SEQ
    rows: int = 0
    seq_sum: int = 0  # of their sequences, modulo 2^64
    mark_ms: int = -1  # the latest time at which one of them was received


class DayEntry(NamedTuple):
    """A day that is or was being sent."""

    day: str  # 20261120
    device: int
    inode: int
    done: bool
    told: str


class PublishCursors:
    """The file at `path`, for this process alone; created if missing. Whatever writes runs inside `transaction`.

    Raises OwnedError if another process uses it, StoreError if it cannot be used. `set_aside` is the new name of a
    damaged one, else empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside = ""
        try:
            self._db = _open(path)
        except (apsw.CorruptError, apsw.NotADBError, _OtherVersionError):
            self.set_aside = f"{path.name}.damaged"
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{path}.damaged{suffix}")  # noqa: PTH105 - with a suffix
            self._db = _open(path)

    def close(self) -> None:
        """Closes the file."""
        self._db.close(True)

    def meta(self) -> dict[str, str]:
        """All noted values."""
        with self._named_errors():
            return dict(self._db.execute("SELECT key, value FROM meta").fetchall())  # type: ignore[arg-type]

    def days(self) -> list[DayEntry]:
        """Every day that was begun, oldest first."""
        with self._named_errors():
            rows: list[Any] = self._db.execute(
                "SELECT day, device, inode, done, told FROM days ORDER BY day"
            ).fetchall()
        return [DayEntry(day, device, inode, bool(done), told) for day, device, inode, done, told in rows]

    def sent(self, day: str) -> dict[str, Sent]:
        """What was sent of a day, by symbol."""
        sql = "SELECT symbol, max_seq, rows, seq_sum, mark_ms FROM sent WHERE day = ?"
        with self._named_errors():
            rows: list[Any] = self._db.execute(sql, (day,)).fetchall()
        return {
            symbol: Sent(max_seq, count, int(seq_sum), mark_ms) for symbol, max_seq, count, seq_sum, mark_ms in rows
        }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside the block is written, or nothing. StoreError if the disk refuses."""
        with self._named_errors(), self._db:
            yield

    def save(self, day: str, sent: Mapping[str, Sent]) -> None:
        """What was acknowledged of these symbols."""
        rows = [(day, name, each.max_seq, each.rows, str(each.seq_sum), each.mark_ms) for name, each in sent.items()]
        self._db.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?)", rows)

    def begin(self, entry: DayEntry) -> None:
        """Begins a day, or begins it anew: nothing of it counts as sent."""
        self._db.execute("DELETE FROM sent WHERE day = ?", (entry.day,))
        self.mark(entry)

    def mark(self, entry: DayEntry) -> None:
        """Which file a day has, which sums of it were sent, and whether it is finished."""
        values = (entry.day, entry.device, entry.inode, int(entry.done), entry.told)
        self._db.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?)", values)

    def forget(self, day: str, symbols: Sequence[str]) -> None:
        """Nothing of these symbols of a day counts as sent any more."""
        self._db.executemany("DELETE FROM sent WHERE day = ? AND symbol = ?", [(day, each) for each in symbols])

    def save_meta(self, meta: Mapping[str, str]) -> None:
        """Notes these values."""
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(meta.items()))

    def drop_before(self, day: str) -> None:
        """Forgets the days before this one. StoreError if the disk refuses."""
        with self.transaction():
            for table in ("sent", "days"):
                self._db.execute(f"DELETE FROM {table} WHERE day < ?", (day,))  # noqa: S608 - our own names

    def clear(self) -> None:
        """Forgets everything. StoreError if the disk refuses."""
        with self.transaction():
            for table in ("sent", "days", "meta"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise StoreError(
                f"cannot use {self.path} ({error})", hint=f"df -h {quote_word(str(self.path.parent))}"
            ) from error


class _OtherVersionError(Exception):
    """The file is not one of this version."""


def _open(path: Path) -> apsw.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
    except OSError as error:
        raise refused("the cursor file of publish", path, error) from error
    db = apsw.Connection(str(path))
    try:
        _prepare(db)
    except (apsw.BusyError, apsw.LockedError):
        db.close(True)
        raise OwnedError(
            f"another process publishes with {path}", hint=f"sudo fuser -v {quote_word(str(path))}"
        ) from None
    except (apsw.IOError, apsw.FullError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        db.close(True)
        raise StoreError(f"cannot use {path} ({error})", hint=f"df -h {quote_word(str(path.parent))}") from None
    except BaseException:
        db.close(True)
        raise
    return db


def _prepare(db: apsw.Connection) -> None:
    """Locks the file for this process, makes the tables of a new one, and checks what is there."""
    db.pragma("locking_mode", "exclusive")  # no -shm file is needed either
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "normal")  # a power cut may take the last commits: their ticks are sent again
    with db:
        if db.pragma("user_version") == 0 and not db.execute("SELECT count(*) FROM sqlite_schema").get:
            db.execute(_SCHEMA)
            db.pragma("application_id", _APPLICATION_ID)
            db.pragma("user_version", _VERSION)
    if db.pragma("user_version") != _VERSION or db.pragma("application_id") != _APPLICATION_ID:
        raise _OtherVersionError
    if db.pragma("quick_check") != "ok":
        raise apsw.CorruptError
