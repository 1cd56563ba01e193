"""From a setting's text to its value: exact, so that `1e3`, ` 5`, `１２` or `0x10` is an error and not a surprise.

Each function takes the text, returns the value and raises ValueError with what is wrong and what is allowed; the caller
adds the setting's name and where it came from.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple

_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
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
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValueError("holds a control character")
    found = Path(text).absolute()
    try:
        utf8(str(found))
    except ValueError as error:
        raise ValueError(f"{error}: rename the directory, or name another one") from None
    return found


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


def printable(text: str, most: int) -> str:
    """A text of others in one line that a terminal shows and does not obey, of `most` characters at most."""
    text = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def utf8(text: str) -> str:
    """The text itself. What the system hands over may hold bytes that are none: nobody could print or open that."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds bytes that are not UTF-8")
    return text
