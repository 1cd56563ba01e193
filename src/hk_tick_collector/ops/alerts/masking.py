"""Removes the parts of a URL from texts: a URL of alerts contains passwords and tokens. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

_PIECES: Final = (re.compile(r"[^\W_]{3,}"), re.compile(r"[^/@:?&=#,]{3,}"))


class Secrets:
    """Every part of `text`, which is a URL or a part of one, as it is and decoded; `known` parts are no secrets."""

    def __init__(self, text: str, known: set[str]) -> None:
        pieces = {piece for each in (text, unquote(text)) for kind in _PIECES for piece in kind.findall(each)}
        self._pieces = sorted(pieces - known, key=len, reverse=True)

    def masked(self, text: str) -> str:
        """The text with `***` for each of them."""
        for piece in self._pieces:
            text = text.replace(piece, "***")
        return text


def host_of(url: str) -> str:
    """`https://HOST/***`: of a web address only the scheme, the host and the port may be shown."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}/***"
