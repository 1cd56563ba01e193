"""A shell command → lines that fit into a terminal and can be pasted as they are. Pure.

Where a line ends, a backslash continues the command: the shell removes it together with the line break. Within single
quotes it would keep both, so that a line does not end there; text in quotes that is wider than a line is closed and
opened again.
"""

from __future__ import annotations

from typing import Final

from .cells import columns, place_to_cut

_CONTINUED: Final = "\\"


def pasteable(command: str, width: int, first: int) -> list[str]:
    """The lines of a command: the first one at most `first` columns wide, the others `width`, both at least 8.

    `command` is one line of printable text. A shell reads the lines as it reads the command.
    """
    lines, rest, room = [], command, first
    while columns(rest) > room:
        head, rest = _divided(rest, room)
        lines.append(head)
        room = width
    return [*lines, rest]


def _divided(text: str, room: int) -> tuple[str, str]:
    """A line with its backslash, and the rest: behind the last blank that fits, else where the line is full."""
    quoted = _in_single_quotes(text)
    most = _fitting(text, room - len(_CONTINUED))
    for at in range(most, 1, -1):
        if text[at - 1] == " " and text[at] != " " and not quoted[at]:
            return text[:at] + _CONTINUED, text[at:]
    at = place_to_cut(text, room - len(_CONTINUED))
    while at > 1 and text[at - 1] == "\\":  # it belongs to the character behind it
        at -= 1
    if not quoted[at]:
        return text[:at] + _CONTINUED, text[at:]
    start = at  # of the quoted text, at its quote
    while start and quoted[start]:
        start -= 1
    if start > 0:
        return text[:start] + _CONTINUED, text[start:]
    most = place_to_cut(text, room - len(_CONTINUED) - 1)
    return f"{text[:most]}'{_CONTINUED}", f"'{text[most:]}"


def _fitting(text: str, room: int) -> int:
    """How many characters fit."""
    count = used = 0
    while count < len(text) and used + columns(text[count]) <= room:
        used += columns(text[count])
        count += 1
    return count


def _in_single_quotes(text: str) -> list[bool]:
    """For each place between two characters whether it is within single quotes; one more than there are characters."""
    found, within = [False], ""
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and within != "'":
            escaped = True
        elif char == within:
            within = ""
        elif char in "'\"" and not within:
            within = char
        found.append(within == "'")
    return found
