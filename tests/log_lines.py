"""The text of a log → its lines, parsed."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINE: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) (DEBUG|INFO|WARNING|ERROR) (WATCHDOG \w+|\w+)(.*)\n"
)
_FIELD: Final = re.compile(r' (\w+)=(?:"([^"]*)"|([^" ]*))')


class Event(NamedTuple):
    """One parsed line of a log."""

    time: str
    level: str
    name: str
    fields: dict[str, str]


def events_in(text: str, name: str = "") -> list[Event]:
    """The complete lines of a log, of one event or of all; a malformed event line is an error."""
    found = []
    for line in text.splitlines(keepends=True):
        if match := _LINE.fullmatch(line):
            moment, level, event, rest = match.groups()
            assert _FIELD.sub("", rest) == "", line
            if name in ("", event):
                fields = {key: quoted or plain for key, quoted, plain in _FIELD.findall(rest)}
                found.append(Event(moment, level, event, fields))
    return found
