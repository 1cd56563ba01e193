"""Reads day files and whatever else may hang in processes of their own; the page itself waits for no disk.

Before the server has threads or sockets it forks one process, and that one forks a child for each question. So a child
that a disk holds in the kernel keeps neither a connection nor the port, and ends by itself when the disk answers.
There are a few places for children, and a child keeps its place until it ends, whether somebody waits for it or not.
Not counted is what a disk holds of a child that has named the disk and ended: the process in which it tried to read.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.findings import remedies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

_QUESTION_BYTES: Final = 1 << 16
_ANSWER_BYTES: Final = 1 << 18  # of one read
_AT_ONCE: Final = 4  # children; further questions wait
_CAP_S: Final = 60.0  # whoever asks waits no longer for a place, and then no longer for an answer


class Patience(Protocol):
    """`cli._patience.in_child`: runs `work` in a child, and raises DiskHangsError if the disk of `path` hangs."""

    def __call__(self, work: Callable[[], _T], path: Path, /) -> _T:
        """Returns what `work` returns."""


class Reading:
    """Answers questions in child processes. Create it before there is an event loop, a thread or a socket."""

    def __init__(self, patience: Patience) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._places: asyncio.Semaphore | None = None
        self._answering: set[asyncio.Task[bytes]] = set()
        self._pid = os.fork()
        if not self._pid:
            self._socket.close()
            _fork_for_each(theirs, patience)
        theirs.close()

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        """What `work` returns, which reads the day file or directory `path`. `work` and its result must be picklable,
        so it is a function of a module, or a `partial` of one; it must not print.

        Raises its CollectorError; DiskHangsError or BusyFileError if the file cannot be read within seconds.
        """
        return await self._ask(work, path)

    async def call(self, work: Callable[[], _T]) -> _T:
        """The same for work that limits its waits for a disk by itself."""
        return await self._ask(work, None)

    def close(self) -> None:
        """Ends the process that forks; children end by themselves."""
        self._socket.close()
        os.waitpid(self._pid, 0)

    async def _ask(self, work: Callable[[], _T], path: Path | None) -> _T:
        question = pickle.dumps((work, path))
        if self._places is None:
            self._places = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.timeout(_CAP_S):
                await self._places.acquire()
        except TimeoutError:
            text = f"all {_AT_ONCE} processes that read were busy for {_CAP_S:.0f} s, so this was not read"
            raise CollectorError(text, hint=remedies.DISK_MESSAGES) from None
        answering = self._send(question, self._places)
        try:
            async with asyncio.timeout(_CAP_S):
                answer = await asyncio.shield(answering)
        except TimeoutError:
            text = f"the process that reads did not answer within {_CAP_S:.0f} s"
            raise CollectorError(text, hint=remedies.DISK_MESSAGES) from None
        if not answer:
            raise CollectorError("the process that reads ended without an answer", hint="reload the page")
        ok, content = pickle.loads(answer)  # noqa: S301 - written by our own child
        if ok:
            return content  # type: ignore[no-any-return]
        if isinstance(content, CollectorError):
            raise content
        raise RuntimeError(f"in the child that reads:\n{content}")

    def _send(self, question: bytes, places: asyncio.Semaphore) -> asyncio.Task[bytes]:
        """Sends a question. Its place, which the caller has taken, is free when the answer's socket ends."""
        with ExitStack() as held:
            held.callback(places.release)
            ours, theirs = socket.socketpair()
            held.enter_context(ours)
            ours.setblocking(False)
            with theirs:
                socket.send_fds(self._socket, [question], [theirs.fileno()])
            answering = asyncio.create_task(_received(ours))
            at_its_end = held.pop_all()
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)
        answering.add_done_callback(lambda _: at_its_end.close())
        return answering


async def _received(answers: socket.socket) -> bytes:
    """What a child sends until it ends; nothing if it was killed."""
    loop, said = asyncio.get_running_loop(), bytearray()
    while part := await loop.sock_recv(answers, _ANSWER_BYTES):
        said += part
    return bytes(said)


def _fork_for_each(questions: socket.socket, patience: Patience) -> NoReturn:
    """Forks a child for each question until the socket ends. Importing happens here, once, and not in each child."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its socket
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no child is waited for
    while True:
        question, files, _, _ = socket.recv_fds(questions, _QUESTION_BYTES, 1)
        if not question:
            os._exit(0)
        with socket.socket(fileno=files[0]) as answers:
            try:
                work, path = pickle.loads(question)  # noqa: S301 - from our own process
                if not os.fork():
                    questions.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _answer(answers, work, path, patience)
            except Exception:  # noqa: BLE001 - the boundary of a question: the asker raises it
                answers.sendall(pickle.dumps((False, traceback.format_exc())))


def _answer(answers: socket.socket, work: Callable[[], Any], path: Path | None, patience: Patience) -> NoReturn:
    try:
        said = pickle.dumps((True, work() if path is None else patience(work, path)))
    except CollectorError as error:
        said = pickle.dumps((False, error))
    except BaseException:  # noqa: BLE001 - the boundary of the child: the asker raises it
        said = pickle.dumps((False, traceback.format_exc()))
    try:
        answers.sendall(said)
        answers.shutdown(socket.SHUT_WR)  # a child of this one that the disk holds has the socket open too
    finally:
        os._exit(0)
