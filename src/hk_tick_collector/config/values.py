"""Converts the text of a setting to its value. The forms are strict: `1e3`, ` 5`, `１２` and `0x10` are errors.

Each function takes the text and returns the value. It raises ValueError with the fault; the caller adds the name of the
setting and its origin.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

_WHOLE: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)(?!(?:.*\.)?[0-9]+\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(?:/[!-~]*)?")
_WEB_URL: Final = re.compile(r"https?://[!-~]+")
_TOKEN: Final = re.compile(r"[!-~]{16,128}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class Address(NamedTuple):
    """The address on which a server of ours listens."""

    host: str
    port: int  # 0 for any free port


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
    """`HOST:PORT` or `[IPV6]:PORT`; None for an empty text."""
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


def some_address(text: str) -> Address:
    """An address as in `address`, which must not be empty."""
    found = address(text)
    if found is None:
        raise ValueError("is empty")
    return found


def token(text: str) -> str | None:
    """A secret that a browser can send: printable ASCII without blanks, too long to be guessed; None if empty."""
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("is not a token")
    return text or None


def hosts(text: str) -> tuple[str, ...]:
    """Host names separated by commas; none for an empty text."""
    return tuple(host(name.strip()) for name in text.split(",")) if text else ()


def path(text: str) -> Path:
    """An absolute path. A relative path starts at the current directory. Symbolic links are not resolved."""
    if text.startswith("~"):
        raise ValueError("begins with ~, which only a shell expands")
    if not text:
        raise ValueError("is empty")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValueError("has a control character")
    found = Path(text).absolute()
    try:
        utf8(str(found))
    except ValueError as error:
        raise ValueError(f"{error}: rename the directory, or name another one") from None
    return found


def optional_path(text: str) -> Path | None:
    """A path as in `path`; None for an empty text."""
    return path(text) if text else None


def place(text: str) -> str | None:
    """An absolute path as in `path`, or the URL of a bucket, `s3://BUCKET/PREFIX`; None for an empty text."""
    if not text:
        return None
    if "://" not in text:
        return str(path(text))
    if not _BUCKET.fullmatch(text):
        raise ValueError("is neither a path nor s3://BUCKET/PREFIX")
    return text.rstrip("/")


def instance_id(text: str) -> str:
    """The name of this collector."""
    if not _INSTANCE.fullmatch(text):
        raise ValueError("has other characters, or more than 64")
    return text


def urls(text: str) -> tuple[str, ...]:
    """URLs separated by blanks or commas. A comma inside a URL is kept unless a new scheme follows it."""
    found = tuple(re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip())) if text.strip() else ()
    if not all(_URL.fullmatch(url) for url in found):
        raise ValueError("is not a list of URLs")
    return found


def web_url(text: str) -> SecretStr | None:
    """A web address, kept secret; None for an empty text."""
    if not text:
        return None
    if not _WEB_URL.fullmatch(text):
        raise ValueError("is not a web address")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("has an invalid host or port") from None
    if not parts.hostname or port == 0:
        raise ValueError("has no host, or an invalid port")
    return SecretStr(text)


def stream_urls(text: str) -> tuple[str, ...]:
    """Addresses of NATS servers, `nats://HOST:PORT` or `tls://HOST:PORT`, separated by commas; none for an empty text.

    A missing port is 4222. Names and passwords belong into a file, not into an address that processes can list.
    """
    found = tuple(_stream_url(part.strip()) for part in text.split(",")) if text else ()
    if len({url.partition("://")[0] for url in found}) > 1:
        raise ValueError("mixes nats:// and tls://")
    return found


def _stream_url(text: str) -> str:
    scheme, _, place = text.partition("://")
    if scheme not in ("nats", "tls"):
        raise ValueError("has an address that is neither nats:// nor tls://")
    if "@" in place:
        raise ValueError("has a name or a password in an address, which belongs into STREAM_CREDS")
    has_port = bool(re.search(r":[0-9]*\Z", place)) and not re.fullmatch(r"\[[^\]]*\]", place)
    found = some_address(place if has_port else f"{place}:4222")
    if found.port == 0:
        raise ValueError("has an address with port 0")
    return f"{scheme}://[{found.host}]:{found.port}" if ":" in found.host else f"{scheme}://{found.host}:{found.port}"


def printable(text: str, most: int) -> str:
    """A text from outside in one line without control characters, at most `most` characters."""
    text = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def utf8(text: str) -> str:
    """The text unchanged. Raises ValueError if it has bytes that are not UTF-8, which the system may pass to us."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("has bytes that are not UTF-8")
    return text
