"""Makes text from outside safe to show: one line, without control characters for a terminal, a log or a browser.

Enters: text from OpenD, from files, from other programs, from the environment. Leaves: the same text on one line. It is
applied wherever text leaves the program: the verbs (`cli/_show.py`), log lines, systemd's STATUS=, findings, alerts and
the labels of metrics. Pure functions.
"""

from __future__ import annotations

from typing import Final

_BYTES: Final = range(0xDC80, 0xDD00)  # the code points in which Python stores a byte of a file name that is not UTF-8


def plain(text: object) -> str:
    """One line of printable characters.

    A line break, a tab or any other white space becomes a space. A character that moves the cursor, sets a colour,
    changes the direction of writing or is invisible becomes its Python escape: `\\x1b`, `\\u202e`.
    """
    words = str(text)
    return words if words.isprintable() else "".join(map(_shown, words))


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if char.isspace():
        return " "
    if ord(char) in _BYTES:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
