"""From a made tick to the clients: first the truth file, then the tape, then the subscribed sessions."""

from __future__ import annotations

from collections import deque
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final

from hk_tick_collector.market import day_number
from hk_tick_collector.simulator.encoding.encode import BodyEncoder, EntryEncoder, as_refilled, push_frames
from hk_tick_collector.simulator.encoding.odd_ticks import odd_tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hk_tick_collector.simulator.exchange.listing import Security
    from hk_tick_collector.simulator.exchange.made import MadeRow
    from hk_tick_collector.simulator.exchange.market import SyntheticMarket
    from hk_tick_collector.simulator.truth.truth import TruthFile

    from .conditions import Conditions
    from .recent_ticks import Tape
    from .session import Session

REFILL_ROWS: Final = 50  # the most ticks of each security that OpenD pushes again after its own disconnection
_RESTORE_ROWS: Final = 10_000


class Feed:
    """Publishes ticks to `sessions`. `fills` is how many consecutive ticks of one security a push may have."""

    def __init__(
        self,
        securities: Sequence[Security],
        tape: Tape,
        bodies: BodyEncoder,
        sessions: Mapping[int, Session],
        conditions: Conditions,
        *,
        truth: TruthFile | None,
        fills: int,
    ) -> None:
        self._everything = len(securities)
        self._tape = tape
        self._bodies = bodies
        self._sessions = sessions
        self._conditions = conditions
        self._entries = EntryEncoder()
        self._truth = truth
        self._fills = fills
        self._held_back: dict[int, deque[bytes]] = {}  # what a refill will push, by security
        self.ticks = 0  # published so far, without those that cannot be stored
        self.pushes = 0

    def publish(self, ticks: Sequence[MadeRow], recv_time_s: float, *, last_first: bool = False) -> None:
        """Writes `ticks` to the truth file, remembers and pushes them; `recv_time_s` is OpenD's own receive time."""
        if self._truth:
            self._truth.write(ticks)
        entries = self._entries.entries(ticks, recv_time_s)
        self._tape.record(ticks, entries)
        self.ticks += len(ticks)
        places = [tick[0] for tick in ticks]
        if last_first:
            places, entries = places[::-1], entries[::-1]
        self._push(places, entries)

    def publish_odd(self, kind: str, market: SyntheticMarket, security: int, ts_ms: int) -> None:
        """Makes one odd tick at `ts_ms` and publishes it; see `odd_ticks`. Only today's count in the day's totals."""
        tick = odd_tick(kind, market, self._entries, security, ts_ms)
        if self._truth and tick.storable:
            self._truth.write([tick.row])
        elif self._truth:
            self._truth.write_reject(security, tick.row[1], kind)
        if tick.storable and tick.row[2] == ts_ms:
            self._tape.record([tick.row], [tick.entry])
        else:
            self._tape.remember(security, tick.entry)
        self.ticks += tick.storable
        self._push([security], [tick.entry])

    def publish_outlier(self, market: SyntheticMarket, security: int, made_ms: int, ts_ms: int) -> None:
        """Makes one tick at `made_ms` with the time `ts_ms`, and publishes it."""
        row = market.outlier(security, made_ms, ts_ms)
        if self._truth:
            self._truth.write_outlier(row, made_ms)
            self._truth.write([row])
        entry = self._entries.entries([row], made_ms / 1000)[0]
        if day_number(made_ms) == day_number(ts_ms):
            self._tape.record([row], [entry])
        else:
            self._tape.remember(security, entry)
        self.ticks += 1
        self._push([security], [entry])

    def restore(self, ticks: Iterable[MadeRow], today: int) -> None:
        """Remembers ticks that an earlier process published, in order; those of `today` count in its totals."""
        for is_today, some in groupby(ticks, key=lambda tick: day_number(tick[2]) == today):
            while rows := list(islice(some, _RESTORE_ROWS)):
                entries = self._entries.entries(rows, 0.0)
                if is_today:
                    self._tape.record(rows, entries)
                else:
                    for row, entry in zip(rows, entries, strict=True):
                        self._tape.remember(row[0], entry)

    def repeat(self, rows: int) -> None:
        """Pushes the latest `rows` ticks of every security again."""
        for place in range(self._everything):
            entries = self._tape.latest(place, rows)
            self._push([place] * len(entries), entries)

    def refill(self) -> None:
        """OpenD's own connection is back: pushes the latest of the missed ticks, marked as a refill."""
        held_back, self._held_back = self._held_back, {}
        for place, entries in held_back.items():
            self._push([place] * len(entries), [as_refilled(entry) for entry in entries])

    def _push(self, places: Sequence[int], entries: Sequence[bytes]) -> None:
        """Pushes entries to every session that is subscribed to their securities."""
        if self._conditions.pushes_stop:
            for place, entry in zip(places, entries, strict=True):
                self._held_back.setdefault(place, deque(maxlen=REFILL_ROWS)).append(entry)
            return
        listeners = [session for session in self._sessions.values() if session.client.pushed]
        if not listeners:
            return
        if self._fills > 1:
            places, entries = _joined(places, entries, self._fills)
        bodies = self._bodies.bodies(places, entries)
        frames = push_frames(bodies) if any(not session.encrypted for session in listeners) else []
        for session in listeners:
            every, send = (bodies, session.push) if session.encrypted else (frames, session.push_frames)
            wanted = session.client.pushed
            if len(wanted) < self._everything:
                every = [item for place, item in zip(places, every, strict=True) if place in wanted]
            self.pushes += len(every)
            send(every)


def _joined(places: Sequence[int], entries: Sequence[bytes], most: int) -> tuple[list[int], list[bytes]]:
    """Groups consecutive entries of one security, at most `most` in a group."""
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
