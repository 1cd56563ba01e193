"""The thread with which the service notices that `publish` or `merge` of this host has ended: neither can send that.

Input: their live states. Output: `findings`, those of a process that has ended or is stuck. They send other findings
themselves. No other thread waits for the disk; while it hangs, the findings stay as they were.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.findings.streaming import MERGE, PUBLISH, gone
from hk_tick_collector.ops.live.merge_state import MERGE_DIRECTORY, MERGE_NAME, read_merge_state
from hk_tick_collector.ops.live.publish_state import PUBLISH_DIRECTORY, PUBLISH_NAME, read_publish_state
from hk_tick_collector.ops.live.record import newest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
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
        """Reads the live states. A process without a live state never ran here, or was removed."""
        publish = list(_publish_states(self._data_root))
        merge = list(_merge_states())
        self.findings = (*self._gone(PUBLISH, publish), *self._gone(MERGE, merge))

    def _gone(self, process: str, states: Sequence[PublishState | MergeState]) -> Sequence[Finding]:
        """The finding of the newest live state; none if any of them is of a process that runs."""
        now_ms = self._now_ms()
        found = [gone(process, state, now_ms) for state in states]
        if not states or None in found:
            return ()
        newest = newest_of(states, now_ms)
        if newest is None or (newest.state == "stopped" and process not in self._wanted):
            return ()
        return found[states.index(newest)] or ()

    def _run(self) -> None:
        try:
            self.poll()
            while not self._stopped.wait(_EVERY_S):
                self.poll()
        except Exception:  # noqa: BLE001 - the thread's boundary
            self.findings = ()
            log.bug("bug", detail="an end of publish or merge is not alerted any more")


def _publish_states(data_root: Path) -> Iterator[PublishState]:
    for directory in (PUBLISH_DIRECTORY, data_root):
        try:
            state = read_publish_state(directory / PUBLISH_NAME)
        except StoreError:  # of another version, or of another account: `status` says it
            continue
        if state is not None and state.data_root == str(data_root):
            yield state


def _merge_states() -> Iterator[MergeState]:
    try:
        state = read_merge_state(MERGE_DIRECTORY / MERGE_NAME)
    except StoreError:
        return
    if state is not None:
        yield state
