"""Checks archived days: is each certificate signed by a known key, are its files what it lists, is none missing?

It does what `verify.sh` in the archive does, for any place, and names each fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.errors import ArchiveError

from . import layout, sshsig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .certificate import Certificate
    from .chain import Chain
    from .places import Place
    from .sshsig import PublicKey


class Checked(NamedTuple):
    """The result for one day."""

    day: str
    certificate: Certificate | None  # None if it is missing or damaged
    signer: str  # which host, or the key's fingerprint; empty if the signature is not valid
    faults: list[str]  # one sentence each; none: everything is as it was signed


def check_day(place: Place, chain: Chain, day: str, signers: Iterable[PublicKey]) -> Checked:
    """Checks one day by reading all of its files. Raises ArchiveError only if the place cannot be read."""
    if day in chain.damaged:
        return Checked(day, None, "", [chain.damaged[day]])
    certificate = chain.by_day.get(day)
    if certificate is None:
        return Checked(day, None, "", [f"there is no certificate of {day} in {place.where}"])
    faults, signer = [], ""
    try:
        signer = signer_of(place, certificate, signers)
    except ArchiveError as error:
        faults.append(f"{layout.certificate_name(day)}: {error}")
    for name, expected in certificate.files.items():
        found = place.stored(name)
        if found is None:
            faults.append(f"{name} is missing")
        elif found.sha256 != expected:
            faults.append(f"{name} is not what was signed: its SHA-256 is {found.sha256}")
    beside = set(place.list(layout.ticks_directory(day))) - set(certificate.files)
    faults += [f"{name} is not in the certificate, and doubles the day for readers" for name in sorted(beside)]
    faults += [words for at, words in chain.faults() if at == day]
    return Checked(day, certificate, signer, faults)


def uncertified(place: Place, chain: Chain) -> list[str]:
    """The files beside the days that have a certificate, like those of a run that was killed. Readers take all files
    of `ticks/`, so such a day counts for them, and nobody vouches for it.
    """
    certified = {*chain.by_day, *chain.damaged}
    known = {layout.DELTA_LOG, *map(layout.ticks_directory, certified)}  # `check_day` names what else is there
    return [
        *(name for name in place.list(layout.TICKS) if "/".join([*name.split("/")[:2], ""]) not in known),
        *(name for name in place.list(layout.BOOKS) if layout.day_of(name) not in certified),
    ]


def demand_continuable(place: Place, chain: Chain, signers: Iterable[PublicKey]) -> None:
    """Raises ArchiveError unless the next certificate may be made after the newest one: it would vouch for it.

    The newest one is signed by one of these keys, and no damaged certificate can be a newer one.
    """
    everyone = [*chain.by_day.values(), *chain.replaced]
    numbers = {each.number for each in everyone}
    absent = len(set(range(1, max(numbers, default=0) + 1)) - numbers)
    if len(chain.damaged) > absent:
        day, words = max(chain.damaged.items())
        raise ArchiveError(
            f"nothing is archived, because a damaged certificate, of {day}, may be the newest of the chain: {words}",
            hint=f"copy it from another copy of the archive, or move it away: hk-tick-collector certificate --check"
            f" --day {day}",
        )
    if (last := chain.last) is None:
        return
    name = layout.certificate_name(last.day)
    signatures = [name + layout.SIGNATURE]
    if chain.by_day.get(last.day) is not last:
        signatures += [each for each in place.list(layout.SUPERSEDED) if each.endswith(f"/{signatures[0]}")]
    known, why = list(signers), "its signature is missing"
    for each in signatures:
        try:
            if place.exists(each):
                sshsig.check(last.text, place.read(each), known)
                return
        except ArchiveError as error:
            why = str(error)
    raise ArchiveError(
        f"nothing is archived, because the newest certificate there is not to be trusted, number {last.number} of"
        f" {last.day}: {why}",
        hint=f"copy {signatures[0]} from another copy of the archive. Without one move {name} away, then"
        f" hk-tick-collector archive --day {last.day}. If the archive is not yours, name another one with --to",
    )


def signer_of(place: Place, certificate: Certificate, signers: Iterable[PublicKey]) -> str:
    """Which host signed a certificate. ArchiveError if its signature is missing, not valid, or of an unknown key.

    The files that the certificate lists are not read.
    """
    name = layout.certificate_name(certificate.day) + layout.SIGNATURE
    if not place.exists(name):
        raise ArchiveError("its signature is missing")
    key = sshsig.check(certificate.text, place.read(name), signers)
    return key.comment or key.fingerprint
