"""A read-only connection to a day file. It checks the file at once and gives SQLite errors a file name and a remedy.

It opens with `mode=ro`, so it cannot change or checkpoint a file, needs no write permission, and cannot disturb
collection when its process crashes. `immutable=1` is not used for a day being written, because it ignores the WAL,
which has the newest ticks.
"""

from __future__ import annotations

import re
import stat
from bisect import bisect_left
from contextlib import contextmanager
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Any, Final, Self

import apsw

from hk_tick_collector import market
from hk_tick_collector.errors import (
    BusyFileError,
    ForeignFileError,
    NoDayError,
    SchemaChangedError,
    SealedEarlyError,
    StoreError,
)

from .bounded_reading import SAVE_HINT, Allowance, connect, demand_tables
from .day_records import SymbolCount
from .faults import lack_of_room
from .foreign import demand_files_beside, foreign_file, no_file_here, not_sqlite, waiting_for
from .schema import APPLICATION_ID, VERSION, tick_columns
from .schema_check import CHANGED_HINT, SCHEMA_ERRORS, difference, named_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

_BUSY_MS: Final = 5000  # a reader waits only while a crashed writer's WAL is recovered or a day is sealed
_NO_RIGHT: Final = "join the group hkcollector, or run it with sudo"
_UNSEAL: Final = "\"DELETE FROM meta WHERE key = 'sealed_ms'\""
_OF_VALUES: Final = ("integer overflow", "too big")
_TABLES: Final = ("ticks", "symbols", "meta", "gaps", "connections", "ledger", "reconciliation", "instruments")
_DAY_FILE: Final = re.compile(r"([0-9]{8})\.db")


def path_of(data_root: Path, day: str) -> Path:
    """Where the file of a day (`20261120`) is, or would be."""
    return data_root / f"{day}.db"


def sealed_early(path: Path) -> SealedEarlyError:
    """The error for a file that is marked as sealed although its day is not over.

    Another program wrote that, or the collector itself while the clock of the host was a day ahead.
    """
    words = f"{path.name} says in its table meta that its day is sealed (sealed_ms), and the day is not over"
    return SealedEarlyError(words, hint=f"take it out: {unseal_command(path)}")


def unseal_command(path: Path) -> str:
    """The command that makes a sealed file writable and removes its `sealed_ms`."""
    word = quote_word(str(path))
    return f"sudo chmod 0640 {word}; sudo sqlite3 {word} {_UNSEAL}"


def list_days(data_root: Path) -> list[str]:
    """The days that have a file, oldest first; none if the directory does not exist."""
    try:
        names = [_DAY_FILE.fullmatch(path.name) for path in data_root.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"cannot list {data_root} ({error.strerror})", hint="check DATA_ROOT and its rights"
        ) from error
    return sorted(name[1] for name in names if name and is_date(name[1]))


def is_date(name: str) -> bool:
    """Whether a name is a day, like `20261120`."""
    try:
        market.parse_day(name)
    except ValueError:
        return False
    return True


class DayConnection:
    """One day file, read-only; a context manager. Raises NoDayError, ForeignFileError or another StoreError at once.

    A file of a newer schema can be read if it has the columns of this one. `tick_columns` are those of
    this file. An unfinished statement prevents a reset of the WAL, so finish or close each iterator soon.
    """

    def __init__(self, path: Path, *, finished: bool = False) -> None:
        self.path = path
        _check_file(path)
        self._allowance = Allowance(path)
        with self._named_errors():
            self._db = connect(path, self._allowance, finished=finished)
        try:
            with self._named_errors():
                self._db.set_busy_timeout(_BUSY_MS)
                self._check_schema()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and all its iterators."""
        self._db.close(True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside the block is from one transaction."""
        with self._named_errors():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def schema_version(self) -> int:
        """The schema version of the file."""
        return int(self._db.pragma("user_version"))

    def trading_day(self) -> str | None:
        """The day that the file says it is of, like `20261120`; None if it says none."""
        found = next(self._rows("SELECT value FROM meta WHERE key = 'trading_day'"), None)
        return None if found is None else str(found[0])

    def page_bytes(self) -> int:
        """The size of a page in bytes."""
        return int(next(self._rows("PRAGMA page_size"))[0])

    def page_count(self) -> int:
        """The number of pages, including those in the WAL."""
        return int(next(self._rows("PRAGMA page_count"))[0])

    def backup_into(self, target: apsw.Connection) -> apsw.Backup:
        """A backup into `target`, to be run step by step. Inside `snapshot` a commit does not make it start over.

        Raises apsw.Error.
        """
        return target.backup("main", self._db, "main")

    def _check_schema(self) -> None:
        self._bytes = int(
            self._db.execute("SELECT page_size * page_count FROM pragma_page_size, pragma_page_count").get
        )
        demand_tables(self._db, self.path, _TABLES)
        if self._db.pragma("application_id") != APPLICATION_ID:
            raise foreign_file(self._db, self.path)
        self.tick_columns = tick_columns(self.schema_version())
        for table, needed in (
            ("ticks", self.tick_columns),
            ("symbols", SymbolCount._fields),
            ("meta", ("key", "value")),
        ):
            columns = {name for (name,) in self._db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            if missing := [column for column in needed if column not in columns]:
                if self._db.pragma("user_version") == VERSION:
                    raise SchemaChangedError(f"{self.path}: {difference(self._db)}", hint=CHANGED_HINT)
                raise ForeignFileError(
                    f"{self.path} has schema {self._db.pragma('user_version')} without {table}.{missing[0]}",
                    hint="read it with the version of hk-tick-collector that wrote it",
                )

    def _rows(self, sql: str, values: Sequence[str | int] = (), *, scans: bool = False) -> Iterator[tuple[Any, ...]]:
        with self._named_errors():
            if scans:
                self._allowance.scan(self._bytes)
            self._allowance.begin()
            yield from self._db.execute(sql, values)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Replaces SQLite errors by StoreErrors with the file name and a remedy.

        An error in our own SQL is a bug and is not replaced.
        """
        try:
            yield
        except (apsw.Error, UnicodeDecodeError) as error:
            named = self._named(error)
            if named is None:
                raise
            raise named from error

    def _named(self, error: Exception) -> StoreError | None:
        if isinstance(error, SCHEMA_ERRORS):
            changed = named_change(self._db, str(self.path), error)
            if changed is None and any(words in str(error) for words in _OF_VALUES):
                return StoreError(f"{self.path} has values that the collector did not write ({error})", hint=SAVE_HINT)
            return changed
        if isinstance(error, apsw.NotADBError):
            return not_sqlite(self.path)
        root = quote_word(str(self.path.parent))
        if isinstance(error, apsw.IOError | apsw.CantOpenError) and (lack := lack_of_room(self.path.parent)):
            words = f"cannot open {self.path}: {lack} is left in {self.path.parent}, and a reader needs a little space"
            zh = f"不能開啟 {self.path}：{self.path.parent} 已沒有空間（{lack}），讀取亦須少許空間"
            return StoreError(words, hint=f"df -h {root}; df -i {root}", zh=zh)
        for kinds, named, words, hint in _NAMED:
            if isinstance(error, kinds):
                fuser = f"sudo fuser -v {quote_word(str(self.path))}*"
                zh = _NAMED_ZH[words].format(path=self.path, error=error)
                return named(words.format(path=self.path, error=error), hint=hint.format(fuser=fuser), zh=zh)
        return None


_NAMED: Final[tuple[tuple[tuple[type[Exception], ...], type[StoreError], str, str], ...]] = (
    ((apsw.CorruptError,), StoreError, "{path} is damaged ({error})", SAVE_HINT),
    # ProtocolError: SQLite gave up waiting for a lock of the WAL.
    ((apsw.BusyError, apsw.LockedError, apsw.ProtocolError), BusyFileError, "{path} stays locked", "{fuser}"),
    (
        (apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError, apsw.ReadOnlyError),
        StoreError,
        "cannot open {path} ({error})",
        _NO_RIGHT,
    ),
    ((apsw.IOError,), StoreError, "cannot read {path} ({error})", "sudo dmesg | tail"),
    # SQLite writes temporary files for sorting to SQLITE_TMPDIR or /var/tmp, which may be another disk.
    ((apsw.FullError,), StoreError, "no space for temporary files to read {path} ({error})", "df -h /var/tmp /tmp"),
    ((apsw.NoMemError,), StoreError, "cannot read {path} ({error})", "free -m"),
    ((UnicodeDecodeError,), StoreError, "{path} has text that is not UTF-8 ({error.reason})", SAVE_HINT),
    ((apsw.FormatError, apsw.InterruptError), StoreError, "cannot read {path} ({error})", SAVE_HINT),
)


_NAMED_ZH: Final = {
    "{path} is damaged ({error})": "{path} 已損壞（{error}）",
    "{path} stays locked": "{path} 一直被鎖住",
    "cannot open {path} ({error})": "不能開啟 {path}（{error}）",
    "cannot read {path} ({error})": "不能讀取 {path}（{error}）",
    "no space for temporary files to read {path} ({error})": "沒有空間放讀取 {path} 所需的暫存檔（{error}）",
    "{path} has text that is not UTF-8 ({error.reason})": "{path} 有非 UTF-8 的文字（{error.reason}）",
}


def _check_file(path: Path) -> None:
    """Raises a specific error where SQLite would only say "unable to open"."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if set_aside := waiting_for(path):
            raise set_aside from None
        days = list_days(path.parent) if path.parent.is_dir() else []
        raise NoDayError(f"there is no {path}", hint=_days_there(days, path.stem)) from None
    except OSError as error:
        hint = _NO_RIGHT if isinstance(error, PermissionError) else f"ls -l {quote_word(str(path))}"
        zh = f"不能存取 {path}（{error.strerror}）"
        raise StoreError(f"cannot access {path} ({error.strerror})", hint=hint, zh=zh) from error
    if not stat.S_ISREG(mode):
        raise no_file_here(path, mode)
    demand_files_beside(path)


def _days_there(days: list[str], wanted: str) -> str:
    if not days:
        return "no day was collected there yet; check DATA_ROOT and the service"
    if len(days) == 1:
        return f"the only day there is {days[0]}"
    nearest = days[max(bisect_left(days, wanted) - 1, 0)]
    return f"{len(days)} days from {days[0]} to {days[-1]} are there, the nearest is {nearest}"
