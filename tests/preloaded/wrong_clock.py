"""The wall clock of single processes, set by the test."""

from __future__ import annotations

from datetime import UTC, datetime

from .library import Library


class Clock(Library):
    """The wall clock of whoever is started with `environ`; `wrong_clock.c`, compiled."""

    def set(self, offset_s: int) -> None:
        """It is wrong by so many seconds from now on."""
        self.tell(str(offset_s))


def offset_s(day: str, clock: str) -> int:
    """What to add to this host's clock for it to be `10:00:00` of `20261120` in Hong Kong."""
    moment = datetime.strptime(f"{day} {clock} +0800", "%Y%m%d %H:%M:%S %z")
    return int(moment.timestamp() - datetime.now(UTC).timestamp())
