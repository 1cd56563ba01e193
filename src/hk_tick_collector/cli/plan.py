"""The verb `plan`: which host collects which symbols, as one symbols file per host."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector.config import read_symbols
from hk_tick_collector.errors import CollectorError, UsageError
from hk_tick_collector.planning import MAX_COPIES, make_plan

from ._options import AsJson, EnvFile, settings_in_force
from ._plan_files import Change, compare, others, path_of, write
from ._show import show, show_json, warn
from ._table import print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")  # a file's name, and a name for INSTANCE_ID
_COUNT: Final = re.compile(r"[0-9]{1,6}")
_MAX_QUOTA: Final = 2000  # the largest that Futu grants an account
_NAMED: Final = 5  # most symbols in one line
_LEFT: Final = ("quota left", "removed", "added")


def plan(
    quota: Annotated[
        str, typer.Option(metavar="HOST=N,…", help="each host and how many symbols its Futu account may subscribe to")
    ] = "",
    copies: Annotated[int, typer.Option(help="1, or 2: every symbol is collected by two hosts")] = 1,
    without: Annotated[str, typer.Option(metavar="HOST,…", help="hosts of --quota that are lost")] = "",
    symbols: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the whole list, one symbol a line; default: FUTU_SYMBOLS")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write DIR/HOST.txt for each host; without it only show the plan")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Distributes the symbols over hosts by their quotas. The same quotas and symbols always give the same plan.

    A host that is added or lost moves few symbols. No quota is exceeded; with --copies 2 the two hosts of a symbol
    differ. With --out the differences from the files that are there are told, and each file is replaced in one step.

    \b
    Examples:
      hk-tick-collector plan --quota a=1000,b=500 --symbols all.txt --out plan
      hk-tick-collector plan --quota a=1000,b=1000,c=1000 --copies 2 --without b --symbols all.txt --out plan
    """
    quotas = _quotas(quota)
    if not 1 <= copies <= MAX_COPIES:
        raise UsageError(f"--copies {copies} is neither 1 nor {MAX_COPIES}", hint="two hosts are enough to lose one")
    lost = _lost(without, quotas)
    left = {host: count for host, count in quotas.items() if host not in lost}
    wanted = _symbols(symbols, env_file)
    try:
        made = make_plan(wanted, left, copies)
    except CollectorError as error:
        raise UsageError(str(error), hint=error.hint) from None
    changes = compare(out, made) if out is not None else []
    if out is not None:
        write(out, made)
    if as_json:
        show_json(_document(made, left, lost, copies, changes))
        return
    _print(made, left, changes, len(wanted), copies)
    if out is not None:
        _print_rest(out, changes, quotas, lost)


def _quotas(text: str) -> dict[str, int]:
    """`a=1000,b=500` as a dictionary. UsageError names the first entry that is wrong."""
    hint = "write --quota a=1000,b=500: letters, digits, - and _ for a host, then its quota"
    if not text.strip():
        raise UsageError("no host is named", hint=hint)
    found: dict[str, int] = {}
    for entry in text.split(","):
        host, _, count = (part.strip() for part in entry.partition("="))
        if not _HOST.fullmatch(host):
            raise UsageError(f"--quota: {entry.strip()!r} has no host that can be a file's name", hint=hint)
        if not _COUNT.fullmatch(count) or not 1 <= int(count) <= _MAX_QUOTA:
            raise UsageError(
                f"--quota: {host} has {count or 'no number'!r} for its quota",
                hint=f"give a number from 1 to {_MAX_QUOTA}, which is Futu's largest",
            )
        if host in found:
            raise UsageError(f"--quota names {host} twice", hint="name each host once")
        found[host] = int(count)
    return found


def _lost(text: str, quotas: Mapping[str, int]) -> tuple[str, ...]:
    lost = tuple(dict.fromkeys(entry.strip() for entry in text.split(","))) if text.strip() else ()
    for host in lost:
        if host not in quotas:
            raise UsageError(f"--without {host!r} is no host of --quota", hint=f"hosts are {', '.join(quotas)}")
    return lost


def _symbols(file: Path | None, env_file: Path | None) -> tuple[str, ...]:
    """The list to distribute; a bad entry is named and left out, as the collector does with it."""
    if file is None:
        found = settings_in_force(env_file).symbols
        if not found:
            raise UsageError("there is no list of symbols", hint="name one: --symbols FILE, or set FUTU_SYMBOLS")
        return found
    try:
        read = read_symbols(f"@{file}", most=None)
    except ValueError as error:
        raise UsageError(f"--symbols {error}", hint="name a file with one symbol like HK.00700 a line") from None
    for bad in read.bad:
        warn(f"{bad.place}: {bad.words()}; it is left out")
    return read.symbols


def _document(
    made: Mapping[str, Sequence[str]],
    quotas: Mapping[str, int],
    lost: Sequence[str],
    copies: int,
    changes: Sequence[Change],
) -> dict[str, Any]:
    by_host = {change.host: change.as_json() for change in changes}
    hosts = {
        host: {"quota": quotas[host], "symbols": list(symbols), **by_host.get(host, {})}
        for host, symbols in made.items()
    }
    return {"copies": copies, "without": list(lost), "hosts": hosts}


def _print(
    made: Mapping[str, Sequence[str]], quotas: Mapping[str, int], changes: Sequence[Change], symbols: int, copies: int
) -> None:
    header = ["host", "quota", "symbols", "quota left"] + (["added", "removed"] if changes else [])
    rows = [
        [host, f"{quotas[host]:,}", f"{len(names):,}", f"{quotas[host] - len(names):,}"] for host, names in made.items()
    ]
    for row, change in zip(rows, changes, strict=False):
        row += [f"{len(change.added):,}", f"{len(change.removed):,}"]
    print_table(header, rows, right=frozenset(header[1:]), spare=_LEFT)
    where = "on one host each" if copies == 1 else f"on {copies} hosts each"
    used, all_ = sum(map(len, made.values())), sum(quotas.values())
    show(f"plan: {symbols:,} symbols {where}, {used:,} of {all_:,} subscriptions")


def _print_rest(out: Path, changes: Sequence[Change], quotas: Mapping[str, int], lost: Sequence[str]) -> None:
    """The differences, and what is to be done, in its order."""
    for change in changes:
        show(f"{change.path}: {_difference(change)}")
    for host in lost:
        if path_of(out, host).exists():
            show(f"{path_of(out, host)}: kept as it was; {host} is not in this plan")
    for host in others(out, quotas):
        warn(f"{path_of(out, host)} is of an earlier plan, and --quota does not name {host}: delete the file")
    # A host that gains comes first: until then the others still collect the symbols that they lose.
    order = [change.host for change in changes if change.added]
    order += [change.host for change in changes if change.removed and not change.added]
    if order:
        show("Copy each file to its host as the one that FUTU_SYMBOLS=@FILE names, and restart its collector,")
        show(f"one after the other: {', '.join(order)}")


def _difference(change: Change) -> str:
    if change.is_new:
        return f"new, {len(change.added):,} symbols"
    parts = [
        f"{word} {_listed(symbols)}"
        for word, symbols in (("adds", change.added), ("removes", change.removed))
        if symbols
    ]
    return "; ".join(parts) or "no change"


def _listed(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _NAMED:,} more" if len(symbols) > _NAMED else ""
    return ", ".join(symbols[:_NAMED]) + more
