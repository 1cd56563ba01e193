"""The only writer: day files, and what goes into them in one transaction.

Enters: batches of rows for one day. Leaves: the same rows in `YYYYMMDD.db`, each `(symbol, seq)` once, with the
counters of `symbols` and `ledger` in the same transaction. Nothing here logs, waits or retries: errors tell what went
wrong, and the writer thread in `collect` decides.

States of a file. While it is written it is a WAL database whose `-wal` and `-shm` stay on disk even after a crash, so
that a reader without write access can always open it. `close` leaves one plain file when no reader holds it. `seal`
ends a day: checked, plain, mode 0440; no tick enters it again.
"""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import apsw

from hk_tick_collector.errors import SealedDayError, StoreError
from hk_tick_collector.model import GAP_OPEN, UNSTORED_CAUSES, Gap, Reconciled

from . import schema
from .opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import RuleChange, TickRow

_SYMBOL = itemgetter(schema.TICK_COLUMNS.index("symbol"))
_TS_MS = itemgetter(schema.TICK_COLUMNS.index("ts_ms"))

SEALED_MODE: Final = 0o440

_PAGE_BYTES: Final = 4096  # SQLite's default
_INSERT_HEAD: Final = f"INSERT INTO ticks ({', '.join(schema.TICK_COLUMNS)}) VALUES "  # noqa: S608 - our own names
_INSERT_ROW: Final = "(" + ",".join("?" * len(schema.TICK_COLUMNS)) + ")"
# DO NOTHING for the key alone: OR IGNORE would also swallow a NULL and count it as a duplicate.
_INSERT_TAIL: Final = " ON CONFLICT (symbol, seq) DO NOTHING"
# Rows of one INSERT. Wide statements keep the GIL away from SQLite's work, but one that is too long for the cache of
# prepared statements is prepared at each use: to fill SQLite's 32,766 parameters, 3,276 rows, cost a third of all its
# time. A ladder of widths keeps the statements few.
_CACHED_BYTES: Final = 16_384  # apsw's `max_cacheable_bytes`, of which a statement must stay short
_WIDEST: Final = (_CACHED_BYTES - 1 - len(_INSERT_HEAD + _INSERT_TAIL)) // len(_INSERT_ROW + ",")
_WIDTHS: Final = (_WIDEST, 256, 64, 16, 4, 1)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How SQLite is to be used; the defaults are the settings' own."""

    synchronous: str = "FULL"
    wal_autocheckpoint_pages: int = 4000
    busy_timeout_ms: int = 5000
    cache_kib: int = 65_536
    vfs: str | None = None  # tests inject disk faults through one

    @property
    def wal_autocheckpoint_bytes(self) -> int:
        """The same in bytes of the write-ahead log."""
        return self.wal_autocheckpoint_pages * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of everything received in one run: received = stored + duplicate + rejected + dropped + waiting."""

    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0
    commits: int = 0

    @property
    def received(self) -> int:
        """All ticks that reached the socket, whatever became of them."""
        return self.stored + self.duplicate + self.rejected + self.dropped + self.waiting


@dataclass(frozen=True, slots=True)
class Link:
    """A stretch of time with or without OpenD begins."""

    at_ms: int
    connected: bool
    conn_id: int | None
    reason: str


@dataclass(slots=True)
class Batch:
    """What one transaction writes into one day file."""

    rows: list[TickRow] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)  # as they are to be, of this file's day
    rules: list[RuleChange] = field(default_factory=list)  # what was judged of sequences
    reconciled: list[Reconciled] = field(default_factory=list)  # in place of what its session had
    duplicate: int = 0  # ticks of another, finished day that were stored long ago
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0  # rows still queued behind this batch


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction did."""

    stored: int
    duplicate: int


class DayFile:
    """One day's file, open for writing; made when missing.

    `day_name` is `YYYYMMDD`; `run_id` names this run of the service in the ledger. `ledger`, `newest_ts_ms` and
    `open_gaps` (id → ticks missing) are what is committed.

    Raises ForeignFileError, nothing touched, for a file that is not ours or is newer than this version;
    DamagedFileError for one of ours that does not pass its check; SealedDayError for a finished day; StoreError for
    what the system refuses; and SQLite's own errors as `apsw.Error`.
    """

    def __init__(
        self, path: Path, day_name: str, run_id: str, now_ms: int, version: str, options: StoreOptions
    ) -> None:
        self.path = path
        self.day_name = day_name
        self.ledger = Ledger()
        self._run_id = run_id
        self._started_ms = now_ms
        self._rules: dict[str, RuleChange] = {}  # of symbols that have no row yet
        if not path.exists():
            _build(path, options)
        self._db = _open(path, options)
        self._identity = _identity(path)
        try:
            self._db.pragma("synchronous", options.synchronous)
            _migrate(self._db)  # before WAL: the plain file alone tells whose it is
            _configure(self._db, options)
            self._describe(now_ms, version)
            self.ledger = self._read_ledger()
            self._counted = self._count()
            self.newest_ts_ms = self._read_newest()
            self.open_gaps = self._read_open_gaps()
        except BaseException:
            self._db.close(True)
            raise

    def write(self, batch: Batch, now_ms: int) -> Written:
        """Stores a batch in one transaction; when it returns, SQLite has committed it.

        On an error the transaction is rolled back, but a commit that failed may still have happened: reopen the file
        then and compare `ledger.commits`.
        """
        before = self.ledger
        # Nearly the order of the key, so that neighbours go to the same page: a symbol's own rows came in order. To
        # compare whole rows would take three times as long, and nobody else gets the interpreter meanwhile.
        rows = sorted(batch.rows, key=_SYMBOL)
        with self._transaction():
            stored = self._insert(rows)
            for link in batch.links:
                self._write_link(link)
            self._write_gaps(batch.gaps)
            rules = self._write_rules(batch.rules)
            if batch.reconciled:
                self._db.executemany(_RECONCILED_SQL, batch.reconciled)
            ledger = replace(
                before,
                stored=before.stored + stored,
                duplicate=before.duplicate + batch.duplicate + len(rows) - stored,
                rejected=before.rejected + batch.rejected,
                dropped=before.dropped + batch.dropped,
                waiting=batch.waiting,
                commits=before.commits + 1,
            )
            self._write_ledger(ledger, now_ms)
        self.ledger, self._rules = ledger, rules
        self._counted += stored
        for gap in batch.gaps:
            if gap.status == GAP_OPEN:
                self.open_gaps[gap.id] = gap.missing or 0
            else:
                self.open_gaps.pop(gap.id, None)
        if rows:
            self.newest_ts_ms = max(self.newest_ts_ms, *map(_TS_MS, rows))
        return Written(stored, len(rows) - stored)

    def wal_bytes(self) -> int:
        """The size of the write-ahead log on disk; 0 without one, and where it cannot be looked at."""
        try:
            return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116 - beside the database, not a name of ours
        except OSError:
            return 0  # an open file takes ticks also when its directory is closed to us

    def in_place(self) -> bool:
        """Whether the path still leads to this file; SQLite goes on writing to one that was removed or moved away."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return True  # a right that is lacking, for example, tells nothing of the file

    def close(self) -> bool:
        """Closes the file; True when it is now one plain file, False when a reader kept the WAL alive."""
        try:
            return _make_plain(self._db)
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Closes without a checkpoint, after an error: what was committed stays in the WAL."""
        self._db.close(True)

    def interrupt(self) -> None:
        """Ends the statement that runs in another thread; `write` raises there. Safe to call from any thread."""
        self._db.interrupt()

    def _insert(self, rows: Sequence[TickRow]) -> int:
        # Iterators of C alone, from one statement to the next: no line of Python at which the event loop, which waits
        # for the interpreter in a burst, would be given it between the making of the values and their binding.
        values, left = chain.from_iterable(rows), len(rows)
        for width in _WIDTHS:
            times, left = divmod(left, width)
            if times:
                pieces = map(islice, repeat(values, times), repeat(width * len(schema.TICK_COLUMNS)))
                self._db.executemany(_insert_sql(width), map(tuple, pieces))
        return self._count() - self._counted

    def _count(self) -> int:
        """The rows of `ticks`, as their trigger has counted them."""
        return int(self._db.execute("SELECT ifnull(sum(rows), 0) FROM symbols").get)

    def _write_gaps(self, gaps: Sequence[Gap]) -> None:
        """Writes gaps as they are now, and what that changes of their symbols' `expected`."""
        for gap in gaps:
            old = self._db.execute(_MISSING_SQL, (gap.id,)).get
            now = gap.missing or 0 if gap.status == GAP_OPEN else int(old is None and gap.cause in UNSTORED_CAUSES)
            self._db.execute(_GAP_SQL, gap)
            if now != (old or 0):
                self._db.execute(_EXPECT_SQL, (now - (old or 0), gap.symbol))

    def _write_rules(self, rules: Sequence[RuleChange]) -> dict[str, RuleChange]:
        """Writes what was judged; returns what waits for the first row of its symbol."""
        waiting = self._rules | {rule.symbol: rule for rule in rules}
        for change in list(waiting.values()):
            self._db.execute(_RULE_SQL, (change.rule, change.run_seq, change.symbol))
            if self._db.changes():
                del waiting[change.symbol]
        return waiting

    def _write_link(self, link: Link) -> None:
        self._db.execute("UPDATE connections SET to_ms = ? WHERE to_ms IS NULL", (link.at_ms,))
        self._db.execute(
            "INSERT INTO connections (from_ms, connected, conn_id, reason) VALUES (?, ?, ?, ?)",
            (link.at_ms, int(link.connected), link.conn_id, link.reason),
        )

    def _write_ledger(self, ledger: Ledger, now_ms: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run_id,
                self._started_ms,
                now_ms,
                ledger.commits,
                ledger.received,
                ledger.stored,
                ledger.duplicate,
                ledger.rejected,
                ledger.dropped,
                ledger.waiting,
            ),
        )

    def _read_ledger(self) -> Ledger:
        row = self._db.execute(
            "SELECT stored, duplicate, rejected, dropped, waiting, commits, started_ms FROM ledger WHERE run_id = ?",
            (self._run_id,),
        ).fetchone()
        if row is None:
            return Ledger()
        self._started_ms = row[6]
        return Ledger(*row[:6])

    def _read_newest(self) -> int:
        return int(self._db.execute("SELECT ifnull(max(last_ts_ms), 0) FROM symbols").get)

    def _read_open_gaps(self) -> dict[int, int]:
        rows: Any = self._db.execute("SELECT id, ifnull(missing, 0) FROM gaps WHERE status = ?", (GAP_OPEN,))
        return dict(rows)

    def _describe(self, now_ms: int, version: str) -> None:
        facts = {
            "schema_version": str(schema.VERSION),
            "market": "HK",
            "trading_day": self.day_name,
            "software_version": version,
            "sqlite_version": apsw.sqlite_lib_version(),
        }
        with self._transaction():
            if self._db.execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get is not None:
                raise SealedDayError(f"{self.path.name} is sealed")
            self._db.execute("INSERT INTO meta VALUES ('created_ms', ?) ON CONFLICT DO NOTHING", (str(now_ms),))
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())
            # An earlier run that was killed could not end its last stretch: it lasted to its last commit at least.
            self._db.execute(
                """UPDATE connections SET to_ms = max(from_ms, (SELECT max(updated_ms) FROM ledger)),
                          reason = iif(connected, 'unclean stop', reason)
                   WHERE to_ms IS NULL AND NOT EXISTS (SELECT 1 FROM ledger WHERE run_id = ?)""",
                (self._run_id,),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def seal(path: Path, now_ms: int, options: StoreOptions) -> bool:
    """Ends a day whose file nobody writes: checks it, makes it one plain file, mode 0440.

    True when that is done (also when it was before), False when a reader holds the file: try again later. Raises
    StoreError when the check finds damage, and leaves the file as it is.
    """
    if not path.stat().st_mode & stat.S_IWUSR:
        return True
    db = _open(path, options, check=False)  # its own check is the thorough one
    try:
        if db.execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get is None:
            verdict = db.execute("PRAGMA integrity_check(1)").get
            if verdict != "ok":
                raise StoreError(
                    f"{path.name} does not pass its integrity check ({verdict})",
                    hint="keep the file, copy it away and see docs/sqlite-wal.md",
                )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('sealed_ms', ?)", (str(now_ms),))
        plain = _make_plain(db)
    except (apsw.BusyError, apsw.LockedError):
        return False
    finally:
        db.close()
    if plain:
        path.chmod(SEALED_MODE)
    return plain


def _insert_sql(width: int) -> str:
    if width not in _INSERT_SQL:
        _INSERT_SQL[width] = _INSERT_HEAD + ",".join([_INSERT_ROW] * width) + _INSERT_TAIL
    return _INSERT_SQL[width]


_INSERT_SQL: Final[dict[int, str]] = {}
_GAP_SQL: Final = (
    f"INSERT OR REPLACE INTO gaps ({', '.join(Gap._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(Gap._fields))})"
)
_MISSING_SQL: Final = "SELECT iif(status = 'open', ifnull(missing, 0), 0) FROM gaps WHERE id = ?"
_EXPECT_SQL: Final = "UPDATE symbols SET expected = expected + ? WHERE symbol = ?"
_UNSTORED: Final = ", ".join(f"'{cause}'" for cause in sorted(UNSTORED_CAUSES))
_RULE_SQL: Final = f"""
    UPDATE symbols SET rule = ?1, run_seq = ?2, expected = iif(?1 = 'counter',
        rows + (SELECT ifnull(sum(missing), 0) FROM gaps WHERE symbol = ?3 AND status = 'open')
        + (SELECT count(*) FROM gaps WHERE symbol = ?3 AND status = 'healed' AND cause IN ({_UNSTORED})), NULL)
    WHERE symbol = ?3
"""  # noqa: S608 - our own names
_RECONCILED_SQL: Final = (
    f"INSERT OR REPLACE INTO reconciliation ({', '.join(Reconciled._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(Reconciled._fields))})"
)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None when to none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, options: StoreOptions, *, check: bool = True) -> apsw.Connection:
    return open_for_writing(path, options.busy_timeout_ms, options.vfs, check=check)


def _build(path: Path, options: StoreOptions) -> None:
    """Makes an empty day file under another name first: nobody ever sees one without its tables."""
    draft = path.with_name(f".{path.name}.new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    db = _open(draft, options)
    try:
        db.pragma("synchronous", options.synchronous)
        _migrate(db)
    finally:
        db.close()
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # without it a power cut may take the name away
    finally:
        os.close(directory)


def _configure(db: apsw.Connection, options: StoreOptions) -> None:
    db.pragma("journal_mode", "wal")
    _keep_wal(db, keep=True)
    db.pragma("synchronous", options.synchronous)
    db.pragma("cache_size", -options.cache_kib)
    db.wal_autocheckpoint(options.wal_autocheckpoint_pages)
    # A WAL that a reader made long is cut when it is begun anew; otherwise its size would stay, and tell of a reader.
    db.pragma("journal_size_limit", 2 * options.wal_autocheckpoint_bytes)


def _migrate(db: apsw.Connection) -> None:
    """Brings an older or empty file to this version, one transaction a step."""
    for version in range(db.pragma("user_version"), schema.VERSION):
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(schema.MIGRATIONS[version])
            db.pragma("application_id", schema.APPLICATION_ID)
            db.pragma("user_version", version + 1)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _make_plain(db: apsw.Connection) -> bool:
    """Turns a WAL database into one plain file; False when another connection holds it."""
    _keep_wal(db, keep=False)
    try:
        db.pragma("journal_mode", "delete")
    except (apsw.BusyError, apsw.LockedError):
        _keep_wal(db, keep=True)
        return False
    return True


def _keep_wal(db: apsw.Connection, *, keep: bool) -> None:
    """Whether `-wal` and `-shm` outlive the last connection: without them a read-only reader cannot open the file."""
    value = ctypes.c_int(int(keep))
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(value))
