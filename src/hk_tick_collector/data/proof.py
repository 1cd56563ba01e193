"""The certificate of an archived day, and the check of a day against it. Package `archive` does both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector import market
from hk_tick_collector.archive.remote import Remote
from hk_tick_collector.errors import NoDayError, StoreError, UsageError

if TYPE_CHECKING:
    from hk_tick_collector.archive.certificate import Certificate
    from hk_tick_collector.archive.places import Place

    from .days import Archive


def certificate(archive: Archive | None, day: int) -> Certificate:
    """The certificate of a day. UsageError without an archive, NoDayError, ArchiveError, StoreError."""
    if archive is None:
        raise UsageError("no archive is given", hint="give archive, or set ARCHIVE_DIR")
    name = market.day_name(day)
    from hk_tick_collector.archive.chain import read_chain  # imported late: most requests need no archive

    chain = read_chain(_place(archive))
    if name in chain.damaged:
        raise StoreError(chain.damaged[name], hint=_check(name))
    if name not in chain.by_day:
        words = f"there is no certificate of {name} in {archive}"
        raise NoDayError(words, hint=f"hk-tick-collector archive --day {name}")
    return chain.by_day[name]


def demand_proved(archive: Archive, *days: int) -> None:
    """Reads all files of the days. StoreError unless each certificate is signed and lists them as they are."""
    from hk_tick_collector.archive.chain import read_chain  # imported late: most requests need no archive
    from hk_tick_collector.archive.check import check_day
    from hk_tick_collector.archive.signers import known_signers

    place = _place(archive)
    chain, signers = read_chain(place), known_signers(place)
    for name in map(market.day_name, days):
        checked = check_day(place, chain, name, signers)
        if checked.faults:
            raise StoreError(f"{name} in {archive} is not what was signed: {checked.faults[0]}", hint=_check(name))


def _place(archive: Archive) -> Place:
    from hk_tick_collector.archive.places import Directory

    return archive.place if isinstance(archive, Remote) else Directory(archive)


def _check(name: str) -> str:
    return f"hk-tick-collector certificate --check --day {name}"
