"""A booted Debian 12: systemd-nspawn around a tree, commands by nsenter, a terminal for the person on duty.

Every command and its output are written to standard output, as the log of the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_S: Final = 90.0
_COMMAND_S: Final = 120.0
_WAIT_S: Final = 90.0
_SHOWN_LINES: Final = 40
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "cat",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: exit code, and standard output and error as on a terminal."""

    code: int
    text: str


def show(who: str, command: str, answer: Answer) -> None:
    """One command and its answer, as in a terminal's scrollback."""
    first, *more = command.splitlines() or [""]
    print(f"\n{who}@ticks$ {first}")
    for line in more:
        print(f"> {line}")
    lines = answer.text.splitlines()
    for line in lines[:_SHOWN_LINES]:
        print(f"  {line}")
    if len(lines) > _SHOWN_LINES:
        print(f"  … {len(lines) - _SHOWN_LINES} more lines")
    if answer.code:
        print(f"  (exit code {answer.code})")


class Host:
    """A machine: `tree` is its disk. Boot it, use it, power it off; `close` ends it in any state."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._terminals: list[Terminal] = []

    def boot(self) -> None:
        """Returns when systemd has started everything that is enabled."""
        environ = dict(os.environ)
        command = ["systemd-nspawn", "--boot", "--private-network", "--resolv-conf=off", "--timezone=off"]
        if not Path("/run/systemd/system").exists():  # no systemd here that could keep the machine's books
            command += ["--register=no", "--keep-unit"]
        if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            environ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "0"
        with self.tree.with_name("console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(  # it dies with us, and takes the machine with it
                ["setpriv", "--pdeathsig", "KILL", *command, f"--machine={self.tree.name}", "-D", str(self.tree)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environ,
            )
        print(f"\n--- {self.tree.name} boots")
        self.wait("systemd answers", self._find_init, _BOOT_S)
        self.wait("systemd is up", lambda: self._raw("systemctl is-system-running").text.strip() in _UP, _BOOT_S)

    def power_off(self) -> None:
        """A clean shutdown, as by `poweroff`."""
        self._forget_terminals()
        nspawn = self._running()
        self._raw("systemctl poweroff --no-block")
        nspawn.wait(_BOOT_S)
        self._nspawn, self._init = None, 0
        print(f"\n--- {self.tree.name} is off")

    def close(self) -> None:
        """Ends the machine at once."""
        self._forget_terminals()
        if self._nspawn is None:
            return
        if self._init:  # the kernel ends all of a machine with its first process
            _kill(self._init)
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait(20)
        self._nspawn, self._init = None, 0

    def run(self, command: str, *, who: str = "root", codes: tuple[int, ...] = (0,), cap_s: float = _COMMAND_S) -> str:
        """The output of a bash command. AssertionError with the output if the exit code is not one of `codes`."""
        answer = self.ask(command, who=who, cap_s=cap_s)
        assert answer.code in codes, f"{command!r} as {who} exits {answer.code}:\n{answer.text}"
        return answer.text

    def ask(self, command: str, *, who: str = "root", cap_s: float = _COMMAND_S) -> Answer:
        """The answer of a bash command, with any exit code."""
        answer = self._raw(command, who=who, cap_s=cap_s)
        show(who, command, answer)
        return answer

    def quietly(self, command: str, *, who: str = "root") -> Answer:
        """Like `ask`, and not in the log: for commands that are repeated."""
        return self._raw(command, who=who)

    def terminal(self, who: str, directory: str) -> Terminal:
        """A terminal with bash, in which variables are kept from command to command."""
        terminal = Terminal(self._enter(who, ["setsid", "--ctty", "--wait"]), _environment(who), directory)
        self._terminals.append(terminal)
        return terminal

    def wait(self, what: str, holds: Callable[[], object], cap_s: float = _WAIT_S) -> None:
        """Until `holds` returns something true. AssertionError if that takes longer than `cap_s`, a generous limit."""
        end_s = time.monotonic() + cap_s
        while not holds():
            nspawn = self._nspawn
            assert nspawn is None or nspawn.poll() is None, f"the machine has ended:\n{self._console()}"
            assert time.monotonic() < end_s, f"not within {cap_s:.0f} s: {what}"
            time.sleep(0.2)

    def path(self, inside: str) -> Path:
        """The path of a file of the machine's disk for us. Not for mounted file systems in it."""
        return self.tree / inside.lstrip("/")

    def _find_init(self) -> bool:
        nspawn = self._running()
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text("ascii").split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text("utf-8")
            inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if len(inner) > 2 and inner[-1] == "1" and "Name:\tsystemd\n" in status:
                self._init = int(child)
        return self._init != 0 and self._raw("systemctl is-system-running").text.strip() not in ("", "offline")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._nspawn is not None, "the machine is off"
        return self._nspawn

    def _raw(self, command: str, *, who: str = "root", cap_s: float = _COMMAND_S) -> Answer:
        done = subprocess.run(
            [*self._enter(who), "bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(who),
            timeout=cap_s,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(errors="replace"))

    def _enter(self, who: str, before: list[str] | None = None) -> list[str]:
        assert self._init, "the machine is off"
        enter = ["nsenter", "--target", str(self._init), "--all", "--root", "--wd", *(before or [])]
        return [*enter, "runuser", "-u", who, "--"]

    def _console(self) -> str:
        lines = self.tree.with_name("console.log").read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _forget_terminals(self) -> None:
        for terminal in self._terminals:
            terminal.close()
        self._terminals.clear()


_UP: Final = ("running", "degraded")


def _environment(who: str) -> dict[str, str]:
    home = "/root" if who == "root" else f"/home/{who}"
    return {**_ENVIRONMENT, "HOME": home, "USER": who, "LOGNAME": who, "SHELL": "/bin/bash"}


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
