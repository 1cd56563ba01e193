"""A terminal with bash in it: what someone types, what appears, and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_S: Final = 0.1
_PROMPT: Final = re.compile(rb"<<ready (\d+)>>$")
_SETUP: Final = (
    "stty -echo; set +H; unset HISTFILE; PS2=; PS1='<<ready $?>>'",
    "printf '<<'ready' 0>>'; cd {directory}",
)


class Terminal:
    """`command` and bash behind it; it starts in `directory`."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], directory: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
        self._process = subprocess.Popen(
            [*command, "bash", "--norc", "--noediting", "-i"], stdin=slave, stdout=slave, stderr=slave, env=environ
        )
        os.close(slave)
        self._seen = b""
        self._type("stty -echo; set +H; unset HISTFILE; PS2=; PS1='<<ready '\\$?'>>'")
        self._read_until(lambda: _PROMPT.search(self._seen) is not None, 30)
        self.enter(f"cd {directory}", 30)

    def enter(self, command: str, cap_s: float) -> tuple[int, str]:
        """Types a command; its exit code, and what appeared. AssertionError when it has not ended within `cap_s`."""
        self._type(command)
        return self._until_prompt(cap_s)

    def watch(self, command: str, pattern: str, cap_s: float) -> tuple[int, str]:
        """Types a command that does not end by itself, waits for `pattern`, and presses Ctrl-C."""
        self._type(command)
        wanted = re.compile(pattern.encode())
        self._read_until(lambda: wanted.search(self._seen) is not None, cap_s)
        os.write(self._master, b"\x03")
        return self._until_prompt(cap_s)

    def close(self) -> None:
        """Hangs up."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(20)
        os.close(self._master)

    def _type(self, text: str) -> None:
        self._seen = b""
        os.write(self._master, text.encode() + b"\n")

    def _until_prompt(self, cap_s: float) -> tuple[int, str]:
        self._read_until(lambda: _PROMPT.search(self._seen) is not None, cap_s)
        prompt = _PROMPT.search(self._seen)
        assert prompt is not None
        text = self._seen[: prompt.start()].decode(errors="replace").replace("\r\n", "\n")
        return int(prompt[1]), text

    def _read_until(self, holds: object, cap_s: float) -> None:
        end_s = time.monotonic() + cap_s
        assert callable(holds)
        while not holds():
            assert time.monotonic() < end_s, f"no answer within {cap_s:.0f} s: {self._seen.decode(errors='replace')}"
            ready, _, _ = select.select([self._master], [], [], _LOOK_S)
            if not ready:
                continue
            try:
                self._seen += os.read(self._master, 65536)
            except OSError:  # hung up
                raise AssertionError(f"the shell has ended: {self._seen.decode(errors='replace')}") from None
