"""A process that answers one question after the other, for views that ask every second.

A child for each question, as `reading.py` has it, costs more CPU than the question itself. Only a process that does not
come back from the kernel, or ends, is given up: `reading.py` then asks the same question again and names the cause.

    python -m hk_tick_collector.web.worker    answers on the socket that is its stdin, until that is closed
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Protocol, TypeVar

from hk_tick_collector.background import in_thread
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.live import kernel_wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

_SIZE_BYTES: Final = 8
_LOOK_EVERY_S: Final = 0.25
_CAP_S: Final = 60.0
_AGAIN_S: Final = 30.0  # after it was given up: until then each question has a child of its own
_IDLE_S: Final = 60.0  # without a question it ends


class Reads(Protocol):
    """`reading.Reading`, or a `Worker` in front of it."""

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        """What `work` returns, or its error; an error too if the disk of `path` does not answer."""
        ...


class _GivenUpError(Exception):
    """The process ended, or waits in the kernel."""


class Worker:
    """Asks the process, which is started with the first question; `reads` answers what it does not."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._process: _Process | None = None
        self._one = asyncio.Lock()
        self._not_before_s = 0.0
        self._idle: asyncio.TimerHandle | None = None

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        """What `work` returns, or its CollectorError. Both must be picklable; `work` must not print."""
        async with self._one:
            if time.monotonic() < self._not_before_s:
                return await self._reads.read(work, path)
            try:
                ok, content = await self._ask(pickle.dumps(work))
            except _GivenUpError:
                self._not_before_s = time.monotonic() + _AGAIN_S
                return await self._reads.read(work, path)
        if ok:
            return content  # type: ignore[no-any-return]
        if isinstance(content, CollectorError):
            raise content
        raise RuntimeError(f"in the process that reads:\n{content}")

    def close(self) -> None:
        """Ends the process. One that waits for the disk ends when the disk answers again; nobody waits for it."""
        if self._idle:
            self._idle.cancel()
        if self._process is not None:
            self._process.end()
            self._process = None

    async def _ask(self, question: bytes) -> tuple[bool, Any]:
        if self._idle:
            self._idle.cancel()
        is_answered = False
        try:
            if self._process is None:
                self._process = await _started()
            answer = await self._answer(self._process, question)
            is_answered = True
        finally:
            if not is_answered:  # also if this browser left: its answer would be taken for that of the next question
                self.close()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self.close)
        found: tuple[bool, Any] = pickle.loads(answer)  # noqa: S301 - written by our own process
        return found

    async def _answer(self, process: _Process, question: bytes) -> bytes:
        try:
            process.writer.write(_framed(question))
            await process.writer.drain()
            reading = asyncio.ensure_future(_received(process.reader))
            try:
                await self._wait(reading, process.process.pid)
                return await reading
            finally:
                reading.cancel()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise _GivenUpError from error

    async def _wait(self, reading: asyncio.Future[bytes], pid: int) -> None:
        """Until there is an answer. Raises _GivenUpError if a thread of the process is stuck in the kernel."""
        began_s = last_s = time.monotonic()
        disk = kernel_wait.OneWait()
        while not (await asyncio.wait({reading}, timeout=_LOOK_EVERY_S))[0]:
            now_s = time.monotonic()
            passed_s, last_s = min(now_s - last_s, 2 * _LOOK_EVERY_S), now_s
            disk.look(kernel_wait.threads(pid), passed_s)
            if disk.seconds >= kernel_wait.ONE_WAIT_S or now_s - began_s >= _CAP_S:
                raise _GivenUpError


class _Process(NamedTuple):
    """The process, and our end of the socket that is its stdin."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def end(self) -> None:
        """Kills it. One that waits for the disk ends only when the disk answers, so a thread waits for its end."""
        self.writer.close()
        self.process.kill()
        threading.Thread(target=self.process.wait, name="reader-ends", daemon=True).start()


async def _started() -> _Process:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await in_thread(_spawned, theirs)
    ours.setblocking(False)
    return _Process(process, *await asyncio.open_connection(sock=ours))


def _spawned(stdin: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", __name__]
    return subprocess.Popen(command, stdin=stdin.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


async def _received(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(_SIZE_BYTES), "little"))


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_SIZE_BYTES, "little") + content


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answers until there are no more questions."""
    while len(size := questions.read(_SIZE_BYTES)) == _SIZE_BYTES:
        question = questions.read(int.from_bytes(size, "little"))
        try:
            said: tuple[bool, Any] = (True, pickle.loads(question)())  # noqa: S301 - from our own process
        except CollectorError as error:
            said = (False, error)
        except Exception:  # noqa: BLE001 - the boundary of a question: the asker raises it
            said = (False, traceback.format_exc())
        answers.write(_framed(pickle.dumps(said)))
        answers.flush()


def main() -> None:
    """Serves on the socket that is its stdin. Ctrl-C in a terminal is for the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as ours, suppress(ConnectionError):
        _serve(ours.makefile("rb"), ours.makefile("wb"))


if __name__ == "__main__":
    main()
