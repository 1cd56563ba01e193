"""The certificate of a day: one text that says what was archived and lists the files. This text is signed.

Lines with `#` are its figures; the others are those of `sha256sum`, whose option -c skips the first kind. So
`sha256sum -c certificates/2026-11-20.txt` in the archive checks the files of the day. Certificates are numbered in the
order in which they were made, and each has the SHA-256 of the one before: none can be changed or taken out in between
without a trace.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import __version__, market
from hk_tick_collector.errors import ArchiveError
from hk_tick_collector.store.schema import META_DRIFT
from hk_tick_collector.text import plain

from . import layout
from .proof import STANDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .facts import DayFacts
    from .ticks import Written

HEAD: Final = "# hk-tick-collector certificate 1"
NONE: Final = "none"
NOT_RECORDED: Final = "not_recorded"

_MEANING: Final = "as far as the sequences of the feed show, whose meaning is inferred: docs/archive.md"
_FIGURE: Final = re.compile(r"# ([a-z0-9_]+): (.*)")
_FILE: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")  # as many digits as verify.sh reads; a day has some ten million ticks


class Certificate(NamedTuple):
    """A certificate that was read or made."""

    text: bytes  # exactly as signed
    figures: dict[str, str]  # name → value
    files: dict[str, str]  # name in the archive → SHA-256

    @property
    def day(self) -> str:
        """The day, `20261120`."""
        return self.figures["day"].replace("-", "")

    @property
    def number(self) -> int:
        """Its place in the chain, from 1."""
        return int(self.figures["number"])

    @property
    def previous(self) -> str:
        """The SHA-256 of the text of the certificate before it; `none` for the first."""
        return self.figures["previous"]

    @property
    def verdict(self) -> str:
        """complete, gaps_known or not_provable."""
        return self.figures["verdict"]

    @property
    def content(self) -> str:
        """The digest of the ticks: see digests.py."""
        return self.figures["content_sha256"]

    @property
    def day_file(self) -> str:
        """The SHA-256 of the sealed day file that was archived."""
        return self.figures["day_file_sha256"]

    @property
    def rows(self) -> int:
        """How many ticks the day has."""
        return int(self.figures["rows"])

    @property
    def sha256(self) -> str:
        """Of its text: what the next certificate names as `previous`."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def ticks_name(self) -> str:
        """The name of the Parquet file in the archive."""
        return next(name for name in self.files if name.startswith(layout.TICKS))

    @property
    def book_name(self) -> str:
        """The name of the book in the archive."""
        return next(name for name in self.files if name.startswith(layout.BOOKS))


class Origin(NamedTuple):
    """Who archives, from which file, and after which certificate."""

    instance: str
    pyarrow: str  # its version
    day_file_sha256: str
    now_ms: int  # UTC epoch ms
    last: Certificate | None  # the newest of the chain


def make(day: str, facts: DayFacts, written: Written, origin: Origin, files: Mapping[str, str]) -> Certificate:
    """The certificate of a day whose files (name → SHA-256) are stored."""
    meta, known, last = facts.meta, facts.completeness, origin.last
    figures = {
        "day": layout.dashed(day),
        "market": meta.get("market", "HK"),
        "verdict": facts.proof.standing,
        "doubts": " ".join(f"{code}={count}" for code, count in facts.proof.doubts.items()) or NONE,
        "meaning": _MEANING,
        "number": str(last.number + 1 if last else 1),
        "previous": last.sha256 if last else NONE,
        "previous_day": last.figures["day"] if last else NONE,
        "archived_at": _time(origin.now_ms),
        "archived_by": f"{origin.instance}, hk-tick-collector {__version__}, pyarrow {origin.pyarrow}",
        "sealed_at": _time(facts.sealed_ms),
        "collected_by": f"hk-tick-collector {meta.get('software_version')}, SQLite {meta.get('sqlite_version')}",
        "schema": str(facts.schema),
        "rows": str(written.rows),
        "symbols": str(len(written.by_symbol)),
        "expected": str(known.expected),
        "symbols_without_expected": str(known.without_pattern),
        "missing": str(facts.missing),
        "gaps_open": str(facts.gaps.open),
        "gaps_open_of_unknown_size": str(facts.gaps.of_unknown_size),
        "gaps_healed": str(facts.gaps.healed),
        "ticks_rejected": str(facts.gaps.rejected),
        "ticks_in_other_days": str(facts.gaps.other_day),
        "gaps_sha256": facts.gaps.sha256,
        **{f"ledger_{name}": str(count) for name, count in facts.ledger.items()},
        "seconds_without_opend": NOT_RECORDED if facts.without_opend_s is None else f"{facts.without_opend_s:.1f}",
        "reconciled_after": facts.reconciled_after or NONE,
        "reconciliation": " ".join(f"{name}={count}" for name, count in facts.reconciled.items()) or NONE,
        "worst_clock_drift_s": meta.get(META_DRIFT, NOT_RECORDED),
        "least_delay_ms": NOT_RECORDED if written.least_delay_ms is None else str(written.least_delay_ms),
        "content_sha256": written.digest,
        "day_file_sha256": origin.day_file_sha256,
    }
    lines = [HEAD, *(f"# {name}: {plain(' '.join(value.split()))}" for name, value in figures.items())]
    lines += [f"{digest}  {name}" for name, digest in files.items()]
    return parse("\n".join([*lines, ""]).encode(), layout.certificate_name(day))


def parse(text: bytes, name: str) -> Certificate:
    """Reads a certificate; `name` is the name of its file, for messages. ArchiveError if it is not one.

    It says nothing of the signature.
    """
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        lines = []
    figures: dict[str, str] = {}
    files: dict[str, str] = {}
    for line in lines[1:-1]:
        if found := _FIGURE.fullmatch(line):
            if figures.setdefault(found[1], found[2]) != found[2]:
                raise ArchiveError(f"{name} gives {found[1]} twice: it was changed")
        elif found := _FILE.fullmatch(line):
            files[found[2]] = found[1]
        else:
            raise ArchiveError(f"{name} has a line that no certificate has: {line[:80]!r}")
    certificate = Certificate(text, figures, files)
    if not lines or lines[0] != HEAD or lines[-1] != "" or not _is_whole(certificate):
        raise ArchiveError(f"{name} is not a certificate of this program, or is damaged")
    return certificate


def _is_whole(certificate: Certificate) -> bool:
    """Whether it has every figure that this program needs."""
    figures = certificate.figures
    digests = [figures.get(name, "") for name in ("content_sha256", "day_file_sha256")]
    numbers = [figures.get(name, "") for name in ("number", "rows")]
    try:
        market.parse_day(figures.get("day", ""))
    except ValueError:
        return False
    days = {layout.day_of(name) for name in certificate.files}
    return (
        all(map(_DIGEST.fullmatch, digests))
        and all(map(_COUNT.fullmatch, numbers))
        and bool(_DIGEST.fullmatch(figures.get("previous", "")) or figures.get("previous") == NONE)
        and figures.get("verdict") in STANDINGS
        and "previous_day" in figures
        and days == {certificate.day}
        and {name.partition("/")[0] + "/" for name in certificate.files} == {layout.TICKS, layout.BOOKS}
        and len(certificate.files) == 2
    )


def _time(ms: int | None) -> str:
    return NONE if ms is None else market.hkt(ms).isoformat(timespec="seconds")
