"""Reads day files and whatever else may hang in processes of their own; the page itself waits for no disk.

Before the server has threads or sockets it forks one process, and that one forks a child for each question. So a child
that a disk holds in the kernel keeps neither a connection nor the port, and ends by itself when the disk answers.
There are a few places for children, and a child keeps its place until it ends, whether somebody waits for it or not.
A child that has named a hanging disk ends, but the process in which it tried to read stays until the disk answers.
Until then nobody else reads there, so that these processes do not become more and more.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import traceback
from contextlib import ExitStack
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar

from hk_tick_collector.errors import CollectorError, DiskHangsError
from hk_tick_collector.ops.findings import remedies

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_Answer: TypeAlias = tuple[bool, Any]  # whether it succeeded; its result or error

_QUESTION_BYTES: Final = 1 << 16
_ANSWER_BYTES: Final = 1 << 18  # of one read
_ENDS_S: Final = 2.0  # whoever reads a disk that may have thawed waits so long for the end of what it held
_CALL_ENDS_S: Final = 10.0  # a child that has answered ends sooner, also on a busy machine, unless a disk holds it
_AT_ONCE: Final = 4  # children; further questions wait
_CAP_S: Final = 60.0  # whoever asks waits no longer for a place, and then no longer for an answer


class StillHeldError(CollectorError):
    """A disk still holds what was asked before, so it was not asked again."""


class _Held(NamedTuple):
    """A process that a disk may hold: `watch` ends with it. `path` and `error` are None for a `call`."""

    watch: socket.socket
    path: Path | None
    error: DiskHangsError | None
    ended: asyncio.Event

    def holds(self, path: Path | None) -> bool:
        """Whether a question about this path would hang too."""
        if path is None or self.error is None:
            return path is self.path
        return path == self.path or Path(self.error.place) in (path, *path.parents)

    async def demand_end(self) -> None:
        """Returns when the process has ended; raises its error, or StillHeldError, if that takes too long."""
        try:
            async with asyncio.timeout(_ENDS_S if self.error else _CALL_ENDS_S):
                await self.ended.wait()
        except TimeoutError:
            text = "a disk still holds what was asked before"
            error = copy(self.error) if self.error else StillHeldError(text, hint=remedies.DISK_MESSAGES)
            raise error from None


class Patience(Protocol):
    """`cli._patience.in_child`: runs `work` in a child, and raises DiskHangsError if the disk of `path` hangs."""

    def __call__(self, work: Callable[[], _T], path: Path, /) -> _T:
        """Returns what `work` returns."""


class Reading:
    """Answers questions in child processes. Create it before there is an event loop, a thread or a socket.

    `lost` is called once, in the event loop, if the process that forks was killed: then nothing can be read any more,
    and no other can be forked beside sockets and threads.
    """

    def __init__(self, patience: Patience, lost: Callable[[], None] = lambda: None) -> None:
        self._lost = lost
        self._is_lost = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._places: asyncio.Semaphore | None = None
        self._answering: set[asyncio.Task[_Answer | None]] = set()
        self._held: list[_Held] = []
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
        """The same for work that limits its waits for a disk by itself.

        Raises StillHeldError while a disk holds a process of an earlier call.
        """
        return await self._ask(work, None)

    def close(self) -> None:
        """Ends the process that forks; children end by themselves."""
        self._socket.close()
        for held in self._held:
            held.watch.close()
        os.waitpid(self._pid, 0)

    async def _ask(self, work: Callable[[], _T], path: Path | None) -> _T:
        question = pickle.dumps((work, path))
        while held := next((held for held in self._held if held.holds(path)), None):
            await held.demand_end()
        if self._places is None:
            self._places = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.timeout(_CAP_S):
                await self._places.acquire()
        except TimeoutError:
            text = f"all {_AT_ONCE} processes that read were busy for {_CAP_S:.0f} s, so this was not read"
            raise CollectorError(text, hint=remedies.DISK_MESSAGES) from None
        answering = self._send(question, self._places, path)
        try:
            async with asyncio.timeout(_CAP_S):
                answer = await asyncio.shield(answering)
        except TimeoutError:
            text = f"the process that reads did not answer within {_CAP_S:.0f} s"
            raise CollectorError(text, hint=remedies.DISK_MESSAGES) from None
        if answer is None:
            raise CollectorError("the process that reads ended without an answer", hint="reload the page")
        ok, content = answer
        if ok:
            return content  # type: ignore[no-any-return]
        if isinstance(content, CollectorError):
            raise content
        raise RuntimeError(f"in the child that reads:\n{content}")

    def _send(self, question: bytes, places: asyncio.Semaphore, path: Path | None) -> asyncio.Task[_Answer | None]:
        """Sends a question. Its place, which the caller has taken, is free when the answer's socket ends."""
        with ExitStack() as until_answered:
            until_answered.callback(places.release)
            ours, theirs = socket.socketpair()
            until_answered.enter_context(ours)
            ours.setblocking(False)
            watch, watched = socket.socketpair()
            until_answered.enter_context(watch)
            with theirs, watched:
                self._send_files(question, theirs, watched)
            answering = asyncio.create_task(self._answered(ours, watch, path))
            at_its_end = until_answered.pop_all()
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)
        answering.add_done_callback(lambda _: at_its_end.close())
        return answering

    def _send_files(self, question: bytes, *sockets: socket.socket) -> None:
        try:
            socket.send_fds(self._socket, [question], [each.fileno() for each in sockets])
        except ConnectionError:
            if not self._is_lost:
                self._is_lost = True
                self._lost()
            text = "the process that reads was killed, so the page ends"
            raise CollectorError(text, hint="sudo systemctl restart hk-tick-collector-web") from None

    async def _answered(self, answers: socket.socket, watch: socket.socket, path: Path | None) -> _Answer | None:
        """The answer of a child; None if it was killed. What a disk may hold of it is watched until it ends."""
        loop, said = asyncio.get_running_loop(), bytearray()
        while part := await loop.sock_recv(answers, _ANSWER_BYTES):
            said += part
        answer: _Answer | None = pickle.loads(said) if said else None  # noqa: S301 - written by our own child
        error = answer[1] if answer and isinstance(answer[1], DiskHangsError) else None
        if error is not None or path is None:
            held = _Held(watch.dup(), path, error, asyncio.Event())  # `watch` is closed with the answer's socket
            self._held.append(held)
            loop.add_reader(held.watch, self._release, held)
        return answer

    def _release(self, held: _Held) -> None:
        """The process has ended."""
        asyncio.get_running_loop().remove_reader(held.watch)
        held.watch.close()
        held.ended.set()
        self._held.remove(held)


def _fork_for_each(questions: socket.socket, patience: Patience) -> NoReturn:
    """Forks a child for each question until the socket ends. Importing happens here, once, and not in each child."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its socket
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no child is waited for
    while True:
        question, files, _, _ = socket.recv_fds(questions, _QUESTION_BYTES, 2)
        if not question:
            os._exit(0)
        with socket.socket(fileno=files[0]) as answers, socket.socket(fileno=files[1]):
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
