"""The verb `certificate`: makes the key, shows and checks the signed certificates of archived days."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hk_tick_collector.errors import ArchiveError, UsageError
from hk_tick_collector.ops.findings.words import Words, counted

from ._archives import Since, Until, days_between, place_named, refuse_both, signers_named
from ._options import AsJson, EnvFile, settings_in_force
from ._patience import in_child
from ._show import complain, show, show_json, show_lines, warn
from ._terminal import language_on

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.archive.certificate import Certificate
    from hk_tick_collector.archive.chain import Chain
    from hk_tick_collector.archive.check import Checked
    from hk_tick_collector.archive.places import Place
    from hk_tick_collector.archive.sshsig import PublicKey
    from hk_tick_collector.config import Settings


def certificate(  # noqa: PLR0917 - typer takes the options of a verb as its arguments
    day: Annotated[
        str | None, typer.Option("--day", metavar="YYYYMMDD", help="one day; default: the newest, or all with --check")
    ] = None,
    since: Since = None,
    until: Until = None,
    check: Annotated[bool, typer.Option("--check", help="check signatures, files and the order of days")] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="make the key of this host, CERTIFICATE_KEY")] = False,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR|s3://…", help="the archive; default: ARCHIVE_DIR")
    ] = None,
    signers: Annotated[
        str | None,
        typer.Option("--signers", metavar="FILE", help="allowed_signers that you keep elsewhere, instead of its own"),
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Shows the certificate of an archived day, or checks days: by hash every file, by key every signature.

    archive makes the certificate of each day that it archives. The verdict is complete, gaps_known or not_provable, as
    far as the sequences of the feed show. --check reads all files of these days. It trusts the file allowed_signers
    of the archive, which whoever changed the archive could have changed too: keep a copy and name it with --signers.

    Exit code 0 shown, or everything is as it was signed; 1 it is not; 2 wrong usage.

    \b
    Examples:
      hk-tick-collector certificate --day 20261120
      hk-tick-collector certificate --check
      hk-tick-collector certificate --new-key
    """
    settings = settings_in_force(env_file)
    one = refuse_both(day, since, until)
    if new_key:
        if check or one or since or until:
            raise UsageError("--new-key goes with no other option", hint="make the key first")
        _make_key(settings, language_on(sys.stdout, env_file), as_json=as_json)
        return
    if (since or until) and not check:
        raise UsageError("--since and --until go with --check", hint="--day shows one certificate")
    place = place_named(archive, settings, "--archive", env_file)
    chain = _chain(place)
    if check:
        lang = None if as_json else language_on(sys.stdout, env_file)
        _check(place, chain, one, (since, until), _signers(place, signers), lang)
    else:
        _show(place, chain, one, as_json=as_json)


def _make_key(settings: Settings, lang: str, *, as_json: bool) -> None:
    from hk_tick_collector.archive.sshsig import SigningKey, make_key
    from hk_tick_collector.frames.extras import need

    need("cryptography", "data")
    path = settings.certificate_key
    make_key(path, settings.data_root)
    public = SigningKey(path, settings.instance_id).public
    if as_json:
        show_json({"key": str(path), "fingerprint": public.fingerprint, "allowed_signers": public.line})
        return
    for text in _NEW_KEY:
        show(text.filled(path=path, fingerprint=public.fingerprint).of(lang))
    show(public.line)


def _chain(place: Place) -> Chain:
    from hk_tick_collector.archive.chain import read_chain

    root: Path | None = getattr(place, "root", None)
    return read_chain(place) if root is None else in_child(lambda: read_chain(place), root)


def _signers(place: Place, named: str | None) -> list[PublicKey]:
    from hk_tick_collector.archive.signers import known_signers
    from hk_tick_collector.frames.extras import need

    need("cryptography", "data")
    return known_signers(place) if named is None else signers_named(named)


def _show(place: Place, chain: Chain, day: str | None, *, as_json: bool) -> None:
    newest = max(chain.by_day, default=None)
    wanted = day or newest
    if wanted is None:
        raise ArchiveError(f"there is no certificate in {place.where}", hint="hk-tick-collector archive makes them")
    if wanted in chain.damaged:
        raise ArchiveError(chain.damaged[wanted], hint="hk-tick-collector certificate --check")
    found = chain.by_day.get(wanted)
    if found is None:
        known = f"days with one: {min(chain.by_day)} to {newest}" if newest else "hk-tick-collector archive makes them"
        raise ArchiveError(f"there is no certificate of {wanted} in {place.where}", hint=known)
    if as_json:
        show_json(_document(found))
    else:
        show_lines(found.text.decode())


def _document(found: Certificate) -> dict[str, Any]:
    numbers = {name: int(value) for name, value in found.figures.items() if value.isascii() and value.isdigit()}
    return {**found.figures, **numbers, "files": found.files, "certificate_sha256": found.sha256}


def _check(
    place: Place,
    chain: Chain,
    day: str | None,
    between: tuple[str | None, str | None],
    signers: list[PublicKey],
    lang: str | None,
) -> None:
    """Checks the days, and shows the results in this language, or as JSON without one."""
    from hk_tick_collector.archive.check import check_day, uncertified

    everyone = sorted({*chain.by_day, *chain.damaged})
    days = [day] if day else days_between(everyone, *between)
    if not days:
        raise ArchiveError(f"there is no certificate in {place.where}", hint="hk-tick-collector archive makes them")
    checked = [check_day(place, chain, each, signers) for each in days]
    order = [f"{at}: {words}" for at, words in chain.faults() if at not in days]
    lonely = [] if day else uncertified(place, chain)
    good = not order and not lonely and not any(each.faults for each in checked)
    if lang is None:
        last = chain.last
        show_json(
            {
                "archive": place.where,
                "as_signed": good,
                "days": list(map(_checked_document, checked)),
                "order": order,
                "uncertified": lonely,
                "newest": None if last is None else {"day": last.day, "number": last.number, "sha256": last.sha256},
            }
        )
    else:
        _show_results(chain, checked, order, lonely, lang)
    if not good:
        raise typer.Exit(1)


def _checked_document(checked: Checked) -> dict[str, Any]:
    found = checked.certificate
    return {
        "day": checked.day,
        "as_signed": not checked.faults,
        "faults": checked.faults,
        "signed_by": checked.signer,
        "verdict": found.verdict if found else None,
        "rows": found.rows if found else None,
        "certificate_sha256": found.sha256 if found else None,
    }


def _show_results(chain: Chain, checked: list[Checked], order: list[str], lonely: list[str], lang: str) -> None:
    """Faults are told as all errors are, in English; what is right in the operator's language."""
    for each in checked:
        found = each.certificate
        if not each.faults and found is not None:
            ticks = counted(found.rows, "tick", "ticks", "筆 tick")
            facts = {"day": each.day, "signer": each.signer, "ticks": ticks, "verdict": found.verdict}
            show(_AS_SIGNED.filled(**facts).of(lang))
        for words in each.faults:
            complain(f"{each.day}: {words}")
    for words in order:
        complain(words)
    for name in lonely:
        complain(
            f"{name} has no certificate, and readers of the directory take it: a run of archive is at work or was"
            " killed; run archive again, or move it away"
        )
    if (last := chain.last) is not None:
        show(_NEWEST.filled(number=last.number, day=last.day, sha256=last.sha256).of(lang))
    if any(not each.signer and each.certificate for each in checked):
        warn(_UNTRUSTED.of(lang))


_AS_SIGNED = Words(
    "{day}: as signed by {signer}, {ticks}, {verdict}", "{day}：與 {signer} 簽署的一致，{ticks}，{verdict}"
)
_NEWEST = Words(
    "newest: number {number}, {day}, SHA-256 {sha256}; compare it with what you published",
    "最新：第 {number} 號，{day}，SHA-256 {sha256}；請與已公布的比較",
)
_UNTRUSTED = Words("a signature cannot be trusted: see docs/archive.md", "有簽署不可信：見 docs/archive.md")
_NEW_KEY = (
    Words(
        "{path}: made, readable by its owner only; keep a copy of it in a safe place",
        "{path}：已製作，只有擁有者可讀；請在安全處保留副本",
    ),
    Words(
        "{fingerprint}; its line for allowed_signers, which archive adds by itself:",
        "{fingerprint}；它在 allowed_signers 的一行如下，archive 會自行加入：",
    ),
)
