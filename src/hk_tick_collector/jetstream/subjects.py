"""The names in the engine: the stream, its subjects, the sources, and the id of a message."""

from __future__ import annotations

import re
from typing import Final

from hk_tick_collector import market
from hk_tick_collector.errors import MessageError, UsageError

STREAM: Final = "HK_TICKS"
TICKS: Final = "hk.ticks.*.*"  # hk.ticks.<YYYYMMDD>.<source>
SUMS: Final = "hk.sums.*.*"  # hk.sums.<YYYYMMDD>.<source>
AGAIN: Final = "hk.again.*"  # hk.again.<source>: what this source has to send again
SUBJECTS: Final = (TICKS, SUMS, AGAIN)

_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def source_of(instance_id: str) -> str:
    """The name of a source, which is INSTANCE_ID. UsageError where it cannot be one part of a subject."""
    if not _SOURCE.fullmatch(instance_id):
        raise UsageError(
            f"INSTANCE_ID={instance_id} cannot name a source of ticks",
            hint="set it to 1 to 64 letters, digits, '_' and '-', without '.'; each source needs a name of its own",
        )
    return instance_id


def ticks_subject(day: str, source: str) -> str:
    """Where a source puts its ticks of a day, `20261120`."""
    return f"hk.ticks.{day}.{source}"


def sums_subject(day: str, source: str) -> str:
    """Where a source says how many ticks of a day it has sent."""
    return f"hk.sums.{day}.{source}"


def again_subject(source: str) -> str:
    """Where a source is asked to send ticks again."""
    return f"hk.again.{source}"


def name_subject(source: str) -> str:
    """Where the publisher of a source answers who it is. Not stored: a plain request."""
    return f"hk.name.{source}"


def day_and_source(subject: str) -> tuple[str, str]:
    """The day and the source of a subject of ticks or sums. MessageError for any other."""
    parts = subject.split(".")
    if len(parts) == 4 and parts[:2] in (["hk", "ticks"], ["hk", "sums"]):
        return demand_day(parts[2]), demand_source(parts[3])
    raise MessageError(f"{subject!r} is not a subject of ticks or sums")


def demand_day(day: str) -> str:
    """The day, `20261120`, unchanged. MessageError for any other text."""
    try:
        if len(day) == 8:
            market.parse_day(day)
            return day
    except ValueError:
        pass
    raise MessageError(f"{day[:20]!r} is not a day")


def demand_source(source: str) -> str:
    """The name of a source, unchanged. MessageError for any other text."""
    if not _SOURCE.fullmatch(source):
        raise MessageError(f"{source[:70]!r} is not the name of a source")
    return source


def message_id(source: str, day: str, generation: str, number: int) -> str:
    """The id by which the engine knows a repeated message within its duplicate window.

    A retry keeps its id. Ticks that are sent again on purpose need a new generation: the engine would drop them as
    repeated ones.
    """
    return f"{source}.{day}.{generation}.{number}"
