"""From the text of FUTU_SYMBOLS, or the file that it names, to its symbols. Each entry that is none is named.

A bad entry costs itself only: the caller decides whether the good ones are enough. Raises ValueError for a list or a
file of which nothing can be used.
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from .values import path, printable

if TYPE_CHECKING:
    from pathlib import Path

MAX_SYMBOLS: Final = 2000  # the largest subscription quota that OpenD grants

_SYMBOL: Final = re.compile(r"HK\.[0-9]{5}")
_MEANT: Final = re.compile(r"(?:HK[.:]?)?([0-9]{1,5})(?:[.:]?HK)?")  # after NFKC and in upper case
_SEPARATORS: Final = re.compile(r"[\s,;|/、，；]+")  # that people write instead of a comma
_MAX_MEANT: Final = 3  # symbols that one bad entry is taken for
_MAX_FILE_BYTES: Final = 1 << 20
_NAMED: Final = 3  # bad entries in an error that names no good one


class BadSymbol(NamedTuple):
    """An entry that is no symbol."""

    text: str  # as it was written, cut, without what a terminal would obey
    place: str  # `FILE:LINE`; empty where it stands in the setting itself
    meant: str  # the symbols that it may stand for, as they would be written; empty where nobody can tell

    def words(self) -> str:
        """What is wrong and what was probably meant."""
        if not self.text:
            return "an entry is empty: a comma too many"
        meant = f"did you mean {self.meant}?" if self.meant else "a symbol looks like HK.00700"
        return f"'{self.text}' is not a valid symbol; {meant}"


class Symbols(NamedTuple):
    """What a list or a file holds."""

    symbols: tuple[str, ...]  # in their order, each once
    again: tuple[str, ...]  # those that were named more than once
    bad: tuple[BadSymbol, ...]


def read_symbols(text: str) -> Symbols:
    """The symbols of a list, or of the file after `@`. ValueError where there is none but bad ones, or too many."""
    if not text.strip(" "):
        return Symbols((), (), ())
    if text.startswith("@"):
        items = _from_file(path(text[1:]))
    else:
        items = [(item.strip(" \t"), "") for item in text.split(",")]
    bad = tuple(
        BadSymbol(printable(item, 40), place, _meant(item)) for item, place in items if not _SYMBOL.fullmatch(item)
    )
    counts = Counter(item for item, _ in items if _SYMBOL.fullmatch(item))
    if not counts and bad:
        raise ValueError(f"holds no valid symbol: {_listed(bad)}")
    if not counts:
        raise ValueError("names a file without a symbol")
    if len(counts) > MAX_SYMBOLS:
        raise ValueError(f"holds {len(counts)} symbols, more than the {MAX_SYMBOLS} of OpenD's largest quota")
    return Symbols(tuple(counts), tuple(symbol for symbol, count in counts.items() if count > 1), bad)


def _listed(bad: tuple[BadSymbol, ...]) -> str:
    named = [f"{entry.place}: {entry.words()}" if entry.place else entry.words() for entry in bad[:_NAMED]]
    return "; ".join(named) + (f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else "")


def _meant(item: str) -> str:
    """The symbols that somebody had in mind who wrote `700`, `hk.00700`, `00700.HK` or `HK.00700;HK.00981`."""
    entries = [entry for entry in _SEPARATORS.split(unicodedata.normalize("NFKC", item).upper()) if entry]
    found = [_MEANT.fullmatch(entry.strip("\"'()[]")) for entry in entries]
    if not found or len(found) > _MAX_MEANT or not all(match and int(match[1]) for match in found):
        return ""
    return ",".join(f"HK.{match[1]:0>5}" for match in found if match)


def _from_file(file: Path) -> list[tuple[str, str]]:
    """Symbol and place of every line; `#` begins a comment."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ValueError(f"names {printable(str(file), 200)}, which is no regular file")
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"names the file {file}, which cannot be read ({error.strerror})") from None
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(f"names the file {file}, which is larger than 1 MiB: no list of symbols")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"names the file {file}, which is UTF-16: save it as UTF-8")
    # Bytes that are not UTF-8 spoil their own line only; a comment in Big5 spoils nothing.
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    texts = ((line.partition("#")[0].strip(), number) for number, line in enumerate(lines, 1))
    return [(text, f"{file}:{number}") for text, number in texts if text]
