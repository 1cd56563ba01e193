"""A process that reads for a view, so that the view answers keys while a disk or systemd does not answer.

The view asks for one sample at a time and is woken when it is there. The process belongs to no terminal and ends when
the view's end of the pipe is closed, also if the view is killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Asked = TypeVar("_Asked")
_Seen = TypeVar("_Seen")

_SIZE_BYTES: Final = 8
_READ_BYTES: Final = 2**20


class Observer(Generic[_Asked, _Seen]):
    """Calls `look` in a process of its own. A context manager.

    `look` must not print; what it takes and returns must be picklable.
    """

    def __init__(self, look: Callable[[_Asked], _Seen]) -> None:
        self._look = look
        self._pid = 0
        self._asking = self.answers = -1  # `answers` is the descriptor to wait for
        self._read = bytearray()
        self.is_asked = False  # and has not answered yet

    def __enter__(self) -> Observer[_Asked, _Seen]:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, asked: _Asked) -> None:
        """Begins a look. Call it only while nothing is asked."""
        self.is_asked = True
        try:
            _send(self._asking, asked)
        except BrokenPipeError:  # it was killed: `answer` starts another one
            return

    def answer(self) -> _Seen | None:
        """What was seen; None if not all of it is there yet. Call it when `answers` is readable.

        Raises RuntimeError with the traceback of a `look` that failed. If the process was killed, another one is
        started, and nothing is asked any more.
        """
        data = os.read(self.answers, _READ_BYTES)
        if not data:
            self._end()
            self._start()
            return None
        self._read += data
        size = int.from_bytes(self._read[:_SIZE_BYTES], "little")
        if len(self._read) < _SIZE_BYTES + size:
            return None
        ok, seen = pickle.loads(self._read[_SIZE_BYTES:])  # noqa: S301 - written by our own child
        self._read.clear()
        self.is_asked = False
        if not ok:
            raise RuntimeError(f"in the process that reads for the view:\n{seen}")
        return seen  # type: ignore[no-any-return]

    def replace_if_ended(self) -> None:
        """Starts another process if this one was killed. A child of it that still waits for a disk may hide that."""
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = 0
            self._end()
            self._start()

    def _start(self) -> None:
        asked, self._asking = os.pipe()
        self.answers, answering = os.pipe()
        self._read.clear()
        self.is_asked = False
        self._pid = os.fork()
        if self._pid == 0:
            _observe(self._look, asked, answering)
        os.close(asked)
        os.close(answering)

    def _end(self) -> None:
        """Ends the process. One that waits for a disk ends only when the disk answers, so nobody waits for it."""
        os.close(self._asking)
        os.close(self.answers)
        if self._pid:  # not waited for yet, so the number is still its own
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, os.WNOHANG)


def _observe(look: Callable[[_Asked], _Seen], asked: int, answering: int) -> NoReturn:
    """The process. It keeps no other descriptor open: nobody must wait for a terminal that it holds."""
    try:
        os.setsid()  # Ctrl-C and Ctrl-Z are for the view
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        for name in list(Path("/proc/self/fd").iterdir()):
            if int(name.name) > 2 and int(name.name) not in (asked, answering):
                with suppress(OSError):
                    os.close(int(name.name))
        while (request := _receive(asked)) is not None:
            _answer(look, request, answering)
    finally:
        os._exit(0)


def _answer(look: Callable[[_Asked], _Seen], request: _Asked, answering: int) -> None:
    try:
        answer: tuple[bool, object] = (True, look(request))
    except BaseException:  # noqa: BLE001 - the boundary of the child: the parent raises the error
        answer = (False, traceback.format_exc())
    _send(answering, answer)


def _send(descriptor: int, content: object) -> None:
    data = pickle.dumps(content)
    view = memoryview(len(data).to_bytes(_SIZE_BYTES, "little") + data)
    while view:
        view = view[os.write(descriptor, view) :]


def _receive(descriptor: int) -> Any:
    """The next request; None when the view has ended."""
    data = bytearray()
    while len(data) < _SIZE_BYTES or len(data) < _SIZE_BYTES + int.from_bytes(data[:_SIZE_BYTES], "little"):
        part = os.read(descriptor, _READ_BYTES)
        if not part:
            return None
        data += part
    return pickle.loads(data[_SIZE_BYTES:])  # noqa: S301 - written by our own parent
