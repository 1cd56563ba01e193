"""A process of a host: started, killed, frozen and started again with the same directory and the same log."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

CAP_S: Final = 300.0  # ends a wait that would last for ever; no verdict depends on it
_STOP_S: Final = 40.0


class Process:
    """One program of a host. `command` starts it each time; its output is appended to `log_path`."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log_path: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environ = dict(environ)
        self.log_path = log_path
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self.alive:
            return
        self.starts += 1
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.log_path.parent,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this program, which ends the others in order
            )

    @property
    def alive(self) -> bool:
        """Whether it runs; a frozen process runs too."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs or before the first start."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Sends SIGKILL, and returns once it has ended."""
        if self.alive and self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it continues."""
        if self.alive:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int | None:
        """SIGTERM, and its exit code; SIGKILL if it does not end."""
        if self._process is None:
            return None
        if self.alive:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    def output(self) -> str:
        """Everything that it has written, over all starts."""
        return self.log_path.read_text("utf-8", errors="replace") if self.log_path.exists() else ""


def wait_until(condition: Callable[[], object], what: Callable[[], str] | str, cap_s: float = CAP_S) -> float:
    """Returns the seconds until `condition()` was true. TimeoutError with `what` after the cap."""
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        if waited_s > cap_s:
            raise TimeoutError(f"not within {cap_s:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(min(0.1, max(0.01, waited_s / 20)))
    return time.monotonic() - began_s
