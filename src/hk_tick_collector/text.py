"""Text from outside, made fit to be shown: one line, and nothing that a terminal, a log or a browser acts on. Pure.

Enters: words of OpenD, of files, of other programs, of the environment. Leaves: the same words on one line. Every place
where text leaves the program applies it: the verbs (`cli/_show.py`), log lines, systemd's STATUS=, findings, alerts and
the labels of metrics.
"""

from __future__ import annotations

from typing import Final

_BYTES: Final = range(0xDC80, 0xDD00)  # how Python keeps a byte of a file name that is not UTF-8


def plain(text: object) -> str:
    """One line of printable characters.

    A line break, a tabulator or any other white space becomes a blank. What moves a cursor, sets a colour, turns the
    direction of writing or is invisible is shown as Python writes it: `\\x1b`, `\\u202e`.
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
