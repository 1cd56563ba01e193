"""Bytes that a terminal sends → names of keys. Pure."""

from __future__ import annotations

import re
from typing import Final

ESCAPE: Final = "escape"
_ESC: Final = 0x1B
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_BEGINNING: Final = re.compile(rb"\x1b(?:\[[0-?]{0,16}[ -/]{0,16}|O)?")
_NAMED: Final = {
    **dict(zip((b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"), ("up", "down", "right", "left"), strict=True)),
    **dict(zip((b"\x1bOA", b"\x1bOB", b"\x1bOC", b"\x1bOD"), ("up", "down", "right", "left"), strict=True)),
    **dict.fromkeys((b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x1b[7~"), "home"),
    **dict.fromkeys((b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x1b[8~"), "end"),
    b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown",
}
_CONTROL: Final = {0x0D: "enter", 0x0A: "enter", 0x7F: "backspace", 0x08: "backspace", 0x0C: "redraw"}
_FORGET_BYTES: Final = 64  # no sequence is so long


class Keys:
    """Keys from the bytes of a terminal, in pieces of any size. Unknown keys have no name and are left out."""

    def __init__(self) -> None:
        self._bytes = b""

    @property
    def waits(self) -> bool:
        """Whether the last bytes may be the beginning of a key: call `flush` if no more come within moments."""
        return bool(self._bytes)

    def feed(self, data: bytes) -> list[str]:
        """The names of the keys that are complete: printable ASCII as itself, others as `up`, `enter`, `escape`."""
        self._bytes += data
        found = []
        while self._bytes:
            name, size = self._next()
            if size == 0:
                break
            self._bytes = self._bytes[size:]
            found += [name] if name else []
        return found

    def flush(self) -> list[str]:
        """The key Esc, if that is what the last bytes were after all."""
        rest, self._bytes = self._bytes[1:], b""
        return [ESCAPE, *self.feed(rest)]

    def _next(self) -> tuple[str, int]:
        """The first key and the number of its bytes: 0 while it is not complete, an empty name if it is unknown."""
        first = self._bytes[0]
        if first != _ESC:
            return (chr(first) if 0x20 <= first < 0x7F else _CONTROL.get(first, "")), 1
        if match := _SEQUENCE.match(self._bytes):
            return _NAMED.get(match[0], ""), len(match[0])
        is_begun = _BEGINNING.fullmatch(self._bytes) and len(self._bytes) < _FORGET_BYTES
        return ("", 0) if is_begun else (ESCAPE, 1)
