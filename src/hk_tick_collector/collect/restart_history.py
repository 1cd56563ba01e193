"""How runs of the service ended, kept in `.starts.json` in DATA_ROOT: a crash loop is seen across restarts.

Enters: that a run begins, that one is told to stop. Leaves: when the service was started although nobody had stopped
it. A run that was ended by SIGTERM, SIGINT or SIGHUP was stopped on purpose: by an operator, an upgrade, a shutdown of
the host. That begins the count anew. One that ended with a failure, or left no word at all (killed, out of memory, a
crash, power lost), makes the next start an unplanned one.

A file that cannot be read or written is told, and never keeps the service from starting or stopping.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import log
from hk_tick_collector.ops.live.atomic_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STARTS_NAME: Final = ".starts.json"
_KEPT_MS: Final = 3_600_000
_KEPT_MOST: Final = 100
STOPPED: Final = "stopped"  # on purpose
FAILED: Final = "failed"


class _Run(NamedTuple):
    """What the file keeps: the latest run, and the unplanned starts before and including it (UTC epoch ms)."""

    pid: int
    started_ms: int
    ended: str  # empty while it runs, and for ever where it left no word
    unplanned_ms: list[int]


class EarlierRuns:
    """Of one run: `begin` once DATA_ROOT is ours, `end` when a stop begins, `join` before the process ends."""

    def __init__(self, data_root: Path, now_ms: Callable[[], int]) -> None:
        self.unplanned_ms: list[int] = []  # starts of the last hour, this one perhaps, that nobody asked for
        self._path = data_root / STARTS_NAME
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._writing: threading.Thread | None = None

    def begin(self) -> None:
        """Judges how the run before ended, and notes this one."""
        before = self._read()
        if before is not None and before.ended != STOPPED:
            recent = [at_ms for at_ms in before.unplanned_ms if abs(self._started_ms - at_ms) < _KEPT_MS]
            self.unplanned_ms = [*recent, self._started_ms][-_KEPT_MOST:]
            log.warning(
                "unplanned_restart",
                previous_pid=before.pid,
                previous_end=before.ended or "without a word",
                within_an_hour=len(self.unplanned_ms),
            )
        self._write("")

    def end(self, *, failed: bool) -> None:
        """A stop begins. It is noted beside it: a disk that hangs does not hold it up."""
        self._writing = threading.Thread(
            target=self._write, args=(FAILED if failed else STOPPED,), name="starts", daemon=True
        )
        self._writing.start()

    def join(self, timeout_s: float) -> None:
        """Waits until the end is noted, at most so long."""
        if self._writing:
            self._writing.join(timeout_s)

    def _read(self) -> _Run | None:
        try:
            raw: dict[str, Any] = json.loads(self._path.read_bytes())
            moments = [int(at_ms) for at_ms in raw["unplanned_ms"]]
            return _Run(int(raw["pid"]), int(raw["started_ms"]), str(raw["ended"]), moments)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("starts_not_kept", path=self._path, detail=repr(error))
            return None

    def _write(self, ended: str) -> None:
        run = _Run(os.getpid(), self._started_ms, ended, self.unplanned_ms)
        try:
            replace_file(self._path, json.dumps(run._asdict()), f"{self._path.name}.new")
        except OSError as error:
            log.warning("starts_not_kept", path=self._path, detail=error.strerror)
