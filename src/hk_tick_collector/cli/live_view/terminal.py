"""The terminal of a live view: drawn on a screen of its own, and left as it was, whatever ends or stops the view.

No call waits for the terminal, which may be slow or stopped by Ctrl-S: what it does not take is kept and sent later.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from hk_tick_collector.signals import give_back

from .cells import BAD, BOLD, CHOSEN, DIM, GOOD, WARNING, columns, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

    from .cells import Line

ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OTHERS: Final = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
# A screen of its own, no cursor, and no new line behind the last column; and back.
_ENTER: Final = "\33[?1049h\33[?25l\33[?7l\33[0m\33[2J"
_LEAVE: Final = "\33[0m\33[2J\33[?7h\33[?25h\33[?1049l"
_PLAIN: Final = "\33[0m"
_STYLES: Final = {BOLD: "1", DIM: "2", CHOSEN: "7"}
_COLOURS: Final = {GOOD: "32", WARNING: "33;1", BAD: "31;1"}
_WITHOUT_COLOUR: Final = {GOOD: "", WARNING: "1", BAD: "1"}
_LEAVE_S: Final = 1.0
_PIECE_BYTES: Final = 256  # a terminal that can be written to takes so much without a wait
_READ_BYTES: Final = 4096


class Size(NamedTuple):
    """The columns and rows of a terminal."""

    width: int
    height: int


class TerminalGoneError(Exception):
    """The terminal was closed."""


class Terminal:
    """The terminal behind stdout, and stdin if it is a terminal too. A context manager.

    `wake` and `keys` are descriptors to wait for; `keys` is None without a terminal behind stdin. Signals of ENDS do
    not end the process while the view is shown: `signals` returns them.
    """

    def __init__(self, *, coloured: bool) -> None:
        self.keys = 0 if os.isatty(0) else None
        self.wake = -1
        self.is_busy = False  # it has not taken the last frame yet
        self._styles = {**_STYLES, **(_COLOURS if coloured else _WITHOUT_COLOUR)}
        self._encoding = sys.stdout.encoding or "ascii"
        self._output = self._waker = self._waker_before = -1
        self._pending = b""
        self._shown: list[str] = []
        self._modes: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._output = _opened_again(1)
        reading, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.wake = reading
        for number in (*ENDS, *_OTHERS):
            before = signal.getsignal(number)
            if before in (signal.SIG_DFL, signal.default_int_handler):  # nohup makes a process ignore SIGHUP; keep that
                self._handlers[number] = signal.signal(number, _note)
        self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        if self.keys is not None:
            with suppress(termios.error):
                self._modes = termios.tcgetattr(self.keys)
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        signal.set_wakeup_fd(self._waker_before)
        for number, before in self._handlers.items():
            if before is signal.SIG_DFL:
                give_back([number], signal.SIG_DFL)
            else:
                signal.signal(number, before)
        for descriptor in (self._output, self.wake, self._waker):
            os.close(descriptor)

    @property
    def size(self) -> Size:
        """Its present size; 80×24 if it does not say."""
        try:
            width, height = os.get_terminal_size(1)
        except OSError:
            width, height = 0, 0
        return Size(*((width, height) if width > 0 and height > 0 else shutil.get_terminal_size()))

    @property
    def output(self) -> int:
        """The descriptor to wait for while `is_busy`."""
        return self._output

    def signals(self) -> list[signal.Signals]:
        """The signals that arrived since the last call."""
        with suppress(BlockingIOError):
            return [signal.Signals(number) for number in os.read(self.wake, _READ_BYTES)]
        return []

    def pressed(self) -> bytes:
        """The bytes of the keys that were pressed. Raises TerminalGoneError if the terminal was closed."""
        assert self.keys is not None
        try:
            data = os.read(self.keys, _READ_BYTES)
        except OSError:
            data = b""
        if not data:
            raise TerminalGoneError
        return data

    def stop(self) -> None:
        """Stops the process as Ctrl-Z does, with the terminal as it was; returns when it is continued."""
        self._end()
        give_back([signal.SIGTSTP], signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        if signal.SIGTSTP in self._handlers:
            signal.signal(signal.SIGTSTP, _note)
        self._begin()

    def begin_anew(self) -> None:
        """Prepares the terminal again after the process was continued: a shell may have changed it."""
        self._begin()

    def forget(self) -> None:
        """The next frame is drawn whole: the terminal has another size, or shows something else."""
        self._shown = []

    def draw(self, frame: Sequence[Line], size: Size) -> None:
        """Draws a frame: only the lines that changed. Call it only while the terminal is not busy."""
        texts = [self._styled(line, size.width) for line in frame[: size.height]]
        texts += [" " * size.width] * (size.height - len(texts))
        if len(self._shown) != len(texts):
            self._shown = [""] * len(texts)
            self._send("\33[0m\33[2J")
        changed = [
            f"\33[{row};1H{new}" for row, (old, new) in enumerate(zip(self._shown, texts, strict=True), 1) if new != old
        ]
        self._shown = texts
        self._send("".join(changed))

    def flush(self) -> None:
        """Sends what the terminal did not take yet, as much as it takes now. TerminalGoneError if it was closed."""
        try:
            while self._pending and select.select([], [self._output], [], 0)[1]:
                self._pending = self._pending[os.write(self._output, self._pending[:_PIECE_BYTES]) :]
        except BlockingIOError:
            pass
        except OSError:
            raise TerminalGoneError from None
        finally:
            self.is_busy = bool(self._pending)

    def _send(self, text: str) -> None:
        self._pending += text.encode(self._encoding, "replace")
        self.flush()

    def _styled(self, line: Line, width: int) -> str:
        """A line with its escape sequences, and blanks up to the width: no part of an earlier line stays."""
        shown = []
        for text, style in line:
            codes = self._styles.get(style, "")
            known = self._encodable(text)
            shown.append(f"\33[{codes}m{known}{_PLAIN}" if codes else known)
        return "".join(shown) + " " * (width - width_of(line))

    def _encodable(self, text: str) -> str:
        """The text with question marks, as wide as they were, for characters that the terminal cannot show."""
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return "".join(char if char.isascii() else "?" * columns(char) for char in text)
        return text

    def _begin(self) -> None:
        if self._modes is not None and self.keys is not None:
            modes: list[Any] = [each.copy() if isinstance(each, list) else each for each in self._modes]
            # NOFLSH: Ctrl-C would drop output that the terminal has not taken, in the middle of an escape sequence.
            modes[3] = (modes[3] & ~(termios.ICANON | termios.ECHO)) | termios.ISIG | termios.NOFLSH
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            _set_modes(self.keys, modes)
        self._shown = []
        with suppress(TerminalGoneError):
            self._send(_ENTER)

    def _end(self) -> None:
        """Leaves the screen and restores the modes. If the terminal takes nothing for a second, only the modes."""
        self._pending += _LEAVE.encode()
        last_s = time.monotonic() + _LEAVE_S
        with suppress(OSError, TerminalGoneError):
            while self._pending and select.select([], [self._output], [], max(0.0, last_s - time.monotonic()))[1]:
                self.flush()
        self._pending = b""
        self.is_busy = False
        if self._modes is not None and self.keys is not None:
            _set_modes(self.keys, self._modes)
            with suppress(termios.error):
                termios.tcflush(self.keys, termios.TCIFLUSH)  # keys pressed for the view are no commands for the shell


def _note(_number: int, _frame: FrameType | None) -> None:
    """A signal has a handler so that its number reaches the descriptor `wake`."""


def _set_modes(descriptor: int, modes: list[Any]) -> None:
    """Sets the modes at once: waiting until all output is sent would wait for a terminal that Ctrl-S stopped."""
    while True:
        try:
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
        except InterruptedError:
            continue  # the process was in the background, which stops it, and was then continued
        except termios.error as error:
            if error.args[0] == 4:  # EINTR
                continue
        return


def _opened_again(descriptor: int) -> int:
    """The terminal with a descriptor that never blocks. The other one is the shell's too: it is not changed."""
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a terminal of another user, after su
        return os.dup(descriptor)
