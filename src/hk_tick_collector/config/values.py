"""From a setting's text to its value: exact, so that `1e3`, ` 5`, `１２` or `0x10` is an error and not a surprise.

Each function takes the text, returns the value and raises ValueError with what is wrong and what is allowed; the caller
adds the setting's name and where it came from.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

MAX_SYMBOLS: Final = 2000  # the largest subscription quota that OpenD grants

_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_SYMBOL: Final = re.compile(r"HK\.[0-9]{5}")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)(?!(?:.*\.)?[0-9]+\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class Address(NamedTuple):
    """Where a server of ours listens."""

    host: str
    port: int  # 0 takes a free one


def whole(text: str) -> int:
    """A whole number, digits only."""
    if not _WHOLE.fullmatch(text) or len(text) > 18:
        raise ValueError("is not a whole number")
    return int(text)


def decimal(text: str) -> float:
    """A number in digits, with or without a fraction."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("is not a number")
    return float(text)


def host(text: str) -> str:
    """A host name or an IP address, without scheme and port."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text):
            raise ValueError("is neither a host name nor an IP address (the port is another setting)") from None
    return text


def address(text: str) -> Address | None:
    """`HOST:PORT`, `[IPV6]:PORT`, or None for nothing."""
    if not text:
        return None
    name, colon, port = text.rpartition(":")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        raise ValueError("needs brackets around an IPv6 address")
    if not colon or not name or not _WHOLE.fullmatch(port) or len(port) > 5 or int(port) > 65535:
        raise ValueError("is not HOST:PORT")
    return Address(host(name), int(port))


def path(text: str) -> Path:
    """An absolute path; a relative one begins at the current directory. Links stay as they were written."""
    if text.startswith("~"):
        raise ValueError("begins with ~, which only a shell understands")
    if not text:
        raise ValueError("is empty")
    return Path(text).absolute()


def optional_path(text: str) -> Path | None:
    """The same, or None for nothing."""
    return path(text) if text else None


def instance_id(text: str) -> str:
    """The name of this collector among others."""
    if not _INSTANCE.fullmatch(text):
        raise ValueError("holds other characters, or more than 64")
    return text


def urls(text: str) -> tuple[str, ...]:
    """URLs separated by blanks or commas; a comma inside of a URL stays where no new scheme follows it."""
    found = tuple(re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip())) if text.strip() else ()
    if not all(_URL.fullmatch(url) for url in found):
        raise ValueError("is not a list of URLs")
    return found


def symbols(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Symbols in their order, each once, and those that were named again; from the text or from the file after `@`."""
    if not text.strip(" "):
        return (), ()
    if text.startswith("@"):
        items = _symbols_file(path(text[1:]))
    else:
        items = [(item.strip(" "), "") for item in text.split(",")]
    wrong = [f"{_short(item) or 'an empty item'}{where}" for item, where in items if not _SYMBOL.fullmatch(item)]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ValueError(f"holds {wrong[0]}{more}, which is no Hong Kong symbol like HK.00700")
    counts = Counter(item for item, _ in items)
    if not counts:
        raise ValueError("names a file without a symbol")
    if len(counts) > MAX_SYMBOLS:
        raise ValueError(f"holds {len(counts)} symbols, more than the {MAX_SYMBOLS} of OpenD's largest quota")
    return tuple(counts), tuple(symbol for symbol, count in counts.items() if count > 1)


def _symbols_file(file: Path) -> list[tuple[str, str]]:
    """Symbol and place of every line; `#` begins a comment."""
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"names the file {file}, which cannot be read ({cause})") from None
    texts = ((line.partition("#")[0].strip(), number) for number, line in enumerate(lines, 1))
    return [(text, f" in {file}:{number}") for text, number in texts if text]


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
