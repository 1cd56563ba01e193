"""Shared by the verbs that use an archive: which one, its key, and the days that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hk_tick_collector import market
from hk_tick_collector.config import object_store_variables
from hk_tick_collector.errors import UsageError

from ._options import day_named
from ._show import warn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hk_tick_collector.archive.places import Place
    from hk_tick_collector.archive.sshsig import PublicKey
    from hk_tick_collector.config import Settings
    from hk_tick_collector.data.days import Archive

Since: TypeAlias = Annotated[
    str | None, typer.Option("--since", metavar="YYYYMMDD", help="the first day; default: the oldest there is")
]
Until: TypeAlias = Annotated[
    str | None, typer.Option("--until", metavar="YYYYMMDD", help="the last day; default: the newest there is")
]


def place_named(named: str | None, settings: Settings, option: str, env_file: Path | None) -> Place:
    """The archive of an option or of ARCHIVE_DIR. UsageError if there is neither, or it is none that works."""
    from hk_tick_collector.archive.addresses import place_at  # imported late: most verbs need no archive

    where = named or settings.archive_dir
    if not where:
        raise UsageError("no archive is named", hint=f"set ARCHIVE_DIR, or name a directory with {option}")
    return place_at(where, object_store_variables(env_file))


def readable_archive(named: str | None, settings: Settings, env_file: Path | None) -> Archive | None:
    """The archive whose days are read in place: of an option, else of ARCHIVE_DIR; None if neither.

    UsageError if the option names none that can be read, CollectorError without the extra that it needs. If ARCHIVE_DIR
    does, its days are left out with a warning. It is for child processes: this one never connects to an object store,
    whose library does not survive a fork.
    """
    from hk_tick_collector.archive.remote import Remote
    from hk_tick_collector.data.days import archive_at, configured_archive

    def variables() -> dict[str, str]:
        return object_store_variables(env_file)

    if named is not None:
        found: Archive | None = archive_at(named, variables)
    else:
        found = configured_archive(settings.archive_dir, variables, warn)
    if isinstance(found, Remote):
        found.make_directory()
    return found


def days_between(there: Iterable[str], since: str | None, until: str | None) -> list[str]:
    """The days among `there` from `since` to `until`, both included. UsageError for a date that is none."""
    first, last = _day("--since", since), _day("--until", until)
    if first and last and first > last:
        raise UsageError(f"--since {since} is after --until {until}", hint="the first day comes first")
    return [day for day in there if (not first or day >= first) and (not last or day <= last)]


def _day(option: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return market.day_name(market.parse_day(text))
    except ValueError:
        raise UsageError(f"{option} {text} is not a date", hint="write a day like 20261120") from None


def refuse_both(day: str | None, since: str | None, until: str | None) -> str | None:
    """The day of --day, if it is given. UsageError if --since or --until are given as well."""
    if day is None:
        return None
    if since is not None or until is not None:
        raise UsageError("--day names one day and --since, --until a range", hint="give one of them")
    return day_named(day)


def signers_named(path: str) -> list[PublicKey]:
    """The keys of a file like `allowed_signers`. UsageError if it cannot be read or names none."""
    from hk_tick_collector.archive.sshsig import read_signers
    from hk_tick_collector.frames.extras import need

    need("cryptography", "data")
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as the operator wrote it
            found = read_signers(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --signers {path} ({error})", hint="name a file like allowed_signers") from None
    if not found:
        raise UsageError(f"--signers {path} names no key that may sign certificates", hint="see docs/archive.md")
    return found
