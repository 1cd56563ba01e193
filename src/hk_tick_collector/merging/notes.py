"""Writes what happened to a merge into its live state and the log. It decides nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.errors import StreamAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.errors import StreamError
    from hk_tick_collector.jetstream.connect import Connection
    from hk_tick_collector.jetstream.streams import StreamState
    from hk_tick_collector.ops.live.merge_state import MergeState

    from .incoming import Refused
    from .parts import Position, StartOverError

_LOG_EVERY_S: Final = 60.0
_BEHIND_MESSAGES: Final = 32  # of one transaction: more are a backlog
_KEPT_FILES: Final = 20


class MergeStateWriter:
    """Writes `state`. `now_ms` is the wall clock in UTC epoch ms."""

    def __init__(self, state: MergeState, now_ms: Callable[[], int]) -> None:
        self.state = state
        self._now_ms = now_ms
        self._faults, self._refusals = log.Repeated(_LOG_EVERY_S), log.Repeated(_LOG_EVERY_S)

    def connected(self, connection: Connection, position: Position | None) -> None:
        """A server is connected, and the stream is read from `position` on."""
        state = self.state
        state.server, state.server_version = connection.url, ".".join(map(str, connection.version))
        state.away_since_ms, state.fault, state.fault_hint, state.refused = None, "", "", False
        log.info("merge_connected", server=connection.url, position=position.stream_seq if position else "start")

    def away(self, error: StreamError) -> None:
        """No server can be used."""
        state = self.state
        state.refused = not isinstance(error, StreamAwayError)
        reason = error.one_line() if state.refused else error
        if state.server:
            log.warning("merge_disconnected", reason=reason)
            self._faults = log.Repeated(_LOG_EVERY_S)
        elif (repeats := self._faults.allow(time.monotonic())) is not None:
            log.warning("merge_engine_away", reason=reason, repeats=repeats)
        state.away_since_ms = state.away_since_ms or self._now_ms()
        state.server, state.fault, state.fault_hint = "", str(error), error.hint

    def stream(self, found: StreamState) -> None:
        """What the engine says of the stream."""
        state = self.state
        state.stream_first_seq, state.stream_last_seq = found.first_seq, found.last_seq
        state.stream_bytes, state.stream_max_bytes = found.bytes, found.max_bytes
        state.stream_max_age_s, state.stream_replicas = found.max_age_s, found.replicas
        state.stream_servers, state.stream_differences = found.servers_current, list(found.differences)

    def behind(self, messages: int) -> None:
        """How many messages of the stream are not merged."""
        self.state.behind = messages
        if messages < _BEHIND_MESSAGES:
            self.state.behind_since_ms = None
        elif self.state.behind_since_ms is None:
            self.state.behind_since_ms = self._now_ms()

    def lost(self, position: Position, found: StreamState) -> None:
        """The last message that was read is not in the stream any more."""
        self._loss(f"message {position.stream_seq} is gone, the stream ends at {found.last_seq}")
        log.error("merge_data_lost", position=position.stream_seq, first=found.first_seq, last=found.last_seq)

    def missing(self, first: int, last: int, messages: int) -> None:
        """Messages in the middle of the stream are not there."""
        self._loss(f"{messages} messages from {first} to {last} are gone")
        log.error("merge_messages_missing", first=first, last=last, messages=messages)

    def _loss(self, detail: str) -> None:
        state = self.state
        state.losses += 1
        state.loss_ms, state.loss_detail = self._now_ms(), detail

    def expired(self, first: int, last: int) -> None:
        """The stream dropped messages, by its age or size, before they were read."""
        self.state.expired += 1
        self.state.expired_ms = self._now_ms()
        log.error("merge_messages_expired", first=first, last=last)

    def refused(self, refused: Refused, stream_seq: int) -> None:
        """A message that is not merged."""
        state, text = self.state, f"message {stream_seq} on {refused.subject}: {refused.why}"
        if refused.is_other_source:
            state.wrong_name += 1
            state.wrong_name_ms, state.wrong_name_last = self._now_ms(), text
        else:
            state.refused_messages += 1
            state.refused_message_ms, state.refused_message = self._now_ms(), text
        repeats = self._refusals.allow(time.monotonic())
        if repeats is not None:
            log.error(
                "message_refused", stream_seq=stream_seq, subject=refused.subject, detail=refused.why, repeats=repeats
            )

    def started_over(self, why: StartOverError, wait_s: float) -> None:
        """A day file was damaged or replaced, or collectors disagree: everything is opened again, after a pause."""
        log.warning("merge_starts_over", detail=why, wait_s=wait_s)
        if why.is_damage:
            self.state.damaged_files = [*self.state.damaged_files, str(why)][-_KEPT_FILES:]
