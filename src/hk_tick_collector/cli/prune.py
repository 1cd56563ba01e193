"""The verb `prune`: frees day files and snapshots that are proved to be elsewhere."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector.errors import UsageError
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, counted
from hk_tick_collector.store.inventory import KEEP_DAYS
from hk_tick_collector.store.query import list_days

from ._archives import place_named, signers_named
from ._options import AsJson, EnvFile, settings_in_force
from ._patience import in_child
from ._progress import Watch
from ._show import complain, show, show_json, warn
from ._terminal import language_on

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.archive.places import Place
    from hk_tick_collector.archive.pruning import Asked, Judged
    from hk_tick_collector.archive.sshsig import PublicKey
    from hk_tick_collector.config import Settings


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="free them; without it nothing is changed")] = False,
    keep_days: Annotated[
        int, typer.Option("--keep-days", metavar="N", min=0, help="the newest N days with a file stay")
    ] = KEEP_DAYS,
    copies: Annotated[
        int, typer.Option("--copies", metavar="N", min=1, help="how many copies of a day must be proved")
    ] = 1,
    copy: Annotated[
        list[str] | None,
        typer.Option("--copy", metavar="DIR|s3://…", help="another copy of the archive; may be given several times"),
    ] = None,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")
    ] = None,
    signers: Annotated[
        str | None,
        typer.Option("--signers", metavar="FILE", help="allowed_signers that you keep; default: this host's key alone"),
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Frees old day files and snapshots whose content is proved to be elsewhere. A dry run unless --yes is given.

    For each sealed day, at that moment: the signature of its certificate is checked with the key of this host, all
    files of the archive and of each copy are read and hashed, and so is the day file. If enough copies are right,
    it is renamed aside and removed. A snapshot goes when the sealed file of its day has every tick of it. The newest
    days stay. restore brings a day back.

    Exit code 0 done, 1 something is not as it should be, 2 wrong usage.

    \b
    Examples:
      hk-tick-collector prune
      hk-tick-collector prune --yes
      hk-tick-collector prune --yes --keep-days 60 --copies 2 --copy s3://bucket/ticks
    """
    from hk_tick_collector.archive.pruning import Asked

    settings = settings_in_force(env_file)
    places = _places(settings, archive, copy or [], env_file)
    if copies > max(1, len(places)):
        raise UsageError(
            f"--copies {copies} is more than the places that are named, {len(places)}", hint="name more with --copy"
        )
    in_child(lambda: list_days(settings.data_root), settings.data_root)  # a disk that hangs is named at once
    trusted = signers_named(signers) if signers is not None else _own_key(settings) if places else []
    asked = Asked(settings.data_root, settings.snapshot_dir, places, trusted, copies, keep_days, yes)
    lang = None if as_json else language_on(sys.stdout, env_file)
    judged = _prune(asked, lang)
    if lang is None:
        show_json(_document(asked, judged))
    else:
        options: list[tuple[str, object]] = [("--keep-days", keep_days), ("--copies", copies)]
        options += [("--copy", each) for each in copy or []]
        options += [("--archive", archive), ("--signers", signers), ("--env-file", env_file)]
        _sum_up(asked, judged, lang, _command(options))
    if any(each.is_fault for each in judged):
        raise typer.Exit(1)


def _places(settings: Settings, archive: str | None, copies: list[str], env_file: Path | None) -> list[Place]:
    """The archive, if there is one, and its copies. UsageError if one place is named twice: it is one copy."""
    named = [*([archive or settings.archive_dir] if archive or settings.archive_dir else []), *copies]
    places = [place_named(each, settings, "--copy", env_file) for each in named if each]
    known: dict[Any, str] = {}
    root_disk = _disk(settings.data_root)
    for place in places:
        root: Path | None = getattr(place, "root", None)
        key: Any = place.where
        if root is not None:
            try:
                found = root.stat()
                key = found.st_dev, found.st_ino
            except OSError:
                key = root.absolute()  # if it cannot be read, each day reports that
            if _disk(root) == root_disk is not None:
                warn(f"{place.where} is on the disk of the day files: if that disk fails, both are lost")
        if key in known:
            raise UsageError(f"{place.where} and {known[key]} are the same place", hint="name each copy once")
        known[key] = place.where
    return places


def _disk(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None


def _own_key(settings: Settings) -> list[PublicKey]:
    """The key of this host: whoever can write in an archive could add another key to its allowed_signers."""
    from hk_tick_collector.archive.sshsig import SigningKey
    from hk_tick_collector.frames.extras import need

    need("cryptography", "data")
    return [SigningKey(settings.certificate_key, settings.instance_id).public]


def _prune(asked: Asked, lang: str | None) -> list[Judged]:
    """Judges each file, and shows at once what became of it in this language, if one is given."""
    from hk_tick_collector.archive.pruning import prune

    watch = Watch("the days that were named above are freed, the others are there")
    judged = []
    try:
        for each in prune(asked, watch.show):
            judged.append(each)
            watch.clear()
            if lang is not None and (each.freed or not each.is_newest):
                _show_result(asked, each, lang)
    finally:
        watch.clear()
    return judged


def _show_result(asked: Asked, each: Judged, lang: str) -> None:
    name, size = each.path.name, f"{each.size_bytes / 2**20:,.1f} MB"
    if not each.freed and each.is_fault:
        complain(f"{name}: {_STAYS.of(lang)}: {each.why}")
        return
    if not each.freed:
        show(f"{name}: {_STAYS.of(lang)}, {size}: {each.why}")
        return
    proved = _PROVED.filled(places=", ".join(each.places)) if each.places else _CONTAINED
    freed = _FREED if asked.frees else _WOULD_FREE
    show(f"{name}: {freed.filled(size=size).of(lang)}: {proved.of(lang)}")
    for fault in each.faults:
        complain(f"{name}: {_NOT_RIGHT.of(lang)}: {fault}")


def _command(options: list[tuple[str, object]]) -> str:
    """What frees what this dry run found: a command that can be pasted, with the same options."""
    given = [str(word) for option in options if option[1] not in (None, _DEFAULTS.get(option[0])) for word in option]
    return shlex.join(["hk-tick-collector", "prune", "--yes", *given])


def _sum_up(asked: Asked, judged: list[Judged], lang: str, command: str) -> None:
    freed = [each for each in judged if each.freed]
    newest = len({each.day for each in judged if each.is_newest})
    stay = NO_WORDS
    if newest:
        days = counted(newest, "day stays", "days stay", "日")
        stay = Words("; the newest {days}", "；最近 {days}保留").filled(days=days)
    text = _DONE if asked.frees else _DRY_RUN
    size = f"{sum(each.size_bytes for each in freed) / 2**20:,.1f} MB"
    show(
        text.filled(files=counted(len(freed), "file", "files", "個檔案"), size=size, stay=stay, command=command).of(
            lang
        )
    )


_DEFAULTS: Final = {"--keep-days": KEEP_DAYS, "--copies": 1}
_STAYS: Final = Words("stays", "保留")
_FREED: Final = Words("freed {size}", "已騰出 {size}")
_WOULD_FREE: Final = Words("would free {size}", "可騰出 {size}")
_PROVED: Final = Words("proved in {places}", "證明存於 {places}")
_CONTAINED: Final = Words("the sealed day file has every tick of it", "已封存的日檔有其全部 tick")
_NOT_RIGHT: Final = Words("a copy is not right", "有副本不正確")
_DONE: Final = Words("freed: {files}, {size}{stay}", "已騰出 {files}，{size}{stay}")
_DRY_RUN: Final = Words(
    "would be freed: {files}, {size}{stay}; nothing was changed -> {command}",
    "可騰出 {files}，{size}{stay}；沒有改動任何檔案 -> {command}",
)


def _document(asked: Asked, judged: list[Judged]) -> dict[str, Any]:
    return {
        "dry_run": not asked.frees,
        "places": [place.where for place in asked.places],
        "copies": asked.copies,
        "keep_days": asked.keep_days,
        "freed_bytes": sum(each.size_bytes for each in judged if each.freed),
        "files": [
            {
                "day": each.day,
                "kind": each.kind,
                "file": str(each.path),
                "bytes": each.size_bytes,
                "freed": each.freed,
                "why": each.why,
                "is_fault": each.is_fault,
            }
            for each in judged
        ],
    }
