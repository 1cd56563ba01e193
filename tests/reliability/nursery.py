"""Processes that start in a tenth of a second: forked from one that has imported everything already.

    PYTHONPATH=. python -m tests.reliability.nursery FD

A thousand kills need a thousand starts, and most of a start is Python's imports. So one process does them once; each
fork of it is a process of its own that runs a verb as the command line does, or the verb `run` on a disk that works
until it is told otherwise: a `faulty` or a `forgetful` one (tests/faults/run_on_faulty_disk.py). A `powerless` one has
none of root's capabilities: owners and modes bind it as anybody else. Requests and answers are JSON on a socket:

    {"verb": ["run"], "environ": {NAME: value, …}, "in": directory, "disk": "faulty", "powerless": false}
                      with the descriptors of stdin, stdout and stderr; answers the process id
    {"reap": pid}     answers the exit code, as subprocess does, once that process has ended
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from tests.faults.run_on_faulty_disk import main as run_on_faulty_disk

from hk_tick_collector.cli import main as run_verb
from hk_tick_collector.config import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
_REQUEST_BYTES: Final = 1 << 18

Disk = Literal["plain", "faulty", "forgetful"]


class Forked:
    """A process that was forked: as much of `subprocess.Popen` as tests use."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._ends = os.pidfd_open(pid)  # readable once the process has ended
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self._code is None and select.select([self._ends], [], [], 0)[0]:
            self._reap()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended; TimeoutExpired if it has not by then."""
        if self._code is None:
            if not select.select([self._ends], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("run", timeout or 0.0)
            self._reap()
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        """Sends a signal; no effect after its end."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _reap(self) -> None:
        self._code = int(self._nursery.ask({"reap": self.pid}))
        os.close(self._ends)


class Nursery:
    """Forks processes for any thread; they end with it. Settings are on top of this process's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one request at a time
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.reliability.nursery", str(theirs.fileno())],
                cwd=ROOT,
                env={**_own_environ(), "PYTHONPATH": str(ROOT)},
                pass_fds=(theirs.fileno(),),
            )

    def fork(
        self,
        verb: list[str],
        directory: Path,
        files: tuple[int, int, int],
        environ: Mapping[str, str],
        *,
        disk: Disk = "plain",
        powerless: bool = False,
    ) -> Forked:
        """A verb in `directory` with these stdin, stdout and stderr, these settings, this disk and these powers."""
        request = {"verb": verb, "environ": {**environ}, "in": str(directory), "disk": disk, "powerless": powerless}
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(files))
            return Forked(self, int(self._answer()))

    def ask(self, request: dict[str, Any]) -> Any:
        """One request, one answer."""
        with self._lock:
            self._socket.send(json.dumps(request).encode())
            return self._answer()

    def close(self) -> None:
        """Ends it, and every process that still runs."""
        self._socket.close()
        self._process.wait(300)

    def _answer(self) -> Any:
        return json.loads(self._socket.recv(_REQUEST_BYTES))


def _own_environ() -> dict[str, str]:
    """This process's environment without settings from the user's shell."""
    names = {setting.name for setting in DEFINITIONS}
    foreign = ("FUTU_", "SQLITE_", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if name not in names and not name.startswith(foreign)}


def main() -> int:
    """Forks and reaps until its socket ends."""
    import uvloop  # noqa: F401 - what `run` imports late, so that every fork has it

    import hk_tick_collector.cli.run
    import hk_tick_collector.cli.simulate
    import hk_tick_collector.collect.service
    import hk_tick_collector.simulator.control
    import hk_tick_collector.simulator.server  # noqa: F401

    gc.freeze()
    running: set[int] = set()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            data, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 3)
            if not data:
                break
            request = json.loads(data)
            if "verb" in request:
                pid = os.fork()
                if not pid:
                    requests.close()
                    _become(request, files)
                running.add(pid)
                for file in files:
                    os.close(file)
                requests.send(json.dumps(pid).encode())
            else:
                _, status = os.waitpid(request["reap"], 0)
                running.discard(request["reap"])
                requests.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return 0


def _become(request: dict[str, Any], files: list[int]) -> NoReturn:
    """The child: a verb, from its settings to its exit code."""
    code = 1
    try:
        os.chdir(request["in"])
        os.environ.update(request["environ"])
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        if request["powerless"]:
            _drop_capabilities()
        sys.argv = ["run"]
        plain, forgetful = request["disk"] == "plain", request["disk"] == "forgetful"
        code = run_verb(request["verb"]) if plain else run_on_faulty_disk(forgetful=forgetful)
        sys.stderr.flush()
    finally:
        os._exit(code)


def _drop_capabilities() -> None:
    """As another account, but one that may read the Python that it runs, wherever that is installed."""
    libc = ctypes.CDLL(None, use_errno=True)
    version_3, own_process = 0x20080522, 0
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, 64 bits each
    if libc.capset((ctypes.c_uint32 * 2)(version_3, own_process), none):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    raise SystemExit(main())
