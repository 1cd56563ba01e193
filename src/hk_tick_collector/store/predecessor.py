"""Reads a day file of the predecessor: each row becomes a tick of ours, or has a named cause why it cannot.

Enters: the file, opened read-only. Leaves: rows for `ticks`, and the other rows unchanged. Nothing is guessed: a row is
used as it is, or with a correction that its sequence proves. A doubtful row is not put into `ticks`; it is stored with
all its columns in another table.

The predecessor's table `ticks` has a rowid. Only market, symbol, ts_ms, trading_day, recv_ts_ms and inserted_at_ms are
NOT NULL; older files have no recv_ts_ms. Early versions stored ts_ms with an error of eight hours. If the sequence of a
row, whose high 32 bits are the second of the trade, shows this error, ts_ms is corrected by exactly eight hours.
"""

from __future__ import annotations

import re
import stat
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from math import isfinite
from shlex import quote as quote_word
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import apsw

from hk_tick_collector import market
from hk_tick_collector.errors import DamagedFileError, ForeignFileError, NoDayError, StoreError
from hk_tick_collector.model import PUSH_CACHE, PUSH_REALTIME, PUSH_REFILL, SEQ_NEAR_S

from .faults import DISK_ERRORS
from .foreign import foreign_file, is_predecessors, move_command, opener
from .schema import APPLICATION_ID
from .schema_check import SCHEMA_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.model import TickRow

COLUMNS: Final = (
    "market",
    "symbol",
    "ts_ms",
    "price",
    "volume",
    "turnover",
    "direction",
    "seq",
    "tick_type",
    "push_type",
    "provider",
    "trading_day",
    "recv_ts_ms",
    "inserted_at_ms",
)

# Why a row is not in `ticks`.
WITHOUT_SEQ: Final = "without_seq"
ODD_TYPE: Final = "odd_type"  # a value with a wrong type, or a symbol that is not of Hong Kong
INCOMPLETE: Final = "incomplete"  # no price, volume or turnover
OTHER_DAY: Final = "other_day"  # by its time it belongs to another trading day
TIME_IN_DOUBT: Final = "time_in_doubt"  # its time and its time of receipt do not match, and it has no usable sequence
CONFLICT: Final = "conflict"  # a different tick with its symbol and sequence is stored

_SHIFT_S: Final = 8 * 3600
_EARLY_MS: Final = 3_600_000  # a tick received this long before it was traded has a wrong time
_PROMPT_MS: Final = 120_000
_MAX_SHARES: Final = 2**40
_INT64: Final = 2**63
_EARLIEST_S: Final = 946_684_800  # 2000-01-01
_LATEST_S: Final = 4_102_444_800  # 2100-01-01
_PLAIN: Final = (int, float, int, float, str, int, str, str)  # the usual types of ts_ms to push_type
_SYMBOL: Final = re.compile(r"HK\.[0-9]{5}")
_CODE: Final = re.compile(r"[0-9]{5}")
_DAY_IN_NAME: Final = re.compile(r"([0-9]{8})\.db(\.|$)")
_PUSH_TYPES: Final = {  # the official SDK's names → our names
    "REALTIME": PUSH_REALTIME,
    "CACHE": PUSH_CACHE,
    "BYDISCONN": PUSH_REFILL,
    "BY_DISCONN": PUSH_REFILL,
}
_BUSY_MS: Final = 5000
_MAX_ROW_BYTES: Final = 1_000_000  # a row of the predecessor has 200


class SourceRow(NamedTuple):
    """A row as it is in the file; None for a column that the file does not have."""

    row_id: int
    values: tuple[Any, ...]  # in the order of COLUMNS


class Placed(NamedTuple):
    """The result for a row: a tick, or the cause why it cannot be one."""

    tick: TickRow | None
    cause: str = ""
    shifted: bool = False  # its time was corrected by eight hours


class OursError(StoreError):
    """The file is already a day file of this collector."""


class Source:
    """A day file of the predecessor, opened for reading; a context manager.

    Raises NoDayError, ForeignFileError for a file of another program, OursError for one of ours, DamagedFileError, and
    StoreError when the system refuses. The file is not changed. Its WAL is read too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path  # its current path: set it again after a rename
        _check_file(path)
        self._had_wal = _wal(path).exists()
        with named_errors(path):
            self._db = _connect(path)
        try:
            with named_errors(path):
                self._db.execute("BEGIN")  # everything is read in one transaction
                _refuse_others(self._db, path)
                self.version = int(self._db.pragma("user_version"))
                has = {name for (name,) in self._db.execute("SELECT name FROM pragma_table_info('ticks')")}
        except BaseException:
            self._close()
            raise
        self.has_recv = "recv_ts_ms" in has
        self._columns = ", ".join(column if column in has else "NULL" for column in COLUMNS)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        """Closes the file, and removes the empty WAL and shm that reading a file in WAL mode creates."""
        self._db.close(True)
        with suppress(OSError):
            if not self._had_wal and not _wal(self.path).stat().st_size and opener(self.path) is None:
                for part in (_wal(self.path), self.path.with_name(f"{self.path.name}-shm")):
                    part.unlink(missing_ok=True)

    def check(self) -> None:
        """Reads the whole file once. Raises DamagedFileError if SQLite finds damage."""
        with named_errors(self.path):
            verdict = self._db.execute("PRAGMA quick_check(1)").get
        if verdict != "ok":
            raise DamagedFileError(f"{self.path} is damaged ({' '.join(str(verdict).split())})", hint=_DAMAGED)

    def count(self) -> int:
        """The number of rows."""
        with named_errors(self.path):
            return int(self._db.execute("SELECT count(*) FROM ticks").get)

    def day(self) -> str:
        """The trading day (`20261120`), from the file name or else the rows. Raises StoreError if it is unknown."""
        if match := _DAY_IN_NAME.match(self.path.name):
            with suppress(ValueError):
                return market.day_name(market.parse_day(match[1]))
        with named_errors(self.path):
            found = [text for (text,) in self._db.execute("SELECT DISTINCT trading_day FROM ticks LIMIT 2")]
        try:
            [only] = found
            return market.day_name(market.parse_day(str(only)))
        except ValueError:
            raise StoreError(
                f"the trading day is neither in the name of {self.path} nor the same in all its rows",
                hint="rename it like 20261120.db",
            ) from None

    def rows(self, after: int = -_INT64) -> Iterator[SourceRow]:
        """All rows with a rowid above `after`, in order of rowid. Memory is limited."""
        sql = f"SELECT rowid, {self._columns} FROM ticks WHERE rowid > ? ORDER BY rowid"  # noqa: S608 - our own names
        return self._select(sql, (after,))

    def rows_by_key(self) -> Iterator[SourceRow]:
        """All rows in the order of symbol, sequence and rowid. SQLite sorts a large file in a temporary file."""
        return self._select(f"SELECT rowid, {self._columns} FROM ticks ORDER BY symbol, seq, rowid")  # noqa: S608

    def copy(self, target: Path) -> None:
        """Writes a copy of the whole file as one plain file. Raises apsw.Error."""
        with closing(apsw.Connection(str(target))) as db:
            with db.backup("main", self._db, "main") as backup:
                while not backup.done:
                    backup.step(256)
            db.pragma("journal_mode", "delete")

    def _select(self, sql: str, values: Sequence[int] = ()) -> Iterator[SourceRow]:
        with named_errors(self.path):
            for row in self._db.execute(sql, values):
                yield SourceRow(int(row[0]), row[1:])


def place(row: SourceRow, day: int) -> Placed:
    """The tick of a row for the day with this number, or the cause why it cannot be one. Pure."""
    return _place_plain(row.values, day) or _place(row.values, day)


def _place_plain(values: tuple[Any, ...], day: int) -> Placed | None:
    """A fast path for usual rows; None for a row that `_place` must check in detail."""
    if tuple(map(type, values[2:10])) != _PLAIN:
        return None
    its_market, code, ts_ms, price, volume, turnover, direction, seq, tick_type, push_type, *_, recv_ms, _ = values
    symbol = _symbol(its_market, code)
    if (
        symbol is None
        or type(recv_ms) is not int
        or not _is_moment(recv_ms)
        or abs(ts_ms // 1000 - (seq >> 32)) > SEQ_NEAR_S
        or not _EARLIEST_S < seq >> 32 < _LATEST_S
        or market.day_number(ts_ms) != day
        or not (-_MAX_SHARES <= volume <= _MAX_SHARES and isfinite(price) and isfinite(turnover))
        or not (direction and tick_type and push_type)
    ):
        return None
    push_type = _PUSH_TYPES.get(push_type, push_type)
    return Placed((symbol, seq, ts_ms, price, volume, turnover, direction, tick_type, push_type, recv_ms, None, None))


def _place(values: tuple[Any, ...], day: int) -> Placed:
    its_market, code, ts_ms, price, volume, turnover, direction, seq, tick_type, push_type, *_, recv, inserted = values
    symbol = _symbol(its_market, code)
    if symbol is None:
        return Placed(None, ODD_TYPE)
    if seq is None or (isinstance(seq, int) and seq == 0):
        return Placed(None, WITHOUT_SEQ)
    if price is None or volume is None or turnover is None:
        return Placed(None, INCOMPLETE)
    shares = _whole(volume)
    texts = (direction, tick_type, push_type)
    if (
        not isinstance(seq, int)
        or not isinstance(ts_ms, int)
        or not _is_figure(price)
        or not _is_figure(turnover)
        or shares is None
        or any(text is not None and not isinstance(text, str) for text in texts)
        or not _is_moment(ts_ms)
    ):
        return Placed(None, ODD_TYPE)
    recv_ms = next((moment for moment in (recv, inserted) if isinstance(moment, int) and _is_moment(moment)), None)
    shift_ms = _shift_ms(seq, ts_ms, recv_ms)
    if shift_ms is None:
        return Placed(None, TIME_IN_DOUBT)
    ts_ms += shift_ms
    if market.day_number(ts_ms) != day:
        return Placed(None, OTHER_DAY)
    tick = (
        symbol,
        seq,
        ts_ms,
        float(price),
        shares,
        float(turnover),
        direction or "UNKNOWN",
        tick_type or "UNKNOWN",
        _PUSH_TYPES.get(push_type, push_type) if push_type else "unknown",
        recv_ms or ts_ms,
        None,  # the predecessor did not keep these two
        None,
    )
    return Placed(tick, shifted=shift_ms != 0)


@lru_cache(maxsize=4096)
def _symbol(its_market: Any, code: Any) -> str | None:
    if not isinstance(code, str):
        return None
    if _SYMBOL.fullmatch(code):
        return code
    return f"HK.{code}" if its_market == "HK" and _CODE.fullmatch(code) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= _MAX_SHARES else None


def _is_moment(ts_ms: int) -> bool:
    """Whether it is a possible time in milliseconds, and not, for example, in microseconds."""
    return _EARLIEST_S * 1000 < ts_ms < _LATEST_S * 1000


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _shift_ms(seq: int, ts_ms: int, recv_ms: int | None) -> int | None:
    """The correction to add to a time: 0, or eight hours if the sequence shows that error; None if it is doubtful."""
    second = seq >> 32
    if _EARLIEST_S < second < _LATEST_S:
        off_s = ts_ms // 1000 - second
        for shift_s in (0, _SHIFT_S, -_SHIFT_S):
            if abs(off_s - shift_s) <= SEQ_NEAR_S:
                return -shift_s * 1000
    if recv_ms is None:
        return 0
    late_ms = recv_ms - ts_ms
    if late_ms < -_EARLY_MS or abs(late_ms - _SHIFT_S * 1000) <= _PROMPT_MS:
        return None
    return 0


def _refuse_others(db: apsw.Connection, path: Path) -> None:
    if db.pragma("application_id") == APPLICATION_ID:
        raise OursError(f"{path} is already a day file of this collector", hint="no action is needed")
    if not is_predecessors(db):
        raise foreign_file(db, path)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise NoDayError(f"there is no {path}", hint=f"ls {quote_word(str(path.parent))}") from None
    except OSError as error:
        raise StoreError(f"cannot access {path} ({error.strerror})", hint="run it with sudo") from error
    if not stat.S_ISREG(mode):
        raise ForeignFileError(f"{path} is not a regular file", hint="name a file like 20261120.db")


def _connect(path: Path) -> apsw.Connection:
    """A read-only connection, without a checkpoint. If the WAL has no shm, SQLite needs write access to create it.

    A file without a WAL on a read-only medium is opened with `immutable=1`, because it cannot change.
    """
    name = f"file:{quote(str(path.absolute()))}"
    read, write = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    attempts = [(f"{name}?mode=ro", read), (name, write)]
    if not _wal(path).exists():
        attempts.append((f"{name}?immutable=1", read))
    for uri, flags in attempts[:-1]:
        try:
            return _opened(uri, flags)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            continue
    return _opened(*attempts[-1])


def _opened(uri: str, flags: int) -> apsw.Connection:
    db = apsw.Connection(uri, flags=flags)
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.set_busy_timeout(_BUSY_MS)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, _MAX_ROW_BYTES)
        db.execute("PRAGMA query_only = 1")
        db.execute("PRAGMA trusted_schema = 0")
        _ = db.execute("SELECT count(*) FROM sqlite_schema").get  # only this opens the file itself
    except BaseException:
        db.close(True)
        raise
    return db


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Replaces SQLite errors by StoreErrors with the file name and a remedy."""
    try:
        yield
    except apsw.NotADBError as error:
        raise ForeignFileError(f"{path} is not an SQLite file", hint="name a file like 20261120.db") from error
    except (apsw.CorruptError, apsw.FormatError) as error:
        raise DamagedFileError(f"{path} is damaged ({error})", hint=_DAMAGED) from error
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} has text that is not UTF-8 ({error.reason})", hint=_DAMAGED) from error
    except SCHEMA_ERRORS as error:
        raise ForeignFileError(
            f"{path} does not have the tables of a predecessor's file ({error})", hint=move_command(path)
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreError(f"{path} stays locked", hint=f"sudo fuser -v {quote_word(str(path))}") from error
    except StoreError:
        raise
    except DISK_ERRORS as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"cannot read {path} ({words})", hint="run it with sudo; sudo dmesg | tail") from error


_DAMAGED: Final = "keep it; see docs/sqlite-wal.md for what can be saved"
