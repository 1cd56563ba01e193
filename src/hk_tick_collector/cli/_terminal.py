"""What a stream can show: redrawn lines, colour, or plain text. All verbs ask rich, so that they agree."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TextIO

from hk_tick_collector.config import operator_language
from hk_tick_collector.ops.findings.words import ENGLISH

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def can_redraw(stream: TextIO) -> bool:
    """Whether the stream understands escape sequences: it is a terminal and TERM is not `dumb`."""
    return stream.isatty() and not _console(stream).is_dumb_terminal


def in_colour(stream: TextIO) -> bool:
    """Whether the stream shows colour and NO_COLOR (https://no-color.org) is not set."""
    return can_redraw(stream) and not _console(stream).no_color


def width_of(stream: TextIO) -> int | None:
    """The width of the terminal in characters; None if the stream is not a terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def can_encode(stream: TextIO, text: str) -> bool:
    """Whether the stream's encoding has every one of these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def language_on(stream: TextIO, env_file: Path | None = None) -> str:
    """The operator's language for text on a stream: `en` also where its encoding has no Chinese characters."""
    lang = operator_language(env_file)
    return lang if can_encode(stream, "繁體中文") else ENGLISH


def _console(stream: TextIO) -> Console:
    from rich.console import Console  # imported late: it is slow to import, and a pipe does not need it

    return Console(file=stream)
