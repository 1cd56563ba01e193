"""A terminal for tests: a pty, and the screen that a program draws on it.

It understands only the escape sequences that the live view uses; any other one fails the test, so that text from
outside cannot act. It fails too if a character does not fit into its line.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

CAP_S: Final = 120.0
_OLD_FRAMES: Final = 2  # that a program may have begun before it notices another size: for the clock, and for a signal
_SEQUENCE: Final = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")
_PART: Final = re.compile(r"\x1b(?:\[\??[0-9;]*)?")


class Screen:
    """What a terminal of this size shows. A pty is at `leader`; `follower` is for the program."""

    def __init__(self, width: int, height: int) -> None:
        self.leader, self.follower = pty.openpty()
        self.modes: list[Any] = termios.tcgetattr(self.follower)
        self.is_own = False  # the alternate screen
        self.has_cursor = self.wraps = True
        self.printed = ""  # outside the alternate screen
        self.styled: set[str] = set()  # the styles that were used
        self.is_closed = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resize(self, width: int, height: int) -> None:
        """Another size, and SIGWINCH for the programs in the foreground. What is drawn for the old one is ignored."""
        self.width, self.height = width, height
        self._is_waiting = True  # for a whole frame
        self._may_be_old = _OLD_FRAMES
        self._rows = [[" "] * width for _ in range(height)]
        self._row = self._column = 0
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self.leader, keys)

    @property
    def lines(self) -> list[str]:
        """The lines, without blanks at their ends."""
        return ["".join(row).rstrip() for row in self._rows]

    def wait(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """The lines once the condition holds; fails with the screen if it does not."""
        deadline_s = time.monotonic() + CAP_S
        while self._is_waiting or not condition(self.lines):
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, "\n".join([f"not within {CAP_S:.0f} s: {what}", *self.lines, self.printed])
            assert not self.is_closed, "\n".join([f"the program ended before: {what}", *self.lines, self.printed])
            self.read(min(0.2, left_s))
        return self.lines

    def shows(self, text: str) -> list[str]:
        """The lines once they have this text; a line may be broken anywhere in it."""
        return self.wait(lambda lines: "".join(text.split()) in "".join("".join(lines).split()), text)

    def next_second(self) -> list[str]:
        """The lines once the clock at the end of the first one has changed."""
        clock = self.lines[0][-12:]
        return self.wait(lambda lines: "HKT" in lines[0] and not lines[0].endswith(clock), "another second")

    def read(self, wait_s: float) -> None:
        """Takes what the program has written."""
        if not select.select([self.leader], [], [], wait_s)[0]:
            return
        try:
            data = os.read(self.leader, 1 << 16)
        except OSError:  # how Linux says that nobody has the terminal open
            data = b""
        self.is_closed = not data
        self._take(self._rest + self._decoder.decode(data))

    def read_to_end(self) -> None:
        """Takes all that is written until the program has closed the terminal."""
        self.close_follower()
        deadline_s = time.monotonic() + CAP_S
        while not self.is_closed:
            assert time.monotonic() < deadline_s, "the program still holds the terminal"
            self.read(0.2)

    def demand_restored(self) -> None:
        """The terminal is as it was: modes, screen, cursor, wrapping of lines."""
        assert termios.tcgetattr(self.leader) == self.modes
        assert (self.is_own, self.has_cursor, self.wraps) == (False, True, True)

    def close_follower(self) -> None:
        """Closes our own end of the program's side."""
        if self.follower >= 0:
            os.close(self.follower)
            self.follower = -1

    def close(self) -> None:
        """Closes the terminal, as a window that is closed."""
        self.close_follower()
        if self.leader >= 0:
            os.close(self.leader)
            self.leader = -1

    def _take(self, text: str) -> None:
        at = 0
        while at < len(text):
            if text[at] == "\33":
                match = _SEQUENCE.match(text, at)
                if match is None:
                    assert _PART.fullmatch(text, at), f"an unknown sequence: {text[at : at + 20]!r}"
                    break
                self._act(match[1], match[2])
                at = match.end()
            else:
                self._put(text[at])
                at += 1
        self._rest = text[at:]

    def _act(self, numbers: str, final: str) -> None:
        match final, numbers:
            case "H", _:
                row, column = (int(number) for number in numbers.split(";"))
                self._row, self._column = row - 1, column - 1
            case "J", "2":
                self._rows = [[" "] * self.width for _ in range(self.height)]
                self._is_waiting = False
            case "m", _:
                self.styled.add(numbers)
            case "h" | "l", "?1049":
                self.is_own = final == "h"
            case "h" | "l", "?25":
                self.has_cursor = final == "h"
            case "h" | "l", "?7":
                self.wraps = final == "h"
            case _:
                raise AssertionError(f"an unknown sequence: {numbers}{final}")

    def _put(self, char: str) -> None:
        if not self.is_own:
            self.printed += char
            return
        if self._is_waiting:
            return
        assert char.isprintable(), repr(char)
        columns = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if self._row >= self.height or self._column + columns > self.width:
            line = "".join(self._rows[self._row]) if self._row < self.height else ""
            assert self._may_be_old, f"outside of {self.width}×{self.height}, in row {self._row + 1}: {line!r} {char!r}"
            self._may_be_old -= 1
            self._is_waiting = True
            return
        self._rows[self._row][self._column] = char
        if columns == 2:
            self._rows[self._row][self._column + 1] = ""
        self._column += columns


def winch(pid: int) -> None:
    """SIGWINCH, for a program that is not in a terminal's foreground."""
    os.kill(pid, signal.SIGWINCH)
