"""The wall clock of single processes, set by the test."""

from __future__ import annotations

from datetime import datetime

from .library import Library


class Clock(Library):
    """The wall clock of whoever is started with `environ`; `wrong_clock.c`, compiled."""

    def set(self, offset_s: int) -> None:
        """It is wrong by so many seconds from now on."""
        self.tell(str(offset_s))

    def stop_at(self, moment_s: int) -> None:
        """It stands still at this second since 1970, however long the process takes."""
        self.tell(f"={moment_s}")


def moment_s(day: str, clock: str) -> int:
    """`10:00:00` of `20261120` in Hong Kong, in seconds since 1970."""
    return int(datetime.strptime(f"{day} {clock} +0800", "%Y%m%d %H:%M:%S %z").timestamp())
