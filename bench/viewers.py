"""Ten viewers of the page, and the CPU time that the page needs for them: a process of its own.

    python -m bench.viewers PORT PID SECONDS PATH...

Input: the port and the process of `web`, and the path of a stream for each viewer. Prints `looking` once each viewer
has some frames, and after that many seconds one JSON object: `cores` of the page's processes, `frames` of each viewer.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from .trial import cpu_s

LOOKING: Final = "looking"
_LOOK_EVERY_S: Final = 0.005
_CAP_S: Final = 60.0
_BEGUN_FRAMES: Final = 3  # by then a symbol was read as a whole
_FRAME: Final = b"data: "
_TAKEN_BYTES: Final = 1 << 18


class Viewer:
    """One open stream."""

    def __init__(self, port: int, path: str) -> None:
        self.frames = 0
        self._rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())

    def take(self) -> None:
        """Takes what has come, and counts its frames."""
        data = self.socket.recv(_TAKEN_BYTES)
        if not data:
            raise SystemExit(f"the page ended a stream after {self.frames} frames: {self._rest!r}")
        self.frames += (self._rest + data).count(_FRAME)
        self._rest = data[-len(_FRAME) + 1 :]  # a mark that is not complete yet


class Family:
    """A process and its descendants. The page has a child for most of what it reads, which nobody waits for; so the CPU
    time of each is read every few milliseconds, and the last value of one that has ended counts.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._used_s: dict[int, float] = {}

    def cpu_s(self) -> float:
        """CPU time so far."""
        waiting = [self._pid]
        while waiting:
            pid = waiting.pop()
            with suppress(OSError, ValueError):  # it has just ended
                tasks = list(Path(f"/proc/{pid}/task").iterdir())
                exact_s = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
                # the former is of the threads that live, the latter of all, but in steps of 10 ms
                self._used_s[pid] = max(exact_s, cpu_s(pid), self._used_s.get(pid, 0.0))
                for task in tasks:
                    waiting += map(int, (task / "children").read_text().split())
        return sum(self._used_s.values())


def main() -> None:
    """Looks, counts, prints."""
    port, pid, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    viewers = [Viewer(port, path) for path in sys.argv[4:]]
    with selectors.DefaultSelector() as selector:
        for viewer in viewers:
            selector.register(viewer.socket, selectors.EVENT_READ, viewer)

        def take() -> None:
            for key, _ in selector.select(_LOOK_EVERY_S):
                key.data.take()

        end_s = time.monotonic() + _CAP_S
        while min(viewer.frames for viewer in viewers) < _BEGUN_FRAMES:
            if time.monotonic() > end_s:
                raise SystemExit(f"not enough frames: {[viewer.frames for viewer in viewers]}")
            take()
        before = [viewer.frames for viewer in viewers]
        family = Family(pid)
        used_s, begun_s = family.cpu_s(), time.monotonic()
        print(LOOKING, flush=True)
        while (took_s := time.monotonic() - begun_s) < seconds:
            take()
            now_s = family.cpu_s()
    frames = [viewer.frames - each for viewer, each in zip(viewers, before, strict=True)]
    print(json.dumps({"cores": (now_s - used_s) / took_s, "frames": frames}), flush=True)


if __name__ == "__main__":
    main()
