"""Standard streams that are missing, as some supervisors and `>&-` leave them, or that cannot show every character.

A descriptor below 3 that is free would be given to the next socket or file: libuv aborts over it, and what is printed
would go there. So each missing one is opened to /dev/null before anything else is opened.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Final, TextIO

_NAMES: Final = ("stdin", "stdout", "stderr")


def open_missing() -> None:
    """Opens those of the descriptors 0 to 2 that are closed. Where even that fails, all stays as it is."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            try:
                opened = os.open(os.devnull, os.O_RDWR)  # the lowest free one: this one, unless threads open files
                if opened == number:
                    os.set_inheritable(number, True)
                else:
                    os.dup2(opened, number)
                    os.close(opened)
            except OSError:
                continue
        if getattr(sys, name) is None:
            setattr(sys, name, _text(number))


def make_safe() -> None:
    """Whatever the locale or PYTHONIOENCODING is: a character that a stream cannot show is shown as `\\u8ba2`.

    What comes in is UTF-8, as logs are.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            try:
                stream.reconfigure(errors="backslashreplace")
            except OSError:  # another file was put in its place since it was opened, a pipe for example
                setattr(sys, name, _text(number))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="backslashreplace")


def drop(stream: TextIO) -> None:
    """What is left in the buffer of a stream that failed would be written at the exit, and fail again."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _text(number: int) -> TextIO:
    return open(number, "r" if number == 0 else "w", encoding="utf-8", errors="backslashreplace", closefd=False)
