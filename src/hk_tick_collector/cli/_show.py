"""Prints all output of the verbs: lines, JSON documents, CSV rows. No other module of cli/ prints.

A printed line is always one line, and no part of it can control the terminal (`hk_tick_collector.text`); only our own
styles do. JSON is strict and ASCII, so that it is valid in every locale and for every reader.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import unicodedata
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from hk_tick_collector import log
from hk_tick_collector.text import plain

from ._streams import drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_T = TypeVar("_T")

PLAIN: Final = "\33[0m"
_CLEAR_LINE: Final = "\r\33[K"
_NOT_ASCII: Final = re.compile(r"[^\n -~]")  # line breaks are kept: an indented document has them


def show(text: str = "", *, head: str = "", style: str = "", flush: bool = False) -> None:
    """Prints one line: `head` in `style` (an escape sequence of ours, or empty), then `text`."""
    shown = f"{style}{plain(head)}{PLAIN}" if style else plain(head)
    print(f"{shown}{plain(text)}", flush=flush)


def columns_taken(text: str) -> int:
    """How many columns of a terminal a text takes: a Chinese character takes two."""
    return len(text) if text.isascii() else len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text)


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Text padded with blanks to this many columns of a terminal; `right`: the blanks come first."""
    blanks = " " * max(0, columns - columns_taken(text))
    return blanks + text if right else text + blanks


def show_lines(text: str) -> None:
    """Prints our own text of several lines."""
    for line in text.splitlines():
        show(line)


def complain(line: str) -> None:
    """Prints one line to stderr; if stderr is closed or full, the line is lost."""
    if log.write_text(plain(line)):  # after the lines of the log, but without waiting for ever for a slow reader
        log.flush()
        return
    try:
        print(plain(line), file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def warn(line: str) -> None:
    """Prints a warning to stderr, apart from the output."""
    complain(f"warning: {line}")


def redraw(text: str, stream: TextIO) -> None:
    """Replaces the last line of a terminal; without text it clears the line."""
    stream.write(f"{_CLEAR_LINE}{plain(text)}")
    stream.flush()


def show_json(document: object, *, indent: int | None = None) -> None:
    """Prints a JSON document, on one line unless indented."""
    print(json_text(document, indent=indent))


def json_text(document: object, *, indent: int | None = None) -> str:
    """JSON as in RFC 8259, in ASCII: a number that JSON cannot express becomes null, half a surrogate U+FFFD."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, indent=indent)
    return _NOT_ASCII.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xD800 <= code < 0xE000:
        code = 0xFFFD
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def show_json_list(
    document: dict[str, object],
    name: str,
    items: Iterable[object],
    after: Callable[[], dict[str, object]] | None = None,
) -> None:
    """Prints a JSON document with one more field, a list printed while it is read: it may not fit into memory.

    `after` gives further fields once all items were read. If reading the first item raises an error, nothing is
    printed. If reading a later item does, the document has no end, and every parser refuses it.
    """
    begun = _begun(items)
    print(f"{json_text(document)[:-1]}, {json_text(name)}: [", end="")
    for comma, item in zip(chain(["\n"], repeat(",\n")), begun, strict=False):
        print(f"{comma}{json_text(item)}", end="")
    more = after() if after else {}
    print(f"\n], {json_text(more)[1:]}" if more else "\n]}")


def show_csv(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> None:
    """Prints rows as CSV: a row is one line; a cell with a comma or quote is quoted, numbers are unchanged.

    If reading the first row raises an error, nothing is printed.
    """
    begun = _begun(rows)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows([plain(cell) if isinstance(cell, str) else cell for cell in row] for row in begun)


def _begun(items: Iterable[_T]) -> Iterator[_T]:
    """The same items, after the first one has been read."""
    rest = iter(items)
    return chain(list(islice(rest, 1)), rest)
