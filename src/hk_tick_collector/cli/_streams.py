"""Repairs standard streams: missing ones (some supervisors and `>&-`) and ones that cannot show every character.

A free descriptor below 3 would be given to the next socket or file. libuv aborts in that case, and printed text would
go into that file. So each missing stream is opened to /dev/null before anything else is opened.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Final, TextIO

_NAMES: Final = ("stdin", "stdout", "stderr")


def open_missing() -> None:
    """Opens those of the descriptors 0 to 2 that are closed. If that fails, nothing is changed."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            try:
                opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number: `number`, unless a thread opens files
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
    r"""Makes every stream usable in any locale: a character that it cannot show becomes `\u8ba2`.

    Input is read as UTF-8, like logs.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            try:
                stream.reconfigure(errors="backslashreplace")
            except OSError:  # the stream was replaced by another file, for example a pipe, since it was opened
                setattr(sys, name, _text(number))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="backslashreplace")


def drop(stream: TextIO) -> None:
    """Drops the buffer of a failed stream, which would otherwise be written at exit and fail again."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _text(number: int) -> TextIO:
    return open(number, "r" if number == 0 else "w", encoding="utf-8", errors="backslashreplace", closefd=False)
