"""From where the stream must be read after a start.

The position in a day file is committed with its ticks. A past day that waits for a collector gets no ticks, so its
position stays the same while the stream goes on, and each start would read the stream from there, for days. Therefore
each transaction also notes the past days whose files were closed without a WAL ("plain"), the position in each, and up
to where all of the stream was committed then. The note counts for a day while its file is plain and has that position.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.query import DayReader, list_days, path_of

from .parts import META_POSITION, META_SETTLED, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Positions(NamedTuple):
    """The positions in day files, by day."""

    unsealed: dict[int, Position | None]
    sealed: dict[int, Position | None]
    plain: dict[int, str]  # unsealed days whose file is a plain one: the position in it, as text


class SettledDays:
    """The days whose files were closed as plain ones, with their positions, and up to where all is committed."""

    def __init__(self) -> None:
        self.whole: Position | None = None  # all of the stream up to it is committed, of every day
        self.days: dict[int, str] = {}

    def begin(self, found: Positions) -> None:
        """Sets the days to the plain files that are found at the start: no process has them open."""
        self.days = dict(found.plain)

    def as_text(self, position: Position) -> str:
        """For the transaction of what is read up to `position`; empty if nothing is known."""
        if self.whole is not None and position.stream_seq <= self.whole.stream_seq:
            self.whole = None  # the stream is read again from an earlier place, or is another one
        if self.whole is None or not self.days:
            return ""
        return json.dumps({"whole": self.whole.as_text(), "days": {str(day): each for day, each in self.days.items()}})


def read_positions(root: Path) -> Positions:
    """The position in the file of each day, None where a file has none or cannot be read now.

    Raises StoreError if the directory cannot be listed.
    """
    found = Positions({}, {}, {})
    settled = ""
    for name in list_days(root):
        path, day = path_of(root, name), market.parse_day(name)
        try:
            with DayReader(path) as reader:
                meta: Mapping[str, str] = reader.meta()
        except StoreError:
            meta = {}
        settled = meta.get(META_SETTLED, "")  # that of the newest day counts
        text = meta.get(META_POSITION, "")
        if "sealed_ms" in meta:
            found.sealed[day] = Position.parse(text)
            continue
        found.unsealed[day] = Position.parse(text)
        if found.unsealed[day] is not None and not path.with_name(path.name + "-wal").exists():
            found.plain[day] = text
    _advance(found, settled)
    return found


def lowest(of_directories: Iterable[Positions]) -> Position | None:
    """The position after which the stream must be read so that each unsealed day gets all its ticks; None: its start.

    If all days are sealed, it is the highest position in them.
    """
    unsealed: list[Position | None] = []
    sealed: list[Position] = []
    for each in of_directories:
        unsealed += each.unsealed.values()
        sealed += [position for position in each.sealed.values() if position is not None]
    if None in unsealed:
        return None
    return min((each for each in unsealed if each is not None), default=None) or max(sealed, default=None)


def _advance(found: Positions, settled: str) -> None:
    """Sets the position of past days whose files did not change since to the noted one of the whole stream."""
    try:
        facts: Any = json.loads(settled or "{}")
        whole, days = Position.parse(facts.get("whole")), facts.get("days", {})
        for day, text in found.plain.items():
            own = found.unsealed[day]
            if whole is not None and own is not None and days.get(str(day)) == text:
                found.unsealed[day] = max(own, whole)
    except (ValueError, AttributeError, TypeError):
        return  # not written by us: each file's own position counts
