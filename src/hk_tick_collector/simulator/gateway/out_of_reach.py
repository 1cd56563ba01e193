"""How many ticks of each security no client has yet, and soon cannot get any more.

Enters: made ticks, answers to GetTicker. Leaves: whether a security has nearly as many as OpenD's window holds. An
exchange that then waits makes no tick that a client must lose, however long the client takes to come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .conditions import Conditions
    from .session import Session

# Of the window. The rest is for ticks that were sent to a client which was killed before it read them.
_SHARE: Final = 0.5


class OutOfReach:
    """Counts, for each security, the ticks made since a client had it: subscribed, and answered about its latest."""

    def __init__(self, sessions: Mapping[int, Session], conditions: Conditions) -> None:
        self._sessions = sessions
        self._conditions = conditions
        self._made: dict[int, int] = {}  # since then, by security

    def note(self, places: Iterable[int]) -> None:
        """These ticks were made, one of each security named."""
        had = self._had()
        for place in places:
            if place in had:
                self._made.pop(place, None)
            else:
                self._made[place] = self._made.get(place, 0) + 1

    def is_near(self) -> bool:
        """Whether the next ticks may push one out of the window that no client has."""
        had = self._had()
        most = max((count for place, count in self._made.items() if place not in had), default=0)
        return most >= _SHARE * self._conditions.window_rows

    def _had(self) -> set[int]:
        return set[int]().union(*(session.client.asked for session in self._sessions.values()))
