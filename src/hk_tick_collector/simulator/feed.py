"""The way of a tick from its making to the clients: truth file, tape, then the sessions that are subscribed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .encode import BodyEncoder, EntryEncoder, push_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .listing import Security
    from .market import MadeRow
    from .session import Session
    from .tape import Tape
    from .truth import TruthFile


class Feed:
    """Publishes made ticks. `fills` is how many consecutive ticks of one security a push may carry."""

    def __init__(
        self,
        securities: Sequence[Security],
        tape: Tape,
        bodies: BodyEncoder,
        *,
        truth: TruthFile | None,
        fills: int,
    ) -> None:
        self._everything = len(securities)
        self._tape = tape
        self._bodies = bodies
        self._entries = EntryEncoder()
        self._truth = truth
        self._fills = fills
        self.pushes = 0

    def publish(self, ticks: Sequence[MadeRow], recv_time_s: float, sessions: Iterable[Session]) -> None:
        """Writes the truth of `ticks`, remembers them, and pushes them; `recv_time_s` is OpenD's own receive time."""
        if self._truth:
            self._truth.write(ticks)
        entries = self._entries.entries(ticks, recv_time_s)
        self._tape.record(ticks, entries)
        listeners = [session for session in sessions if session.client.pushed]
        if not listeners:
            return
        places, bodies = self._push_bodies(ticks, entries)
        frames = push_frames(bodies) if any(not session.encrypted for session in listeners) else []
        for session in listeners:
            every, send = (bodies, session.push) if session.encrypted else (frames, session.push_frames)
            wanted = session.client.pushed
            if len(wanted) < self._everything:
                every = [item for place, item in zip(places, every, strict=True) if place in wanted]
            self.pushes += len(every)
            send(every)

    def _push_bodies(self, ticks: Sequence[MadeRow], entries: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
        """The body of each push, and the place in the listing that it is about."""
        places = [tick[0] for tick in ticks]
        if self._fills > 1:
            places, entries = _joined(places, entries, self._fills)
        return places, self._bodies.bodies(places, entries)


def _joined(places: Sequence[int], entries: Sequence[bytes], most: int) -> tuple[list[int], list[bytes]]:
    """Consecutive entries of one security put together, `most` at most."""
    joined_places, joined = [], []
    start = 0
    while start < len(places):
        place, end = places[start], start + 1
        while end < len(places) and end - start < most and places[end] == place:
            end += 1
        joined_places.append(place)
        joined.append(b"".join(entries[start:end]))
        start = end
    return joined_places, joined
