"""Registers the Parquet files of an archive in a Delta log, `ticks/_delta_log/`. The files themselves are not touched.

Enters: names of Parquet files in the archive. Leaves: one commit that adds those which the log does not have and, where
a day was replaced, removes its former file, so that a reader sees the day once, before or after.

The commit is written here, as JSON, and not by `deltalake`: with `Place.put_new` it is as atomic as every other file
of the archive, in a directory and in an object store, with the same credentials and the same limits of time; one commit
can remove and add; and the host that archives does not need deltalake. The format is that of github.com/delta-io/delta,
PROTOCOL.md, reader version 1 and writer version 2. If another program wrote a checkpoint, it is read.
"""

from __future__ import annotations

import json
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import __version__
from hk_tick_collector.errors import ArchiveError, OtherContentError
from hk_tick_collector.frames.extras import need

from . import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from .places import Place

TABLE: Final = "ticks/"
_LOG: Final = layout.DELTA_LOG
_COMMIT: Final = re.compile(re.escape(_LOG) + r"([0-9]{20})\.json")
_LAST_CHECKPOINT: Final = f"{_LOG}_last_checkpoint"
_FILE: Final = re.compile(re.escape(TABLE) + r"(date=([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]+\.parquet)")
_TRIES: Final = 20  # if several programs commit at the same time, one of them succeeds with each try
_READER, _WRITER = 1, 2  # the lowest versions of the protocol; no table feature is used
_TYPES: Final = {
    "date32[day]": "date",
    "string": "string",
    "int64": "long",
    "double": "double",
    "timestamp[ms, tz=UTC]": "timestamp",
}
_STATED: Final = ("symbol", "seq", "ts")  # columns with lowest and highest values, by which a reader may skip a file


class Registered(NamedTuple):
    """The log after `register`."""

    version: int  # of the table
    added: int  # files
    removed: int  # files of days that were replaced


class _Table(NamedTuple):
    """What the log says so far."""

    version: int  # -1: there is no log yet
    files: dict[str, dict[str, Any]]  # path below the table → its `add`
    metadata: dict[str, Any] | None


def register(place: Place, names: Iterable[str], now_ms: int, workspace: Path) -> Registered:
    """Adds these files of the archive to the log. If it has another file of one of these days, that one is removed.

    Days that are not among `names` stay as they are. If nothing changes, nothing is written. `workspace` is that of
    `Place.hold`. Raises ArchiveError, also for a log that another program made in a way that is not supported.
    """
    wanted = _by_path(names)
    for _ in range(_TRIES):
        table = _read(place)
        days = {day for day, _ in wanted.values()}
        new = {path: name for path, (_, name) in wanted.items() if path not in table.files}
        old = [each for path, each in table.files.items() if path not in wanted and _day(path) in days]
        if not new and not old:
            return Registered(table.version, 0, 0)
        with _log_damage_named(place):
            actions = _actions(place, table, new, old, now_ms)
        source = workspace / "commit.json"
        source.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in actions), "utf-8")
        try:
            place.put_new(f"{_LOG}{table.version + 1:020}.json", source)
        except OtherContentError:
            continue  # another program committed meanwhile
        return Registered(table.version + 1, len(new), len(old))
    raise ArchiveError(
        f"the Delta log of {place.where} is changed again and again by another program", hint="run it again later"
    )


def _by_path(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Path below the table → day and name in the archive."""
    found = {}
    for name in names:
        matched = _FILE.fullmatch(name)
        if matched is None:
            raise ArchiveError(f"{name} is not a Parquet file of the archive")
        found[matched[1]] = matched[2], name
    return found


def _day(path: str) -> str:
    matched = _FILE.fullmatch(TABLE + path)
    return matched[2] if matched else ""


def _actions(
    place: Place, table: _Table, new: dict[str, str], old: Sequence[dict[str, Any]], now_ms: int
) -> list[dict[str, Any]]:
    """The lines of a commit."""
    adds, fields = [], list(json.loads(table.metadata["schemaString"])["fields"]) if table.metadata else []
    known = {field["name"] for field in fields}
    before = len(fields)
    for path, name in new.items():
        add, schema = _add(place, path, name)
        adds.append({"add": add})
        for field in schema:
            if field.name not in known:
                known.add(field.name)
                # a column that files already in the table do not have is NULL there
                fields.append(_field(field, nullable=field.nullable or bool(table.files)))
    operation = "WRITE" if not old else "REPLACE DAYS"
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now_ms, "operation": operation, "engineInfo": f"hk-tick-collector/{__version__}"}}
    ]
    if table.version < 0:
        actions.append({"protocol": {"minReaderVersion": _READER, "minWriterVersion": _WRITER}})
    if len(fields) > before:
        metadata = table.metadata or {
            "id": str(uuid.uuid4()),
            "name": "ticks",
            "format": {"provider": "parquet", "options": {}},
            "partitionColumns": ["date"],
            "configuration": {},
            "createdTime": now_ms,
        }
        text = json.dumps({"type": "struct", "fields": fields})
        actions.append({"metaData": {**metadata, "schemaString": text}})
    removes = [{"remove": _remove(each, now_ms)} for each in old]
    return [*actions, *removes, *adds]


def _field(field: pa.Field[Any], *, nullable: bool) -> dict[str, Any]:
    kind = _TYPES.get(str(field.type))
    if kind is None:
        raise ArchiveError(f"the column {field.name} has the type {field.type}, which is not one of an archived day")
    return {"name": field.name, "type": kind, "nullable": nullable, "metadata": {}}


def _add(place: Place, path: str, name: str) -> tuple[dict[str, Any], pa.Schema]:
    """The `add` of a file, and its schema: from the file's footer, its rows are not read. ArchiveError if damaged."""
    pa, parquet = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    with place.open(name) as file:
        try:
            footer = parquet.ParquetFile(file)
            size = file.seek(0, 2)
            schema, about = footer.schema_arrow, footer.metadata
            stats = json.dumps({"numRecords": about.num_rows, **_bounds(about)})
        except (OSError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
            words = " ".join(str(error).split())[:200]
            raise ArchiveError(f"{name} is damaged ({words})", hint="hk-tick-collector certificate --check") from error
    add = {
        "path": path,
        "partitionValues": {"date": _day(path)},
        "size": size,
        "modificationTime": 0,  # the content never changes
        "dataChange": True,
        "stats": stats,
    }
    return add, schema


def _bounds(about: Any) -> dict[str, Any]:
    """Least and highest values of some columns, from the statistics of the row groups; nothing if one has none."""
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for group in range(about.num_row_groups):
        for number in range(about.num_columns):
            column = about.row_group(group).column(number)
            name, stated = column.path_in_schema, column.statistics
            if name not in _STATED:
                continue
            if stated is None or not stated.has_min_max:
                return {}
            least[name] = min(least.get(name, stated.min), stated.min)
            most[name] = max(most.get(name, stated.max), stated.max)
    as_json = {"minValues": _plain(least), "maxValues": _plain(most), "nullCount": dict.fromkeys(least, 0)}
    return as_json if least else {}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """A value as the protocol writes it: times in UTC with milliseconds."""
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z" if name == "ts" else value
        for name, value in values.items()
    }


def _remove(add: dict[str, Any], now_ms: int) -> dict[str, Any]:
    return {
        "path": add["path"],
        "deletionTimestamp": now_ms,
        "dataChange": True,
        "extendedFileMetadata": True,
        "partitionValues": {"date": _day(add["path"])},
        "size": add["size"],
    }


def _read(place: Place) -> _Table:
    """Replays the log, from the last checkpoint on if there is one. ArchiveError if it is damaged."""
    with _log_damage_named(place):
        return _replayed(place)


@contextmanager
def _log_damage_named(place: Place) -> Iterator[None]:
    """Turns what goes wrong with an entry of the log, which another program may have written, into an ArchiveError."""
    pa = need("pyarrow", "data")
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        raise ArchiveError(
            f"the Delta log of {place.where} is damaged ({type(error).__name__})",
            hint=f"restore {_LOG} from a copy, or remove it and run archive --delta again, which writes it again",
        ) from error


def _replayed(place: Place) -> _Table:
    names = place.list(_LOG)
    start, table = -1, _Table(-1, {}, None)
    if _LAST_CHECKPOINT in names:
        table = _checkpoint(place)
        start = table.version
    commits = sorted(int(found[1]) for found in map(_COMMIT.fullmatch, names) if found)
    later = [version for version in commits if version > start]
    if later != list(range(start + 1, start + 1 + len(later))):
        raise ArchiveError(
            f"the Delta log of {place.where} has a version missing between {later[0]} and {later[-1]}",
            hint=f"restore {_LOG} from a copy, or remove it and run archive --delta again, which writes it again",
        )
    files, metadata = dict(table.files), table.metadata
    for version in later:
        for line in place.read(f"{_LOG}{version:020}.json").splitlines():
            action = dict(json.loads(line)) if line.strip() else {}
            if "protocol" in action:
                _demand_known(place, action["protocol"])
            if "metaData" in action:
                metadata = action["metaData"]
            if "add" in action:
                files[action["add"]["path"]] = action["add"]
            if "remove" in action:
                files.pop(action["remove"]["path"], None)
    return _Table(later[-1] if later else start, files, metadata)


def _checkpoint(place: Place) -> _Table:
    """The state that another program, for example deltalake, wrote as one Parquet file."""
    parquet = need("pyarrow.parquet", "data")
    last = json.loads(place.read(_LAST_CHECKPOINT))
    if last.get("parts"):
        raise ArchiveError(
            f"the Delta log of {place.where} has a checkpoint in parts, which is not supported",
            hint="let deltalake write one: DeltaTable(...).create_checkpoint()",
        )
    version = int(last["version"])
    with place.open(f"{_LOG}{version:020}.checkpoint.parquet") as file:
        rows = parquet.read_table(file, columns=["add", "metaData", "protocol"]).to_pylist()
    files, metadata = {}, None
    for row in rows:
        if row["protocol"]:
            _demand_known(place, row["protocol"])
        if row["metaData"]:
            found = row["metaData"]
            metadata = {**found, "configuration": dict(found.get("configuration") or ())}
            metadata["format"] = {"provider": "parquet", "options": {}}
        if row["add"]:
            files[row["add"]["path"]] = row["add"]
    return _Table(version, files, metadata)


def _demand_known(place: Place, protocol: dict[str, Any]) -> None:
    if protocol["minReaderVersion"] > _READER or protocol["minWriterVersion"] > _WRITER:
        raise ArchiveError(
            f"the Delta log of {place.where} was changed by another program, which demands reader version"
            f" {protocol['minReaderVersion']} and writer version {protocol['minWriterVersion']}",
            hint=f"remove {_LOG} and run archive --delta again, which writes it again",
        )
