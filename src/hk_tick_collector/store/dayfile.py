"""Writes the day files of collectors, merges and imports.

Enters: batches of rows for one day. Leaves: the same rows in `YYYYMMDD.db`, each `(symbol, seq)` once, with the
counters of `symbols` and `ledger` in the same transaction. Nothing here logs, waits or retries: errors say what failed,
and the writer thread in `collect` decides.

The states of a file:

- While it is written, it is a WAL database. Its `-wal` and `-shm` stay on disk even after a crash, so that a reader
  without write permission can always open it.
- `close` makes it one plain file if no reader has it open.
- `seal` ends a day: the file is checked, plain, and has mode 0440. No tick is added after that.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import stat
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector.errors import DamagedFileError, SchemaChangedError, SealedDayError, StoreError
from hk_tick_collector.model import GAP_OPEN, UNSTORED_CAUSES, Gap, Instrument, Reconciled, symbol_of, ts_ms_of

from . import schema
from .disk import sync_directory, take_name
from .faults import with_system_error
from .inserting import insert
from .opening import open_for_writing
from .predecessor_rows import write_beside
from .schema_check import CHANGED_HINT, cookie, named_changes, refuse_foreign_triggers, undo_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import RuleChange, TickRow

    from .merged_rows import MergedRows
    from .predecessor_rows import BesideRow


_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01: a later tick was not written by the collector
SEALED_MODE: Final = 0o440

_PAGE_BYTES: Final = 4096  # SQLite's default


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The options for SQLite; the defaults are those of the settings."""

    synchronous: str = "FULL"
    wal_autocheckpoint_pages: int = 4000
    busy_timeout_ms: int = 5000
    cache_kib: int = 65_536
    vfs: str | None = None  # tests inject disk faults through one

    @property
    def wal_autocheckpoint_bytes(self) -> int:
        """The size of the WAL, in bytes, at which SQLite checkpoints it."""
        return self.wal_autocheckpoint_pages * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Ledger:
    """The results of all ticks received in one run: received = stored + duplicate + rejected + dropped + waiting."""

    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0
    commits: int = 0

    @property
    def received(self) -> int:
        """All received ticks."""
        return self.stored + self.duplicate + self.rejected + self.dropped + self.waiting


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """A connection to OpenD began or ended."""

    at_ms: int
    connected: bool
    conn_id: int | None
    reason: str


@dataclass(slots=True)
class Batch:
    """The content of one transaction for one day file."""

    rows: list[TickRow] = field(default_factory=list)
    connections: list[ConnectionChange] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)  # new or changed rows of `gaps`
    rules: list[RuleChange] = field(default_factory=list)  # changed rules of symbols
    reconciled: list[Reconciled] = field(default_factory=list)  # replaces the rows of the same session
    instruments: list[Instrument] = field(default_factory=list)  # replaces what is known of these symbols
    beside: list[BesideRow] = field(default_factory=list)  # rows of the predecessor that cannot be ticks
    meta: dict[str, str] = field(default_factory=dict)  # rows of `meta`
    merged: MergedRows | None = None  # what only a merged day file has
    drift_s: float | None = None  # our clock minus OpenD's; the file keeps the one furthest from zero
    duplicate: int = 0  # number of ticks that are already stored in the sealed file of another day
    rejected: int = 0
    dropped: int = 0
    waiting: int = 0  # rows still in the queue after this batch


@dataclass(frozen=True, slots=True)
class Written:
    """The result of one transaction: each row of the batch is stored, duplicate, or in `conflicts`."""

    stored: int
    duplicate: int
    # Rows, in order, for whose key a different tick is stored. In the ledger they count as rejected.
    conflicts: tuple[TickRow, ...] = ()
    gaps: tuple[Gap, ...] = ()  # gaps that this transaction opened or closed, as committed
    undone: tuple[str, ...] = ()  # schema changes of other programs that were undone, as texts
    rules: dict[str, RuleChange] = field(default_factory=dict, compare=False)  # those that wait for a row after it


class DayFile:
    """The file of one day, open for writing; created if missing.

    `day_name` is `YYYYMMDD`. `run_id` names this run of the service in the ledger. `ledger`, `newest_ts_ms`,
    `has_connections`, `gaps_open` and `gaps_missing` (the ticks missing in open gaps) are the committed state.
    `attempted` is the result of the last `write`, set before its COMMIT: COMMIT may return an error and have succeeded.
    `rules` wait for the first row of their symbol; whoever opens the file again gives it those of the closed one.

    Raises ForeignFileError, without changing anything, for a file that is not ours or is newer than this version;
    DamagedFileError for a file of ours that does not pass its check; SealedDayError for a sealed day;
    SchemaChangedError when another program changed the tables; StoreError when the system refuses; and `apsw.Error`.
    """

    def __init__(
        self, path: Path, day_name: str, run_id: str, now_ms: int, version: str, options: StoreOptions
    ) -> None:
        self.path = path
        self.day_name = day_name
        self.ledger = Ledger()
        self._run_id = run_id
        self._started_ms = now_ms
        self.rules: dict[str, RuleChange] = {}  # of symbols that have no row yet
        if not path.exists():
            _build(path, options)
        self._db, self._identity = _open_in_place(path, options)
        refuse_foreign_triggers(self._db, path.name)
        self.attempted: Written | None = None
        self._cookie: int | None = None  # of the schema at its last check
        self._undone: list[str] = []  # undone schema changes, not yet returned
        try:
            with with_system_error(self._db, path), named_changes(self._db, path.name):
                self._db.pragma("synchronous", options.synchronous)
                self._refuse_sealed()  # before any change of the file
                _migrate(self._db)  # before WAL mode, so that the main file already has our application_id
                _configure(self._db, options)
                self._describe(now_ms, version)
                self.ledger = self._read_ledger()
                self.newest_ts_ms = self._read_newest()
                self.gaps_open, self.gaps_missing = self._read_open_gaps()
                self.has_connections = self._db.execute("SELECT 1 FROM connections LIMIT 1").get is not None
        except BaseException:
            self._db.close(True)
            raise

    def write(self, batch: Batch, now_ms: int) -> Written:
        """Stores a batch in one transaction. When it returns, SQLite has committed it.

        On an error the transaction is rolled back. But a commit may have succeeded although it returned an error: then
        open the file again and compare `ledger.commits`.
        """
        self.attempted = None
        with with_system_error(self._db, self.path), named_changes(self._db, self.path.name):
            return self._write(batch, now_ms)

    def _write(self, batch: Batch, now_ms: int) -> Written:
        before = self.ledger
        # Sorted by symbol only: the rows of a symbol arrive nearly in order, so this is nearly the order of the key,
        # and neighbours go to the same page. Sorting by the whole key would hold the GIL three times as long.
        rows = sorted(batch.rows, key=symbol_of)
        with self._transaction():
            self._check_schema()
            stored, conflicts = insert(self._db, rows, self.path.name)
            for change in batch.connections:
                self._write_connection(change)
            turned, gaps_open, gaps_missing = self._write_gaps(batch.gaps)
            rules = self._write_rules(batch.rules)
            if batch.reconciled:
                self._db.executemany(_RECONCILED_SQL, batch.reconciled)
            if batch.instruments:
                self._db.executemany(_INSTRUMENT_SQL, batch.instruments)
            if batch.beside:
                write_beside(self._db, batch.beside)
            if batch.merged:
                batch.merged.write(self._db, conflicts, now_ms)
            if batch.meta:
                self._db.executemany(_META_SQL, batch.meta.items())
            if batch.drift_s is not None:
                self._db.execute(_DRIFT_SQL, (schema.META_DRIFT, f"{batch.drift_s:.3f}"))
            duplicate = len(rows) - stored - len(conflicts)
            ledger = replace(
                before,
                stored=before.stored + stored,
                duplicate=before.duplicate + batch.duplicate + duplicate,
                rejected=before.rejected + batch.rejected + len(conflicts),
                dropped=before.dropped + batch.dropped,
                waiting=batch.waiting,
                commits=before.commits + 1,
            )
            self._write_ledger(ledger, now_ms)
            undone = tuple(self._undone)
            self.attempted = written = Written(stored, duplicate, tuple(conflicts), tuple(turned), undone, rules)
        self._undone.clear()
        self.ledger, self.rules = ledger, rules
        self.has_connections = self.has_connections or bool(batch.connections)
        self.gaps_open += gaps_open
        self.gaps_missing += gaps_missing
        if rows:
            self.newest_ts_ms = max(self.newest_ts_ms, *map(ts_ms_of, rows))
        return written

    def wal_bytes(self) -> int:
        """The size of the WAL on disk; 0 if there is none or it cannot be accessed."""
        try:
            return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116 - faster
        except OSError:
            return 0  # an open file can be written even if its directory is not accessible

    def in_place(self) -> bool:
        """Whether this file is still at its path. SQLite would continue to write to a removed or moved file."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return True  # a missing permission, for example, does not mean that the file was moved

    def close(self) -> bool:
        """Closes the file. Returns True if it is now one plain file, False if a reader still uses its WAL."""
        try:
            return _make_plain(self._db)
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Closes without a checkpoint, after an error. Committed rows stay in the WAL."""
        self._db.close(True)

    def interrupt(self) -> None:
        """Interrupts the statement that runs in another thread; `write` raises there. Any thread may call it."""
        _interrupt(self._db)

    def _check_schema(self) -> None:
        """Within a transaction: detects changes of the schema since the last one, and undoes those that are safe."""
        if cookie(self._db) != self._cookie:
            self._undone += undo_changes(self._db, self.path.name)
            self._cookie = cookie(self._db)

    def _write_gaps(self, gaps: Sequence[Gap]) -> tuple[list[Gap], int, int]:
        """Returns the gaps that this opens or closes, and the changes of `gaps_open` and `gaps_missing`."""
        if not gaps:
            return [], 0, 0
        last = {gap.id: gap for gap in gaps}
        before: dict[int, int] = dict(  # id → ticks missing, -1 where it is not open
            self._db.execute(_GAPS_BEFORE_SQL, (json.dumps(list(last)), GAP_OPEN)).fetchall()  # type: ignore[arg-type]
        )
        self._db.executemany(_GAP_SQL, last.values())
        turned, opened, missing = [], 0, 0
        expected: Counter[str] = Counter()
        for gap in last.values():
            was, now = before.get(gap.id, -1), gap.missing or 0 if gap.status == GAP_OPEN else -1
            if (was < 0) != (now < 0):
                turned.append(gap)
                opened += 1 if was < 0 else -1
            missing += max(now, 0) - max(was, 0)
            is_new_mark = gap.id not in before and now < 0 and gap.cause in UNSTORED_CAUSES
            expected[gap.symbol] += max(now, 0) - max(was, 0) + is_new_mark
        self._db.executemany(_EXPECT_SQL, [(more, symbol) for symbol, more in expected.items() if more])
        return turned, opened, missing

    def _write_rules(self, rules: Sequence[RuleChange]) -> dict[str, RuleChange]:
        """Writes changed rules; returns those that must wait for the first row of their symbol."""
        waiting = self.rules | {rule.symbol: rule for rule in rules}
        for change in list(waiting.values()):
            self._db.execute(_RULE_SQL, (change.rule, change.run_seq, change.symbol))
            if self._db.changes():
                del waiting[change.symbol]
        return waiting

    def _write_connection(self, change: ConnectionChange) -> None:
        self._db.execute("UPDATE connections SET to_ms = ? WHERE to_ms IS NULL", (change.at_ms,))
        self._db.execute(
            "INSERT INTO connections (from_ms, connected, conn_id, reason) VALUES (?, ?, ?, ?)",
            (change.at_ms, int(change.connected), change.conn_id, change.reason),
        )

    def _write_ledger(self, ledger: Ledger, now_ms: int) -> None:
        self._db.execute(
            _LEDGER_SQL,
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
        newest_ms = self._db.execute("SELECT ifnull(max(last_ts_ms), 0) FROM symbols").get
        if not isinstance(newest_ms, int) or newest_ms >= _LATEST_MS:
            raise SchemaChangedError(f"{self.path.name}: symbols.last_ts_ms is {newest_ms!r}", hint=CHANGED_HINT)
        return newest_ms

    def _read_open_gaps(self) -> tuple[int, int]:
        sql = "SELECT count(*), total(missing), ifnull(min(missing), 0) FROM gaps WHERE status = ?"
        gaps, missing, least = self._db.execute(sql, (GAP_OPEN,)).get
        if not 0 <= missing < 2**53 or least < 0:  # summed as floats, which never overflow
            raise SchemaChangedError(f"{self.path.name}: the sum of gaps.missing is {missing:.0f}", hint=CHANGED_HINT)
        return gaps, int(missing)

    def _refuse_sealed(self) -> None:
        if self._db.execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get is not None:
            raise SealedDayError(f"{self.path.name} is sealed")

    def _describe(self, now_ms: int, version: str) -> None:
        facts = {
            "schema_version": str(schema.VERSION),
            "market": "HK",
            "trading_day": self.day_name,
            "software_version": version,
            "sqlite_version": apsw.sqlite_lib_version(),
        }
        with self._transaction():
            self._check_schema()
            created = "INSERT INTO meta (key, value) VALUES ('created_ms', ?) ON CONFLICT DO NOTHING"
            self._db.execute(created, (str(now_ms),))
            self._db.executemany(_META_SQL, facts.items())
            # A killed run could not write the end of its last connection, which lasted at least to its last commit.
            self._db.execute(_UNCLEAN_SQL, (_run_of(self._run_id),))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        undone = list(self._undone)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._cookie, self._undone = None, undone
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def check_day(path: Path, options: StoreOptions, opened: Callable[[Callable[[], None]], bool]) -> bool:
    """Checks a file that is not being written. Returns True if it passed, False if a reader has it open.

    `opened` is called with a function that cancels the check from another thread, and returns whether to continue. A
    cancelled check raises apsw.InterruptError. Otherwise raises the errors of `seal`.
    """
    db = _open_finished(path, options)
    try:
        with named_changes(db, path.name):
            if not opened(partial(_interrupt, db)):
                return False
            _demand_whole(db, path)
    except (apsw.BusyError, apsw.LockedError):
        return False
    finally:
        db.close()
    return True


def seal(path: Path, now_ms: int, options: StoreOptions, *, checked: bool = False) -> bool:
    """Seals a day whose file is not being written: checks it and makes it one plain file with mode 0440.

    Returns True when it is sealed (also if it was before), False if a reader has the file open: try again later. Raises
    StoreError, without changing the file, when the check finds damage or another program changed the tables. `checked`
    says that `check_day` passed since the last write.
    """
    if not path.stat().st_mode & stat.S_IWUSR:
        return True
    db = _open_finished(path, options)
    refuse_foreign_triggers(db, path.name)
    try:
        with with_system_error(db, path), named_changes(db, path.name):
            _seal(db, path, now_ms, checked=checked)
        plain = _make_plain(db)
    except (apsw.BusyError, apsw.LockedError):
        return False
    finally:
        db.close()
    if plain:
        path.chmod(SEALED_MODE)
    return plain


def make_plain(path: Path, options: StoreOptions) -> bool:
    """Makes a day file that is not being written one plain file; False if a reader has it open. Raises as `seal`."""
    db = _open_finished(path, options)
    try:
        return _make_plain(db)
    finally:
        db.close()


def _interrupt(db: apsw.Connection) -> None:
    with suppress(apsw.ConnectionClosedError):  # its own thread may close it meanwhile
        db.interrupt()


def _demand_whole(db: apsw.Connection, path: Path) -> None:
    verdict = db.execute("PRAGMA integrity_check(1)").get
    if verdict != "ok":
        raise StoreError(
            f"{path.name} does not pass its integrity check ({verdict})",
            hint="keep a copy of the file, and see docs/sqlite-wal.md",
        )


def _seal(db: apsw.Connection, path: Path, now_ms: int, *, checked: bool) -> None:
    if db.execute("SELECT value FROM meta WHERE key = 'sealed_ms'").get is None:
        if not checked:
            _demand_whole(db, path)
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('sealed_ms', ?)", (str(now_ms),))


# Not by a writer that replaces another one of its own run: the connection lasts.
_UNCLEAN_SQL: Final = """
UPDATE connections SET to_ms = max(from_ms, (SELECT max(updated_ms) FROM ledger)),
    reason = iif(connected, 'unclean stop', reason)
WHERE to_ms IS NULL
    AND NOT EXISTS (SELECT 1 FROM ledger WHERE run_id = ?1 OR substr(run_id, 1, length(?1) + 1) = ?1 || '-')"""
_GAP_SQL: Final = (
    f"INSERT OR REPLACE INTO gaps ({', '.join(Gap._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(Gap._fields))})"
)
_META_SQL: Final = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
_DRIFT_SQL: Final = """
INSERT INTO meta (key, value) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
WHERE abs(CAST(excluded.value AS REAL)) > abs(CAST(value AS REAL))"""
_GAPS_BEFORE_SQL: Final = """SELECT id, iif(status = ?2, ifnull(missing, 0), -1) FROM gaps
    WHERE id IN (SELECT value FROM json_each(?1))"""
_EXPECT_SQL: Final = "UPDATE symbols SET expected = expected + ? WHERE symbol = ?"
_UNSTORED: Final = ", ".join(f"'{cause}'" for cause in sorted(UNSTORED_CAUSES))
_RULE_SQL: Final = f"""
    UPDATE symbols SET rule = ?1, run_seq = ?2, expected = iif(?1 = 'counter',
        rows + (SELECT ifnull(sum(missing), 0) FROM gaps WHERE symbol = ?3 AND status = 'open')
        + (SELECT count(*) FROM gaps WHERE symbol = ?3 AND status = 'healed' AND cause IN ({_UNSTORED})), NULL)
    WHERE symbol = ?3
"""  # noqa: S608 - our own names
_LEDGER_SQL: Final = """INSERT OR REPLACE INTO ledger
    (run_id, started_ms, updated_ms, commits, received, stored, duplicate, rejected, dropped, waiting)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_RECONCILED_SQL: Final = (
    f"INSERT OR REPLACE INTO reconciliation ({', '.join(Reconciled._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(Reconciled._fields))})"
)

# A value that the new answer lacks is kept: one of OpenD's two answers may be missing.
_INSTRUMENT_SQL: Final = (
    f"INSERT INTO instruments ({', '.join(Instrument._fields)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(Instrument._fields))}) ON CONFLICT (symbol) DO UPDATE SET "
    + ", ".join(f"{name} = ifnull(excluded.{name}, {name})" for name in Instrument._fields[1:])
)


def _run_of(run_id: str) -> str:
    """The run of a writer: the second writer of a run has its id with `-2`, and so on."""
    return re.sub(r"-[0-9]{1,3}$", "", run_id)


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of the file at a path; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _open_in_place(path: Path, options: StoreOptions) -> tuple[apsw.Connection, tuple[int, int]]:
    """An existing file, and its identity. Raises FileNotFoundError if it is moved or replaced at this moment."""
    identity = _identity(path)
    db = open_for_writing(path, options.busy_timeout_ms, options.vfs, make=False)
    if identity is None or _identity(path) != identity:
        db.close(True)
        raise FileNotFoundError(errno.ENOENT, "moved away while it was opened", str(path))
    return db, identity


def _open_finished(path: Path, options: StoreOptions) -> apsw.Connection:
    """Opens an existing file that gets no more ticks. Does not check the whole file."""
    return open_for_writing(path, options.busy_timeout_ms, options.vfs, check=False, make=False)


def _build(path: Path, options: StoreOptions) -> None:
    """Creates an empty day file under another name first, so that no reader sees one without tables.

    Raises DamagedFileError where a WAL lies that a removed file left: SQLite would apply it to the new file.
    """
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        raise DamagedFileError(f"{path.name} is missing, and its WAL is there: it was removed or renamed alone")
    draft = path.with_name(f".{path.name}.new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    db = open_for_writing(draft, options.busy_timeout_ms, options.vfs)
    try:
        with with_system_error(db, draft):
            db.pragma("synchronous", options.synchronous)
            _migrate(db)
    finally:
        db.close()
    try:
        take_name(draft, path)
    except FileExistsError:
        draft.unlink()  # the file that somebody put there meanwhile is the one of the day
    sync_directory(path.parent)


def _configure(db: apsw.Connection, options: StoreOptions) -> None:
    db.pragma("journal_mode", "wal")
    _keep_wal(db, keep=True)
    db.pragma("synchronous", options.synchronous)
    db.pragma("cache_size", -options.cache_kib)
    db.wal_autocheckpoint(options.wal_autocheckpoint_pages)
    # A long WAL, caused by a reader, is truncated when it is reset. Otherwise it would keep its size, which looks as if
    # there were still a reader.
    db.pragma("journal_size_limit", 2 * options.wal_autocheckpoint_bytes)


def _migrate(db: apsw.Connection) -> None:
    """Migrates an older or empty file to this schema version, one transaction for each step."""
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
    """Turns a WAL database into one plain file; False if another connection has it open."""
    _keep_wal(db, keep=False)
    try:
        db.pragma("journal_mode", "delete")
    except (apsw.BusyError, apsw.LockedError):
        _keep_wal(db, keep=True)
        return False
    return True


def _keep_wal(db: apsw.Connection, *, keep: bool) -> None:
    """Sets whether `-wal` and `-shm` stay after the last connection: a read-only reader needs them to open the file."""
    value = ctypes.c_int(int(keep))
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(value))
