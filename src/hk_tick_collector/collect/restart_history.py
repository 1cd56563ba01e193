"""Records how runs of the service ended, in `.starts.json` in DATA_ROOT, to detect a crash loop.

Enters: the start and the stop of a run. Leaves: the times of unplanned starts. A run that ended by SIGTERM, SIGINT or
SIGHUP was stopped on purpose: by an operator, an upgrade or a shutdown of the host. After it the count is 0 again. A
run that ended with a failure, or did not record its end (killed, out of memory, a crash, a power loss), makes the next
start an unplanned one.

If the file cannot be read or written, that is logged, and the service still starts and stops.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import log
from hk_tick_collector.ops.live.atomic_file import replace_file
from hk_tick_collector.store.small_file import read_small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STARTS_NAME: Final = ".starts.json"
_KEPT_MS: Final = 3_600_000
_KEPT_MOST: Final = 100
_MOST_BYTES: Final = 65_536
STOPPED: Final = "stopped"  # on purpose
FAILED: Final = "failed"


class _Run(NamedTuple):
    """The content of the file: the latest run, and the unplanned starts up to and including it (UTC epoch ms)."""

    pid: int
    started_ms: int
    ended: str  # STOPPED or FAILED; empty while it runs, and after a run that did not record its end
    unplanned_ms: list[int]


class EarlierRuns:
    """Call `begin` once DATA_ROOT is locked, `end` when a stop begins, `join` before the process ends."""

    def __init__(self, data_root: Path, now_ms: Callable[[], int]) -> None:
        self.unplanned_ms: list[int] = []  # unplanned starts of the last hour, including this one if it is one
        self._path = data_root / STARTS_NAME
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._writing: threading.Thread | None = None

    def begin(self) -> None:
        """Checks how the last run ended, and records this one."""
        before = self._read()
        if before is not None and before.ended != STOPPED:
            recent = [at_ms for at_ms in before.unplanned_ms if abs(self._started_ms - at_ms) < _KEPT_MS]
            self.unplanned_ms = [*recent, self._started_ms][-_KEPT_MOST:]
            log.warning(
                "unplanned_restart",
                previous_pid=before.pid,
                previous_end=before.ended or "not recorded",
                within_an_hour=len(self.unplanned_ms),
            )
        self._write("")

    def end(self, *, failed: bool) -> None:
        """Records that a stop begins, in a thread: a disk that hangs must not delay the stop."""
        self._writing = threading.Thread(
            target=self._write, args=(FAILED if failed else STOPPED,), name="starts", daemon=True
        )
        self._writing.start()

    def join(self, timeout_s: float) -> None:
        """Waits until the end is recorded, at most `timeout_s`."""
        if self._writing:
            self._writing.join(timeout_s)

    def _read(self) -> _Run | None:
        try:
            raw: dict[str, Any] = json.loads(read_small(self._path, _MOST_BYTES))
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
