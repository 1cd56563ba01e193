"""Log lines: one event a line on stderr, `TIME LEVEL event key=value …`, which journald keeps and grep finds.

Enters: an event's name and its fields. Leaves: one line. A value that is empty or contains a space or a quote is
quoted, so that a line can always be split into its fields again. Times are Hong Kong time with their offset.

After `in_background` a separate thread writes the lines. A pipe without a reader, a terminal stopped with Ctrl-S or a
log file on a frozen disk then blocks no other thread. Lines that do not fit in the bounded queue or cannot be written
are counted, and the count is logged as `log_lines_lost` once lines can be written again.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from datetime import datetime
from typing import Final, TextIO

from .market import HKT
from .text import plain

_LOGGER = logging.getLogger("hk_tick_collector")
_STDERR: Final = 2
_QUEUE_BYTES: Final = 2 * 2**20  # of lines that wait to be written
_NO_PROGRESS_S: Final = 1.0  # `flush` gives up when no line was written for this time
_FLUSH_MOST_S: Final = 5.0  # and after this time in any case


def debug(event: str, **fields: object) -> None:
    """For a developer who looks for a bug."""
    _LOGGER.debug(line(event, fields))


def info(event: str, **fields: object) -> None:
    """A normal event."""
    _LOGGER.info(line(event, fields))


def warning(event: str, **fields: object) -> None:
    """An event that the operator should know about. Collection continues."""
    _LOGGER.warning(line(event, fields))


def error(event: str, **fields: object) -> None:
    """An event that the operator must check."""
    _LOGGER.error(line(event, fields))


def bug(event: str, error: BaseException | None = None, **fields: object) -> None:
    """A bug in this program: the line, then the traceback of `error` or of the exception being handled."""
    _LOGGER.error(line(event, fields), exc_info=error or True)


class Repeated:
    """Allows one line per interval and counts the suppressed ones, so that a fault cannot flood the journal.

    `allow(now_s)` returns how many lines were suppressed since the last allowed one, or None: do not log this one.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> int | None:
        """The number of suppressed lines if the caller may log now, else None. `now_s` is a monotonic clock (s)."""
        if now_s < self._next_s:
            self._held_back += 1
            return None
        held_back, self._held_back = self._held_back, 0
        self._next_s = now_s + self._interval_s
        return held_back


class Rationed:
    """Allows `lines` lines per interval and counts the suppressed ones: for a fault that may affect many symbols.

    `allow` works as in Repeated.
    """

    def __init__(self, lines: int, interval_s: float) -> None:
        self._lines = lines
        self._interval_s = interval_s
        self._left = lines
        self._next_s = float("-inf")
        self._held_back = 0

    def allow(self, now_s: float) -> int | None:
        """The number of suppressed lines if the caller may log now, else None. `now_s` is a monotonic clock (s)."""
        if now_s >= self._next_s:
            self._left, self._next_s = self._lines, now_s + self._interval_s
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back

    def ended(self, now_s: float) -> int | None:
        """How many lines were suppressed in the interval that has ended, for a log line; None before its end."""
        if now_s < self._next_s:
            return None
        held_back, self._held_back = self._held_back, 0
        return held_back


def configure(level: str, stream: TextIO | None = None) -> None:
    """Sends every event of at least `level` (`DEBUG` … `ERROR`) to `stream`, by default stderr."""
    stream = stream or sys.stderr
    if isinstance(stream, io.TextIOWrapper):  # the journal and files are UTF-8 in any locale; a terminal has its own
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    handler = _handler(stream)
    handler.setFormatter(_Formatter())
    for old in _LOGGER.handlers[:]:
        _LOGGER.removeHandler(old)
        if isinstance(old, _Output):
            old.flush()
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def in_background() -> None:
    """From now on a thread writes the lines, and no caller waits. Without effect when no thread can be started."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, _Output):
            handler.start()


def write_text(text: str) -> bool:
    """Writes text that is not an event after the lines logged before it. False when no thread writes the lines: the
    caller must print the text itself.
    """
    outputs = [handler for handler in _LOGGER.handlers if isinstance(handler, _Output) and handler.is_started]
    for output in outputs:
        output.put(text)
    return bool(outputs)


def flush() -> None:
    """Waits until the lines logged so far are written, at most a few seconds."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, _Output):
            handler.flush()


def render(value: object) -> str:
    """One field's value: floats with at most three decimals, text quoted if the line could not be split otherwise."""
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
    """An event as it appears in the log, without time and level."""
    return " ".join([event, *(f"{key}={render(value)}" for key, value in fields.items())])


def _handler(stream: TextIO) -> logging.Handler:
    try:
        is_stderr = stream.fileno() == _STDERR
    except (OSError, AttributeError):  # a stream in memory, in tests
        is_stderr = False
    return _Output(_STDERR, stream.encoding) if is_stderr else logging.StreamHandler(stream)


class _Output(logging.Handler):
    """Writes lines to a descriptor: in the caller's thread before `start`, in a separate thread afterwards.

    It writes without Python's buffers: text left in such a buffer raises an error again when the interpreter exits.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_writing = False
        self._done = 0  # lines that the thread has written or given up
        self._lost = 0  # lines not written and not yet reported
        self.is_started = False

    def start(self) -> None:
        """Starts the thread. Without effect when no thread can be started."""
        if not self.is_started:
            try:
                threading.Thread(target=self._run, name="log", daemon=True).start()
            except RuntimeError:
                return
            self.is_started = True

    def emit(self, record: logging.LogRecord) -> None:
        self.put(self.format(record))

    def put(self, text: str) -> None:
        """Writes a line, or queues it for the thread. It is counted as lost when the queue is full."""
        data = f"{text}\n".encode(self._encoding, "backslashreplace")
        if not self.is_started:
            self._write(data)
            return
        with self._changed:
            if self._waiting_bytes + len(data) > _QUEUE_BYTES:
                self._lost += 1
                return
            self._lines.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify()

    def flush(self) -> None:
        """Waits until all lines are written. Gives up when no line is written for a while."""
        end_s = time.monotonic() + _FLUSH_MOST_S
        with self._changed:
            done, until_s = self._done, time.monotonic() + _NO_PROGRESS_S
            while self._lines or self._is_writing:
                if self._done != done:
                    done, until_s = self._done, time.monotonic() + _NO_PROGRESS_S
                left_s = min(until_s, end_s) - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    self._changed.wait()
                data = self._lines.popleft()
                self._waiting_bytes -= len(data)
                self._is_writing = True
            self._write(data)
            with self._changed:
                self._is_writing = False
                self._done += 1
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        if not self._written(data):
            with self._changed:
                self._lost += 1
        elif self._lost and not self._lines:
            with self._changed:
                lost, self._lost = self._lost, 0
            record = _own_event("log_lines_lost", count=lost)
            if not self._written(f"{self.format(record)}\n".encode()):
                with self._changed:
                    self._lost += lost

    def _written(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process that shares this terminal or pipe made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError:  # a full disk, a pipe without a reader: there is no other place to report it
                return False
        return True


def _own_event(event: str, **fields: object) -> logging.LogRecord:
    return logging.LogRecord(_LOGGER.name, logging.WARNING, __file__, 0, line(event, fields), None, None)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, HKT)
        line = f"{moment.isoformat(timespec='milliseconds')} {record.levelname} {record.getMessage()}"
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n".join([line, *map(plain, trace)])
