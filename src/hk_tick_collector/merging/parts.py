"""The values that the modules of this package pass to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hk_tick_collector.model import TickRow

META_POSITION: Final = "merge_position"  # in meta: all of this day up to this message of the stream is in the file
META_SETTLED: Final = "merge_settled"  # in meta: see positions.py
META_SOURCE: Final = "merge_source."  # and the name of a collector: `open`, or when its own file was sealed
SOURCE_OPEN: Final = "open"
CAUSE_NO_SOURCE: Final = "no_source"  # of a gap: no collector has sent these ticks


def sources_in(meta: Mapping[str, str]) -> dict[str, str]:
    """The collectors that sent ticks of a day, by its `meta`: each with `open`, or when its own file was sealed."""
    return {key.removeprefix(META_SOURCE): value for key, value in meta.items() if key.startswith(META_SOURCE)}


class Part(NamedTuple):
    """Ticks that one collector sent of one day."""

    day: int  # number of the Hong Kong day: all rows are of it
    source: str  # INSTANCE_ID of the collector
    rows: list[TickRow]


class Position(NamedTuple):
    """A message of the stream. With its id it is recognized also after the stream was created again."""

    stream_seq: int
    msg_id: str

    @classmethod
    def parse(cls, text: str | None) -> Position | None:
        """The position that `as_text` wrote; None for any other text."""
        seq, _, msg_id = (text or "").partition(" ")
        return cls(int(seq), msg_id) if seq.isascii() and seq.isdigit() else None

    def as_text(self) -> str:
        """As it is written in `meta`."""
        return f"{self.stream_seq} {self.msg_id}"


class StartOverError(CollectorError):
    """The day files must be opened again, and the stream read from its start.

    `is_damage`: because a file was damaged, replaced or removed. `day`: of that file; its collectors are asked to send
    it again, because the stream may have dropped its first messages.
    """

    is_damage = True

    def __init__(self, message: str, day: str = "") -> None:
        super().__init__(message)
        self.day = day


class DisagreementError(StartOverError):
    """Collectors number their ticks differently."""

    is_damage = False
