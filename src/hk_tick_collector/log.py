"""Log lines: one event a line on stderr, `TIME LEVEL event key=value …`, which journald keeps and grep finds.

Enters: an event's name and its fields. Leaves: one line. A value with a space, a quote or nothing in it is quoted, so
that a line always splits back into its fields. Times are Hong Kong's, as everywhere, with their offset.
"""

from __future__ import annotations

import io
import logging
import sys
from datetime import datetime
from typing import TextIO

from .market import HKT
from .text import plain

_LOGGER = logging.getLogger("hk_tick_collector")


def debug(event: str, **fields: object) -> None:
    """What a developer wants while looking for a bug."""
    _LOGGER.debug(line(event, fields))


def info(event: str, **fields: object) -> None:
    """What happened and is fine."""
    _LOGGER.info(line(event, fields))


def warning(event: str, **fields: object) -> None:
    """What an operator should know; collection goes on."""
    _LOGGER.warning(line(event, fields))


def error(event: str, **fields: object) -> None:
    """What an operator must look at."""
    _LOGGER.error(line(event, fields))


def bug(event: str, error: BaseException | None = None, **fields: object) -> None:
    """What should never happen: the line, then the traceback of `error` or of the exception being handled."""
    _LOGGER.error(line(event, fields), exc_info=error or True)


class Repeated:
    """Lets one line through per interval and counts the others, so that a fault cannot flood the journal.

    `allow(now_s)` returns how many were held back since the last one let through, or None to stay silent.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> int | None:
        """Whether the caller may log now; `now_s` is any monotonic clock in seconds."""
        if now_s < self._next_s:
            self._held_back += 1
            return None
        held_back, self._held_back = self._held_back, 0
        self._next_s = now_s + self._interval_s
        return held_back


class Rationed:
    """Lets so many lines through per interval and counts the others: for a fault that concerns one symbol or hundreds.

    `allow` as that of Repeated.
    """

    def __init__(self, lines: int, interval_s: float) -> None:
        self._lines = lines
        self._interval_s = interval_s
        self._left = lines
        self._next_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> int | None:
        """Whether the caller may log now; `now_s` is any monotonic clock in seconds."""
        if now_s >= self._next_s:
            self._left, self._next_s = self._lines, now_s + self._interval_s
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back

    def ended(self, now_s: float) -> int | None:
        """How many lines were held back in an interval that has ended, to be told; None while it lasts."""
        if now_s < self._next_s:
            return None
        held_back, self._held_back = self._held_back, 0
        return held_back


def configure(level: str, stream: TextIO | None = None) -> None:
    """Sends every event of at least `level` (`DEBUG` … `ERROR`) to `stream`, stderr when not given."""
    stream = stream or sys.stderr
    if isinstance(stream, io.TextIOWrapper):  # a journal and a file are UTF-8 in any locale; a terminal is as it is
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    for old in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(old)
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def render(value: object) -> str:
    """One field's value: floats without noise, text quoted where it would not split back."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = plain(value)
    if not text or any(char in text for char in ' "='):
        return '"' + text.replace('"', "'") + '"'
    return text


def line(event: str, fields: dict[str, object]) -> str:
    """An event as it stands in the log, without time and level."""
    return " ".join([event, *(f"{key}={render(value)}" for key, value in fields.items())])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, HKT)
        line = f"{moment.isoformat(timespec='milliseconds')} {record.levelname} {record.getMessage()}"
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n".join([line, *map(plain, trace)])
