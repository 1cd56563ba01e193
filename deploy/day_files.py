"""Day files around an upgrade: copied before a version that changes their tables, made readable again after it.

    python -I day_files.py keep DATA_ROOT VERSION   copies the day files that a version with schema VERSION would change
    python -I day_files.py fit DATA_ROOT            rebuilds those that are newer than this Python's hk_tick_collector
    python -I day_files.py forget DATA_ROOT         removes the copies

install.sh runs it as the service's account, with the Python of the version that will open the files afterwards.

`fit` builds a file with that version's tables. All its rows come from the newer file, so everything that the newer
version stored is in it; ticks that are only in the copy are added. The new file is counted and checked before it
replaces the newer one. The newer file is kept beside it as `YYYYMMDD.db.newer-schema-N`. It prints one line for each
file; if something fails, one line on standard error and exit code 1: that file is then unchanged.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIES: Final = ".before-upgrade"  # inside DATA_ROOT
_DAY_FILE: Final = re.compile(r"[0-9]{8}\.db")
_BUSY_MS: Final = 10_000
_SPARE_BYTES: Final = 256 << 20  # the free space that a copy leaves on the disk
_PARTS: Final = ("", "-wal", "-shm", "-journal")


class CannotError(Exception):
    """An error, with a text for the operator."""


def keep(root: Path, version: int) -> None:
    """Copies each unsealed day file that a version with schema `version` would migrate."""
    days = [path for path in _day_files(root) if path.stat().st_mode & stat.S_IWUSR]
    wanted = [path for path in days if 0 < _version(path) < version and _version(path) <= schema.VERSION]
    needed = sum(_size(path) for path in wanted)
    free = shutil.disk_usage(root).free
    if needed + _SPARE_BYTES > free:
        raise CannotError(
            f"the day files that would change take {needed >> 20} MB, and {free >> 20} MB are free in {root}: "
            "free some space first (hk-tick-collector report)"
        )
    place = root / COPIES
    place.mkdir(mode=0o750, exist_ok=True)
    for path in wanted:
        draft = place / f"{path.name}.new"
        _remove(draft)
        with _opened(path, apsw.SQLITE_OPEN_READONLY) as source, _opened(draft, _MAKE) as target:
            with target.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(-1)  # in one step: commits of the collector cannot make it start again
            target.pragma("journal_mode", "delete")
        draft.replace(place / path.name)
        print(f"{path.name}: copied, {_size(path) >> 20} MB")


def fit(root: Path) -> None:
    """Rebuilds each day file that is newer than this version, with this version's tables."""
    for path in _day_files(root):
        version = _version(path)
        if version > schema.VERSION:
            kept = root / COPIES / path.name
            _rebuild(path, kept if kept.exists() else None, version)


def forget(root: Path) -> None:
    """Removes the copies that `keep` made."""
    with suppress(FileNotFoundError):
        shutil.rmtree(root / COPIES)


_MAKE: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_COMMANDS: Final = {"keep": keep, "fit": fit, "forget": forget}


def _rebuild(path: Path, kept: Path | None, version: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    draft = path.with_name(f".{path.name}.fit")
    _remove(draft)
    with _opened(draft, _MAKE) as db:
        _make_tables(db)
        _attach(db, "newer", path, writable=bool(mode & stat.S_IWUSR))
        if kept:
            _attach(db, "kept", kept, writable=True)
        db.execute("BEGIN IMMEDIATE")
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)  # `symbols` is copied too: nothing is counted twice
        places = ("newer", "kept") if kept else ("newer",)
        taken = {table: _take(db, table, places) for table in _tables(db, "main")}
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)
        if taken["symbols"] != taken["ticks"]:
            _count_again(db)
        for place in set(places) - {taken["ticks"]}:
            _add_ticks(db, place)
        db.execute("COMMIT")
        rows = _count(db, "main")
        if any(rows < _count(db, place) for place in places):
            raise CannotError(f"{path.name}: the rebuilt file has fewer ticks than another")
        checked = db.execute("PRAGMA main.quick_check(1)").get
        if checked != "ok":
            raise CannotError(f"{path.name}: the rebuilt file does not pass its check ({checked})")
        for place in places:
            db.execute(f"DETACH {place}")
    draft.chmod(mode)
    _sync(draft)
    aside = _exchange(path, draft, version)
    lacking = "".join(f"; {table} is from the copy" for table, place in taken.items() if place == "kept")
    print(f"{path.name}: rebuilt with schema {schema.VERSION}, {rows} ticks{lacking}; the newer file is {aside.name}")


def _make_tables(db: apsw.Connection) -> None:
    db.pragma("synchronous", "off")  # synced completely before it gets its name
    for migration in schema.MIGRATIONS:
        db.execute(migration)
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", schema.VERSION)


def _attach(db: apsw.Connection, name: str, path: Path, *, writable: bool) -> None:
    """Attaches a file; a writable one is first converted to a single file, with all of its WAL in it."""
    if writable:
        with _opened(path, apsw.SQLITE_OPEN_READWRITE) as plain, suppress(apsw.BusyError, apsw.LockedError):
            plain.pragma("journal_mode", "delete")
    db.execute(f"ATTACH ? AS {name}", (str(path),))


def _take(db: apsw.Connection, table: str, places: tuple[str, ...]) -> str:
    """Copies a table from the first source that has all its columns; returns the source, empty if there is none."""
    columns = _columns(db, "main", table)
    for place in places:
        if table in _tables(db, place) and not columns.keys() - _columns(db, place, table).keys():
            names = ", ".join(f'"{name}"' for name in columns)
            db.execute(f'INSERT OR REPLACE INTO main."{table}" ({names}) SELECT {names} FROM {place}."{table}"')
            return place
    return ""


def _add_ticks(db: apsw.Connection, place: str) -> None:
    """Adds the ticks that are there and not here; SQLite raises an error for a tick that cannot be added."""
    if "ticks" in _tables(db, place) and not set(schema.TICK_COLUMNS) - _columns(db, place, "ticks").keys():
        names = ", ".join(schema.TICK_COLUMNS)
        # WHERE true: otherwise the parser would take ON as part of a join.
        sql = f"INSERT INTO main.ticks ({names}) SELECT {names} FROM {place}.ticks WHERE true"
        db.execute(f"{sql} ON CONFLICT (symbol, seq) DO NOTHING")


def _count(db: apsw.Connection, place: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {place}.ticks").get) if "ticks" in _tables(db, place) else 0


def _count_again(db: apsw.Connection) -> None:
    """Computes `symbols` from the ticks; the collector sets the other columns when it opens the file."""
    db.execute("DELETE FROM main.symbols")
    db.execute(
        """INSERT INTO main.symbols (symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume, turnover)
           SELECT symbol, count(*), min(ts_ms), max(ts_ms), max(seq), sum(volume), sum(turnover)
           FROM main.ticks GROUP BY symbol"""
    )


def _exchange(path: Path, draft: Path, version: int) -> Path:
    """Replaces the newer file, which gets another name, by the draft. The day file is never absent."""
    names = (f"{path.name}.newer-schema-{version}{more}" for more in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    aside.hardlink_to(path)
    for suffix in _PARTS[1:]:  # the draft must not find the WAL of another file
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    draft.replace(path)
    _sync(path.parent)
    return aside


def _tables(db: apsw.Connection, place: str) -> list[str]:
    sql = f"SELECT name FROM {place}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    return [name for (name,) in db.execute(sql)]


def _columns(db: apsw.Connection, place: str, table: str) -> dict[str, str]:
    return dict(db.execute("SELECT name, type FROM pragma_table_info(?, ?)", (table, place)))


def _day_files(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if _DAY_FILE.fullmatch(path.name) and path.is_file())


def _version(path: Path) -> int:
    """The schema of a day file of ours; 0 for any other file."""
    writable = path.stat().st_mode & stat.S_IWUSR
    try:
        with _opened(path, apsw.SQLITE_OPEN_READWRITE if writable else apsw.SQLITE_OPEN_READONLY) as db:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            return int(db.pragma("user_version")) if db.pragma("application_id") == schema.APPLICATION_ID else 0
    except (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError):
        return 0  # the collector renames it, or reports it


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(str(path), flags=flags)) as db:
        db.set_busy_timeout(_BUSY_MS)
        yield db


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in _parts(path) if part.exists())


def _parts(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _PARTS]


def _remove(path: Path) -> None:
    for part in _parts(path):
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(arguments: list[str]) -> int:
    """Runs one command; returns the exit code."""
    command, root, *more = arguments
    os.umask(0o027)
    try:
        _COMMANDS[command](Path(root), *map(int, more))  # type: ignore[operator]
    except (CannotError, OSError, apsw.Error) as error:
        print(f"day_files.py {command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
