"""How long to wait before a merge begins again after a day file was damaged, replaced or removed. Pure.

After the first time the day is built again at once. A disk that damages each new file, or a program that removes
it, would make the merge read the whole stream and ask all collectors without end, each time with one more renamed file.
"""

from __future__ import annotations

from typing import Final

_WAITS_S: Final = (0.0, 1.0, 5.0, 20.0, 60.0)
_FORGOTTEN_S: Final = 3600.0  # after so long without damage the next one is the first again


class Pauses:
    """The pauses of one merge. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._count = 0
        self._last_s = float("-inf")

    def after_damage(self, now_s: float) -> float:
        """Seconds to wait now: more each time that it happens."""
        self._count = self._count + 1 if now_s - self._last_s < _FORGOTTEN_S else 1
        self._last_s = now_s
        return _WAITS_S[min(self._count, len(_WAITS_S)) - 1]
