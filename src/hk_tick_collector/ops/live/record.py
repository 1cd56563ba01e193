"""A live state as a small JSON file that its process replaces every second: a dataclass to text, and back.

Enters: a dataclass whose fields are numbers, texts, lists and dictionaries of them. Leaves: one line of JSON; and from
a file that any program may have written, the dataclass with checked values, or an error.

Names carry rules: a field that ends with `_ms` is a moment (UTC epoch ms); a text that ends with `day` is empty or a
day like `20261120`, because paths are made from it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.rights import JOIN_GROUP

from .atomic_file import read_small, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)

_MOST_BYTES: Final = 16 * 2**20  # thousands of symbols, each refused with its own text, take less
_DAY: Final = re.compile(r"([0-9]{8})?")
_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01: later times are invalid


def text_of(record: DataclassInstance) -> str:
    """A live state as its file has it."""
    return json.dumps(asdict(record), separators=(",", ":"))


def replace_record(path: Path, text: str, pid: int) -> None:
    """Replaces the file in one step: a reader sees the old or the new content, never a part. OSError on failure."""
    replace_file(path, text, f".{path.name}.{pid}")


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """The live state, None if there is no file. Raises StoreError if it cannot be read or understood."""
    record: Record | None = None
    try:
        raw = json.loads(read_small(path, _MOST_BYTES))
        known = {spec.name: str(spec.type) for spec in fields(kind)}
        found = {key: value for key, value in raw.items() if key in known}
        if all(_fits(key, value, known[key]) for key, value in found.items()):
            record = kind(**found)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read {path} ({error.strerror})", hint=JOIN_GROUP if isinstance(error, PermissionError) else ""
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        record = None
    if record is None:
        raise StoreError(f"{path} is not the live state of this version", hint="restart the service")
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


def _fits(name: str, value: Any, declared: str) -> bool:
    """Whether a value is valid for a field of this name and type: later readers rely on this check."""
    kind, _, optional = declared.partition(" | ")
    if value is None:
        return optional == "None"
    match kind:
        case "int":
            return _is_number(value) and (not name.endswith("_ms") or 0 <= cast("int", value) < _LATEST_MS)
        case "float":
            return _is_number(value) or (type(value) is float and isfinite(value) and abs(value) < 2**63)
        case "dict[str, str]" | "dict[str, int]":
            is_good = _is_text if "str]" in kind else _is_number
            return isinstance(value, dict) and all(map(_is_text, value)) and all(map(is_good, value.values()))
        case "list[int]":
            return isinstance(value, list) and all(map(_is_number, value))
        case "list[str]":
            return isinstance(value, list) and all(map(_is_text, value))
        case "bool":
            return isinstance(value, bool)
        case _:
            return kind == "str" and _is_text(value) and (not name.endswith("day") or _DAY.fullmatch(value) is not None)
