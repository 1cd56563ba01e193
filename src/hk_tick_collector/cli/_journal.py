"""Log lines for `logs`: parses them, filters them and combines repeats. No I/O.

A line may be our log line alone (stderr, `journalctl -o cat`), our log line after the journal's prefix, or a line of
systemd about our unit, for example that it was started or killed. Lines of a traceback belong to the line above them.
All times are converted to Hong Kong time, with the offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from hk_tick_collector.market import HKT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
ROUTINE: Final = frozenset({"persist_summary", "persist_loop_heartbeat"})  # logged once a minute, like `health`
SYSTEMD: Final = "systemd"

_OURS: Final = re.compile(
    r"(?:^|: )(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\S+) (DEBUG|INFO|WARNING|ERROR) (WATCHDOG \w+|\w+)(?=\s|$)(.*)"
)
_HEAD: Final = re.compile(r"(\d{4}-\d\d-\d\dT\S+|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S+ ([^\s\[]+)\[\d+\]: (.*)")
_FIELD: Final = re.compile(r' (\w+)=(?:"([^"]*)"|(\S*))')
_TROUBLE: Final = re.compile(r"fail|kill|abort|timed? ?out|core.?dump|status=", re.IGNORECASE)
# Two lines of one event are repeats if these fields are equal; other fields are only amounts.
_TELLING: Final = (
    "cause",
    "reason",
    "kind",
    "connected",
    "market",
    "trouble",
    "action",
    "detail",
    "state",
    "session",
    "day",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One event of the log; `text` is the line without the journal's prefix, `more` the lines that belong to it."""

    time: str
    level: str
    event: str
    fields: dict[str, str]
    text: str
    more: list[str] = field(default_factory=list)

    @property
    def kind(self) -> tuple[str, ...]:
        """Equal for lines that are repeats of each other."""
        return (self.level, self.event, *(self.fields.get(name, "") for name in _TELLING), *self.more[:1])


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter: the lowest level, the events (empty: all), and `everything` to keep routine lines."""

    level: str = "DEBUG"
    events: frozenset[str] = frozenset()
    everything: bool = False

    def takes(self, line: Line) -> bool:
        """Whether the filter accepts the line."""
        if LEVELS.index(line.level) < LEVELS.index(self.level):
            return False
        if self.events:
            return line.event in self.events
        return self.everything or line.event not in ROUTINE


def in_hong_kong(time: str, precision: str) -> str:
    """A time with an offset, as older versions and the journal write it, in our format; any other text unchanged."""
    try:
        moment = datetime.fromisoformat(time)
        return moment.astimezone(HKT).isoformat(timespec=precision) if moment.tzinfo else time
    except (ValueError, OverflowError):
        return time


def read_line(raw: str) -> Line | None:
    """Parses one line; None for a line that belongs to the one above it, for example of a traceback."""
    if match := _OURS.search(raw):
        time, level, event, rest = match.groups()
        time = in_hong_kong(time, "milliseconds")
        fields = {name: quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
        return Line(time, level, event, fields, f"{time} {level} {event}{rest}")
    head = _HEAD.match(raw)
    if head and head[2] == SYSTEMD:
        level = "WARNING" if _TROUBLE.search(head[3]) else "INFO"
        time = in_hong_kong(head[1], "seconds")
        return Line(time, level, SYSTEMD, {}, f"{time} {level} {SYSTEMD}: {head[3]}")
    return None


def read_lines(raw_lines: Iterable[str], *, at_once: bool = False) -> Iterator[Line]:
    """Groups lines with those that belong to them. With `at_once` each line is yielded when it is read."""
    held: Line | None = None
    for raw in raw_lines:
        text = raw.rstrip("\n")
        line = read_line(text)
        if line is None:
            head = _HEAD.match(text)
            below = head[3] if head else text
            if held and not at_once:
                held.more.append(below)
            elif below.strip() and not text.startswith("-- "):  # journalctl's own remarks
                yield Line("", held.level if held else "INFO", "", {}, below)
            continue
        if held and not at_once:
            yield held
        held = line
        if at_once:
            yield line
    if held and not at_once:
        yield held


def summed(lines: Iterable[Line]) -> Iterator[tuple[Line, int]]:
    """Each line with the number of repeats left out before it. Of a series of repeats the first and last are kept."""
    first: Line | None = None
    last: Line | None = None
    held_back = 0
    for line in lines:
        if first is not None and line.kind == first.kind:
            held_back += last is not None
            last = line
            continue
        if last is not None:
            yield last, held_back
        yield line, 0
        first, last, held_back = line, None, 0
    if last is not None:
        yield last, held_back
