"""The certificate of an archived day, and the check of a day against it. Package `archive` does both."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, StoreError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def certificate(archive: Path | None, day: int) -> Any:
    """The certificate of a day, an `archive.certificate.Certificate`. UsageError, NoDayError, ArchiveError."""
    if archive is None:
        raise UsageError("no archive is given", hint="give archive, or set ARCHIVE_DIR")
    name = market.day_name(day)
    chain = _module("chain").read_chain(_module("addresses").place_at(str(archive)))
    if name in chain.damaged:
        raise StoreError(chain.damaged[name], hint=_check(name))
    if name not in chain.by_day:
        words = f"there is no certificate of {name} in {archive}"
        raise NoDayError(words, hint=f"hk-tick-collector archive --day {name}")
    return chain.by_day[name]


def demand_proved(archive: Path, day: int) -> None:
    """Reads all files of a day; StoreError unless its certificate has a valid signature and they are what it lists."""
    place, name = _module("addresses").place_at(str(archive)), market.day_name(day)
    signers = _module("signers").known_signers(place)
    checked = _module("check").check_day(place, _module("chain").read_chain(place), name, signers)
    if checked.faults:
        raise StoreError(f"{name} in {archive} is not what was signed: {checked.faults[0]}", hint=_check(name))


def _check(name: str) -> str:
    return f"hk-tick-collector certificate --check --day {name}"


def _module(name: str) -> Any:
    """A module of `archive`, imported at the first use: most requests need none."""
    return importlib.import_module(f"hk_tick_collector.archive.{name}")
