"""The thread with which the service notices that `publish` or `merge` of this host has ended: neither can send that.

Input: their live states. Output: `findings`, those of a process that has ended or is stuck. They send other findings
themselves. No other thread waits for the disk; while it hangs, the findings stay as they were.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.ops.findings.streaming import MERGE, PUBLISH, gone
from hk_tick_collector.ops.live.stream_states import read_stream_states

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.live.merge_state import MergeState
    from hk_tick_collector.ops.live.publish_state import PublishState

_EVERY_S: Final = 1.0


class StreamWatch:
    """Start it, read `findings` from any thread, stop it.

    `wanted` has the processes that the settings switch on: one that was stopped and is not among them is no finding.
    """

    def __init__(self, data_root: Path, wanted: Collection[str], now_ms: Callable[[], int]) -> None:
        self.findings: Sequence[Finding] = ()
        self._data_root = data_root
        self._wanted = wanted
        self._now_ms = now_ms
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts streams", daemon=True)

    def start(self) -> None:
        """Starts the thread; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, without waiting for it."""
        self._stopped.set()

    def poll(self) -> None:
        """Reads the live states."""
        now_ms = self._now_ms()
        states = read_stream_states(str(self._data_root), now_ms)
        self.findings = (*self._gone(PUBLISH, states.publish, now_ms), *self._gone(MERGE, states.merge, now_ms))

    def _gone(self, process: str, state: PublishState | MergeState | None, now_ms: int) -> Sequence[Finding]:
        if state is None or (state.state == "stopped" and process not in self._wanted):
            return ()
        return gone(process, state, now_ms) or ()

    def _run(self) -> None:
        try:
            self.poll()
            while not self._stopped.wait(_EVERY_S):
                self.poll()
        except Exception:  # noqa: BLE001 - the thread's boundary
            self.findings = ()
            log.bug("bug", detail="an end of publish or merge is not alerted any more")
