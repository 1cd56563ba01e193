"""Processes that start in a tenth of a second: forked from one that has imported everything already.

    PYTHONPATH=. python -m tests.nursery FD

The tests start the command line thousands of times, and most of the time of a start is Python's imports. So one process
does them once. Each fork of it is a separate process with its own streams, environment and directory. It runs a verb as
the command line does, or the verb `run` on a disk that fails on request: a `faulty` or a `forgetful` one
(tests/faults/run_on_faulty_disk.py). A `powerless` process has none of root's capabilities, so owners and modes of
files apply to it. Requests and answers are JSON on a socket:

    {"verb": ["run"], "environ": {NAME: value, …}, "in": directory, "disk": "faulty", "powerless": false}
                      with the descriptors of stdin, stdout and stderr; answers the process id
    {"reap": pid}     answers the exit code, as subprocess does, once that process has ended
"""

from __future__ import annotations

import ctypes
import gc
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from tests.faults.run_on_faulty_disk import main as run_on_faulty_disk

import hk_tick_collector
from hk_tick_collector.cli import main as run_verb
from hk_tick_collector.config import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[1]
_REQUEST_BYTES: Final = 1 << 18
# What the start of Python or the dynamic linker reads: who changes that needs a whole start.
_READ_AT_START: Final = ("LC_", "LANG", "LD_", "PYTHON", "COVERAGE")

# Of other packages, what functions of ours import. Each takes a verb up to half a second.
_IMPORTED_LATE: Final = (
    "adbc_driver_sqlite.dbapi", "nats.aio.client", "pyarrow.compute", "pyarrow.parquet", "uvicorn", "uvloop",
)  # fmt: skip
_COMMAND_BYTES: Final = 4096  # room for the command line of a fork
_CAP_S: Final = 300.0

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
        self._environ = _own_environ()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ExitStack() as failed:
            failed.callback(self._socket.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno()), " " * _COMMAND_BYTES],
                cwd=ROOT,
                env={**self._environ, "PYTHONPATH": str(ROOT)},
                pass_fds=(theirs.fileno(),),
            )
            failed.pop_all()

    def can_fork(self, environ: Mapping[str, str]) -> bool:
        """Whether a fork with these variables behaves like a process that was started with them."""
        early = {name: value for name, value in environ.items() if name.startswith(_READ_AT_START)}
        return early.items() <= self._environ.items()

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
        """A verb in `directory` with these stdin, stdout and stderr, this disk and these powers.

        `environ` is added to this process's own environment without settings. ValueError for variables that only a new
        start of Python reads.
        """
        if not self.can_fork(environ):
            raise ValueError(f"one of these must be there when Python starts: {', '.join(environ)}")
        whole = _own_environ() | {**environ}
        request = {"verb": verb, "environ": whole, "in": str(directory), "disk": disk, "powerless": powerless}
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(files))
            return Forked(self, int(self._answer()))

    def run(self, verb: list[str], directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text: a verb that reads nothing, once it has ended."""
        done = self.run_bytes(verb, directory, environ)
        out, err = (io.TextIOWrapper(io.BytesIO(said)).read() for said in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(verb, done.returncode, out, err)

    def run_bytes(
        self, verb: list[str], directory: Path, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """The same with what it wrote as it wrote it; AssertionError when it does not end."""
        (from_out, to_out), (from_err, to_err) = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            process = self.fork(verb, directory, (nothing, to_out, to_err), environ)
        except BaseException:
            os.close(from_out)
            os.close(from_err)
            raise
        finally:
            for file in (nothing, to_out, to_err):
                os.close(file)
        said = _read_all(from_out, from_err)
        if said is None:
            process.kill()
        code = process.wait(_CAP_S)
        assert said is not None, f"{verb} had not ended after {_CAP_S:.0f} s"
        return subprocess.CompletedProcess(verb, code, *said)

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


def _read_all(*files: int) -> list[bytes] | None:
    """The content of each file to its end, all of them closed; None when that is not there in time."""
    texts = {file: bytearray() for file in files}
    open_, until_s = set(files), time.monotonic() + _CAP_S
    try:
        while open_:
            ready, _, _ = select.select(sorted(open_), [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                return None
            for file in ready:
                part = os.read(file, 1 << 16)
                texts[file] += part
                if not part:
                    open_.discard(file)
    finally:
        for file in files:
            os.close(file)
    return [bytes(text) for text in texts.values()]


def _own_environ() -> dict[str, str]:
    """This process's environment without settings from the user's shell."""
    names = {setting.name for setting in DEFINITIONS}
    foreign = ("FUTU_", "SQLITE_", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if name not in names and not name.startswith(foreign)}


def main() -> int:
    """Forks and reaps until its socket ends."""
    _import_everything()
    if "coverage" in sys.modules and (coverage := sys.modules["coverage"].Coverage.current()):
        coverage.save()  # make coverage: so a fork has only what it has run itself
    gc.collect()
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


def _import_everything() -> None:
    """Every module of the package and what it needs, also what verbs import late: pyarrow, numpy, uvloop, nats."""
    for module in walk_packages(hk_tick_collector.__path__, f"{hk_tick_collector.__name__}."):
        if not module.name.endswith(".__main__"):
            import_module(module.name)
    for name in _IMPORTED_LATE:
        import_module(name)


def _become(request: dict[str, Any], files: list[int]) -> NoReturn:
    """The child: a verb, from its settings to its exit code."""
    code = 1
    try:
        os.chdir(request["in"])
        os.environ.clear()
        os.environ.update(request["environ"])
        time.tzset()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        _open_streams()
        _show_as([sys.executable, "-m", "hk_tick_collector", *request["verb"]])
        if request["powerless"]:
            _drop_capabilities()
        sys.argv = ["run"]
        plain, forgetful = request["disk"] == "plain", request["disk"] == "forgetful"
        code = run_verb(request["verb"]) if plain else run_on_faulty_disk(forgetful=forgetful)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - a thread that never ends keeps a process
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _show_as(command: list[str]) -> None:
    """The command line that others see: who holds a lock, and whether a pid is a collector, is read from there."""
    first, end = map(int, Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[45:47])
    words = b"\0".join(map(os.fsencode, command))[: end - first - 1]
    ctypes.memmove(first, words.ljust(end - first, b"\0"), end - first)


def _open_streams() -> None:
    """As Python's start opens them: whether they are lines at once depends on what they are."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        inherited = getattr(sys, name)
        stream = io.TextIOWrapper(
            open(number, "wb" if number else "rb", closefd=False),  # noqa: SIM115 - open to the process's end
            encoding=inherited.encoding,
            errors=inherited.errors,
            line_buffering=number == 2 or os.isatty(number),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _drop_capabilities() -> None:
    """As another account, but one that may read the Python that it runs, wherever that is installed."""
    libc = ctypes.CDLL(None, use_errno=True)
    version_3, own_process = 0x20080522, 0
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, 64 bits each
    if libc.capset((ctypes.c_uint32 * 2)(version_3, own_process), none):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    raise SystemExit(main())
