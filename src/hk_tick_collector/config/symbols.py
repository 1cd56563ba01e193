"""Reads the symbols of FUTU_SYMBOLS, or of the file that it names, and reports each invalid entry.

A bad entry does not affect the others: the caller decides whether the valid ones are enough. Raises ValueError for a
list or a file without any valid symbol.
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
_SEPARATORS: Final = re.compile(r"[\s,;|/、，；]+")  # characters that people write instead of a comma
_MAX_MEANT: Final = 3  # most symbols that are suggested for one bad entry
_MAX_FILE_BYTES: Final = 1 << 20
_NAMED: Final = 3  # most bad entries in one error


class BadSymbol(NamedTuple):
    """An invalid entry."""

    text: str  # as written, shortened, without control characters
    place: str  # `FILE:LINE`; empty if it is in the setting itself
    meant: str  # the symbols that were probably meant, in correct form; empty if unknown

    def words(self) -> str:
        """The error text, with a suggestion."""
        if not self.text:
            return "an entry is empty: delete the extra comma"
        meant = f"did you mean {self.meant}?" if self.meant else "a symbol looks like HK.00700"
        return f"'{self.text}' is not a valid symbol; {meant}"

    def words_zh(self) -> str:
        """The same in Chinese."""
        if not self.text:
            return "有一項是空的：刪除多餘的逗號"
        meant = f"是否指 {self.meant}？" if self.meant else "股票寫成 HK.00700 的形式"
        return f"'{self.text}' 不是有效的股票；{meant}"


class Symbols(NamedTuple):
    """The entries of a list or a file."""

    symbols: tuple[str, ...]  # in order, each once
    again: tuple[str, ...]  # symbols that occur more than once
    bad: tuple[BadSymbol, ...]


def read_symbols(text: str, *, most: int | None = MAX_SYMBOLS) -> Symbols:
    """The symbols of a list, or of the file after `@`. Raises ValueError if none is valid, or too many are.

    `most` is how many may be: None for a list that several hosts share.
    """
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
        raise ValueError(f"has no valid symbol: {_listed(bad)}")
    if not counts:
        raise ValueError("names a file without a symbol")
    if most is not None and len(counts) > most:
        raise ValueError(f"has {len(counts)} symbols, more than the {most} of OpenD's largest quota")
    return Symbols(tuple(counts), tuple(symbol for symbol, count in counts.items() if count > 1), bad)


def _listed(bad: tuple[BadSymbol, ...]) -> str:
    named = [f"{entry.place}: {entry.words()}" if entry.place else entry.words() for entry in bad[:_NAMED]]
    return "; ".join(named) + (f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else "")


def _meant(item: str) -> str:
    """The symbols that were probably meant by `700`, `hk.00700`, `00700.HK` or `HK.00700;HK.00981`."""
    entries = [entry for entry in _SEPARATORS.split(unicodedata.normalize("NFKC", item).upper()) if entry]
    found = [_MEANT.fullmatch(entry.strip("\"'()[]")) for entry in entries]
    if not found or len(found) > _MAX_MEANT or not all(match and int(match[1]) for match in found):
        return ""
    return ",".join(f"HK.{match[1]:0>5}" for match in found if match)


def _from_file(file: Path) -> list[tuple[str, str]]:
    """The entry and place of every line; `#` begins a comment."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ValueError(f"names {printable(str(file), 200)}, which is not a regular file")
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"names the file {file}, which cannot be read ({error.strerror})") from None
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(f"names the file {file}, which is larger than 1 MiB and so not a list of symbols")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"names the file {file}, which is UTF-16: save it as UTF-8")
    # Bytes that are not UTF-8 affect only their own line. In a comment, for example in Big5, they are allowed.
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    texts = ((line.partition("#")[0].strip(), number) for number, line in enumerate(lines, 1))
    return [(text, f"{file}:{number}") for text, number in texts if text]
