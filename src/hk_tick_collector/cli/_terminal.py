"""What a stream can show: lines that are redrawn, colour, or plain text. rich tells, so that all verbs agree."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def can_redraw(stream: TextIO) -> bool:
    """Whether escape sequences mean something there: on a terminal, if TERM is not `dumb`."""
    return stream.isatty() and not _console(stream).is_dumb_terminal


def in_colour(stream: TextIO) -> bool:
    """Whether it shows colour, and nobody asked for none: NO_COLOR, of https://no-color.org."""
    return can_redraw(stream) and not _console(stream).no_color


def width_of(stream: TextIO) -> int | None:
    """How many characters a line of this terminal has; None where the stream is no terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def can_encode(stream: TextIO, text: str) -> bool:
    """Whether the stream's encoding has every one of these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _console(stream: TextIO) -> Console:
    from rich.console import Console  # 0.1 s that a pipe does not need

    return Console(file=stream)
