"""Explains to the user why a day has no file, from the calendar and from the live state of the service, or of merge."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import CollectorError, NoDayError, StoreError, UsageError
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.live.record import is_running
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.store.foreign import waiting_for
from hk_tick_collector.store.query import list_days, path_of

from ._options import today
from ._patience import Disk, in_child
from ._stream_report import merge_of

if TYPE_CHECKING:
    from pathlib import Path


def no_file(data_root: Path, day: str) -> CollectorError:
    """The error to raise if a day has no file: the cause and the remedy."""
    if waiting := waiting_for(path_of(data_root, day)):
        return waiting
    number, now = market.parse_day(day), today()
    there = list_days(data_root)
    known = f"days with a file: {there[0]} to {there[-1]}" if there else f"no day has been collected in {data_root} yet"
    if day > now:
        return UsageError(f"{day} is in the future", hint=known)
    why = f"there is no {path_of(data_root, day)}"
    if not market.is_weekday(number):
        return NoDayError(f"{why}: {day} was a {market.day_date(number):%A}, not a trading day", hint=known)
    if day < now:
        text = "a holiday, or the collector did not run that day, or the file was freed after it was archived"
        return NoDayError(f"{why}: {text}", hint=f"{known}; export and bars read archived days")
    live = _alive(data_root)
    if live is None and merge_of(data_root, Disk()) is not None:
        return NoDayError(f"{why}: merge has received no tick of that day", hint="hk-tick-collector status")
    if live is None:
        return NoDayError(f"{why}: no collector runs here", hint=remedies.START)
    if not live.day_expected:
        return NoDayError(f"{why}: by OpenD's calendar {day} is not a trading day", hint=known)
    return NoDayError(f"{why}, although the collector runs", hint="hk-tick-collector status shows what it waits for")


def newest_when_closed(data_root: Path) -> str | None:
    """The newest day with a file, if today is known not to be a trading day and has no file; otherwise None."""
    day = today()
    there = [name for name in list_days(data_root) if name <= day]
    if not there or there[-1] == day:
        return None
    if market.is_weekday(market.parse_day(day)):
        live = _alive(data_root)
        if live is None or live.day_expected:
            return None
    return there[-1]


def _alive(data_root: Path) -> LiveStatus | None:
    """The live state of a service that writes to this DATA_ROOT and reported within the last seconds."""
    for directory in (RUNTIME_DIRECTORY, data_root):
        with suppress(StoreError):  # a status file that cannot be read says nothing
            live = in_child(partial(read_status, directory / STATUS_NAME), directory)
            if live and live.data_root == str(data_root) and is_running(live, now_ms()):
                return live
    return None
