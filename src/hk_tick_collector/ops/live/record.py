"""Records that one process replaces in a small JSON file and others read: a frozen or plain dataclass, checked by type.

Enters: a dataclass whose fields are numbers, texts, and lists and dicts of them. Leaves: its text, and the record back.
A reader accepts a record of another version: unknown fields are passed over, missing ones take their default.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.rights import JOIN_GROUP
from hk_tick_collector.store.small_file import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MOST_BYTES: Final = 16 * 2**20  # thousands of symbols, each refused with its own text, take less
_DAYS: Final = ("newest_day", "writer_day")  # a path is made from these values, so they are checked
_DAY: Final = re.compile(r"([0-9]{8})?")
_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01: later times are invalid
_LONGEST_S: Final = _LATEST_MS // 1000  # no two clocks differ by more
# Their values are times, as are those of names that end in `_ms`.
_TIMES: Final = frozenset({"alerts_muted", "alerts_failing", "sources"})

_FRESH_MS: Final = 10_000  # a process that runs replaces its record every second

_Record = TypeVar("_Record")
_State = TypeVar("_State", bound="_Reported")


class _Reported(Protocol):
    """A live state: when it was written, UTC epoch ms, and what its process does."""

    @property
    def written_ms(self) -> int: ...
    @property
    def state(self) -> str: ...


def is_running(reported: _Reported, now_ms: int) -> bool:
    """Whether the process of a live state runs at `now_ms`: it has not stopped, and reported in the last 10 s."""
    return reported.state != "stopped" and abs(now_ms - reported.written_ms) < _FRESH_MS


def newest_of(found: Iterable[_State], now_ms: int) -> _State | None:
    """The live state that counts of several at `now_ms`, UTC epoch ms: one whose process runs, else the newest.

    A time in the future was written by a wrong clock. It counts only if there is no other.
    """
    return max(
        found,
        key=lambda each: (is_running(each, now_ms), each.written_ms < now_ms + _FRESH_MS, each.written_ms),
        default=None,
    )


def text_of(record: Any) -> str:
    """The record as its file has it."""
    return json.dumps(asdict(record), separators=(",", ":"))


def read_record(path: Path, kind: type[_Record], *, restart: str) -> _Record | None:
    """The record in a file, None if there is no file. Raises StoreError if it cannot be read or understood.

    `restart` is what an operator does about a record that this version does not understand.
    """
    try:
        raw = json.loads(read_small(path, _MOST_BYTES))
        known = {spec.name: str(spec.type) for spec in fields(kind)}  # type: ignore[arg-type]
        found = {key: value for key, value in raw.items() if key in known}
        record = kind(**found) if all(_fits(key, value, known[key]) for key, value in found.items()) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read {path} ({error.strerror})",
            hint=JOIN_GROUP if isinstance(error, PermissionError) else "",
            zh=f"不能讀取 {path}（{error.strerror}）",
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        record = None
    if record is None:
        raise StoreError(
            f"{path} is not the live state of this version", hint=restart, zh=f"{path} 不是本版本的即時狀態檔"
        )
    return record


def _is_text(value: object) -> bool:
    """Text that can be printed and used in a path."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return False
    return True


def _is_number(value: object) -> bool:
    """An integer in the range of a counter, which a float can represent."""
    return type(value) is int and abs(value) < 2**63


def _is_time(value: object) -> bool:
    """A time that has a date: UTC epoch ms before the year 2100."""
    return type(value) is int and 0 <= value < _LATEST_MS


def _fits(name: str, value: object, declared: str) -> bool:
    """Whether a value is valid for a field of this name and type: later readers rely on this check."""
    kind, _, optional = declared.partition(" | ")
    if value is None:
        return optional == "None"
    is_whole = _is_time if name.endswith("_ms") or name in _TIMES else _is_number
    match kind:
        case "int":
            return is_whole(value)
        case "float":
            most = _LONGEST_S if name == "drift_s" else 2**63  # dates are made from a drift
            return (_is_number(value) or type(value) is float) and -most < value < most  # type: ignore[operator]
        case "dict[str, str]" | "dict[str, int]":
            is_good = _is_text if "str]" in kind else is_whole
            return isinstance(value, dict) and all(map(_is_text, value)) and all(map(is_good, value.values()))
        case "list[int]":
            return isinstance(value, list) and all(map(is_whole, value))
        case "list[str]":
            return isinstance(value, list) and all(map(_is_text, value))
        case "bool":
            return isinstance(value, bool)
        case _:
            return kind == "str" and _is_text(value) and (name not in _DAYS or _DAY.fullmatch(str(value)) is not None)
