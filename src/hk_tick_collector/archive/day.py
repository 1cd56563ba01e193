"""Archives one sealed day: ticks, book, and last the certificate, so that a certificate always has its files.

A run that was killed leaves a day without certificate, which counts as not archived; the next run finishes it.
"""

from __future__ import annotations

import errno
import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.errors import ArchiveError, OtherContentError, StoreError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.store.book import write_book

from . import layout, ticks
from .certificate import Origin, make
from .check import signer_of
from .content import columns_of, content_of, lacking
from .facts import demand_sealed, read_facts
from .signers import signers_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .certificate import Certificate
    from .chain import Chain
    from .facts import DayFacts
    from .places import Place
    from .sshsig import SigningKey
    from .ticks import Progress, Written

ARCHIVED: Final = "archived"
REPLACED: Final = "replaced"  # it was archived with other content, which is in _superseded/ now
ALREADY: Final = "already"  # it was archived with the same content

_READ_BYTES: Final = 2**20


class Run(NamedTuple):
    """One run that archives days. It holds the place: `workspace` is what `Place.hold` gave."""

    place: Place
    workspace: Path
    key: SigningKey
    instance: str  # INSTANCE_ID
    progress: Progress
    now_ms: Callable[[], int]  # UTC epoch ms


class Outcome(NamedTuple):
    """What became of a day."""

    state: str  # archived, replaced, already
    certificate: Certificate
    size_bytes: int  # of its files in the archive; 0 if nothing was stored
    seconds: float


def archive_day(run: Run, chain: Chain, source: Path, *, replace: bool = False) -> Outcome:
    """Archives the day of a sealed day file, or finds that the same content is archived already.

    Adds the certificate to `chain`. Raises the errors of DayReader and StoreError for a day file that cannot be
    archived, OtherContentError if other content of the day is archived and `replace` is not set, ArchiveError if the
    archive cannot be used.
    """
    began_s = time.monotonic()
    day = source.stem
    before = chain.by_day.get(day)
    if day in chain.damaged:
        raise ArchiveError(chain.damaged[day], hint="hk-tick-collector certificate --check; move it away to go on")
    state = _state(source)  # before anything is read
    facts = read_facts(source)
    demand_sealed(source, facts)
    origin = Origin(run.instance, need("pyarrow", "data").__version__, *_identified(source, run), chain.last)
    if before is not None and _is_same(run, before, source, facts, origin.day_file_sha256):
        damaged = _damaged(run, before)
        if not damaged:
            return Outcome(ALREADY, before, 0, time.monotonic() - began_s)
        if not replace:
            raise OtherContentError(
                damaged,
                hint="--replace archives the day anew and keeps the old files in _superseded/",
            )
    elif before is not None and not replace:
        raise OtherContentError(
            f"{layout.dashed(day)} is archived with other content than {source} has",
            hint="find out which one is right; --replace archives it anew and keeps the old files in _superseded/",
        )
    drafts, written = _prepare(run, source, facts)
    if _state(source) != state:
        raise StoreError(f"{source} changed while it was archived", hint="archive it again once nothing writes to it")
    if before is not None:
        _set_aside(run.place, before)
    _clear_leftovers(run.place, day, drafts)
    sizes = [_store(run.place, name, draft) for name, draft in drafts.items()]
    certificate = make(day, facts, written, origin, {name: size[1] for name, size in zip(drafts, sizes, strict=True)})
    _store_certificate(run, certificate)
    if before is not None:
        chain.replaced.append(before)
    chain.by_day[day] = certificate
    stored_bytes = sum(size for size, _ in sizes)
    return Outcome(REPLACED if before else ARCHIVED, certificate, stored_bytes, time.monotonic() - began_s)


def _identified(source: Path, run: Run) -> tuple[str, int]:
    return _file_sha256(source, run), run.now_ms()


def _is_same(run: Run, before: Certificate, source: Path, facts: DayFacts, sha256: str) -> bool:
    """Whether the certificate in force is of this content. A restored day file has the same content in other bytes, and
    the file of an older version fewer columns.
    """
    try:
        names = columns_of(run.place, before.ticks_name)
    except ArchiveError:
        return before.day_file == sha256  # `_damaged` says what is wrong with it
    if lacking(names, source):
        return False
    if before.day_file == sha256:
        return True
    if before.content != content_of(source, names, facts.totals.rows, run.progress):
        return False
    book = run.workspace / "compared.db"
    book.unlink(missing_ok=True)
    write_book(source, book)
    return before.files[before.book_name] == _file_sha256(book, run)


def _damaged(run: Run, certificate: Certificate) -> str:
    """What of a day is not in the archive as it was signed, or why its signature is not valid; empty if all is right.

    Its content is that of the day file, so archiving it anew repairs it.
    """
    try:
        signer_of(run.place, certificate, [run.key.public, *signers_there(run.place)])
    except ArchiveError as error:
        return f"{layout.certificate_name(certificate.day)} in {run.place.where}: {error}"
    for name, expected in certificate.files.items():
        found = run.place.stored(name)
        if found is None or found.sha256 != expected:
            return f"{name} is missing in {run.place.where} or is not what was signed"
    return ""


def _prepare(run: Run, source: Path, facts: DayFacts) -> tuple[dict[str, Path], Written]:
    """Writes ticks and book into the workspace: name in the archive → file, and what was written."""
    parquet, book = run.workspace / "ticks.parquet", run.workspace / "book.db"
    described = {
        "day": layout.dashed(source.stem),
        "schema": str(facts.schema),
        "software": f"hk-tick-collector {facts.meta.get('software_version')}",
    }
    with _full_disk_named(run.place):
        for draft in (parquet, book):
            draft.unlink(missing_ok=True)
        written = ticks.write(source, parquet, described, facts.totals.rows, run.progress)
        ticks.demand_counters(source, written, facts.counters)
        write_book(source, book)
    return {layout.ticks_name(source.stem, written.digest): parquet, layout.book_name(source.stem): book}, written


def _store(place: Place, name: str, draft: Path) -> tuple[int, str]:
    """Stores a file and reads it again where it lies: its size and SHA-256."""
    with draft.open("rb") as file:
        expected = hashlib.file_digest(file, "sha256").hexdigest()
    place.put_new(name, draft)
    found = place.stored(name)
    if found is None or found.sha256 != expected:
        raise ArchiveError(
            f"{name} in {place.where} is not what was stored there", hint="no certificate was made: check its disk"
        )
    return found.size_bytes, found.sha256


def _store_certificate(run: Run, certificate: Certificate) -> None:
    """Stores the signature first, so that a stored certificate can always be checked."""
    name = layout.certificate_name(certificate.day)
    for suffix, content in ((layout.SIGNATURE, run.key.sign(certificate.text)), ("", certificate.text)):
        draft = run.workspace / f"certificate{suffix}"
        with _full_disk_named(run.place):
            draft.write_bytes(content)
        run.place.put_new(name + suffix, draft)


def _set_aside(place: Place, before: Certificate) -> None:
    """Moves a certificate and its files to `_superseded/`: the certificate first, so that it never lacks its files."""
    name = layout.certificate_name(before.day)
    for each in (name, name + layout.SIGNATURE, *before.files):
        if place.exists(each):
            place.move(each, layout.superseded_name(each, layout.dashed(before.day), before.sha256))


def _clear_leftovers(place: Place, day: str, drafts: dict[str, Path]) -> None:
    """Moves files of the day without a certificate aside, unless they are equal to what will be stored.

    It is of a run that was killed, perhaps of an older version. A second file beside the ticks would double the day for
    whoever reads the whole directory.
    """
    signature = layout.certificate_name(day) + layout.SIGNATURE
    for name in [*place.list(layout.ticks_directory(day)), layout.book_name(day), signature]:
        found = place.stored(name)
        if found is None:
            continue
        if name in drafts:
            with drafts[name].open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == found.sha256:
                    continue
        place.move(name, layout.superseded_name(name, f"{layout.dashed(day)}-uncertified", found.sha256))


def _state(source: Path) -> tuple[int, int, int]:
    """A value that changes when any process writes to the file or replaces it."""
    found = source.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _file_sha256(path: Path, run: Run) -> str:
    """The SHA-256 of a local file, as hex digits."""
    digest, done = hashlib.sha256(), 0
    total = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            done += len(part)
            run.progress("hash", min(done, total), total)
    return digest.hexdigest()


@contextmanager
def _full_disk_named(place: Place) -> Iterator[None]:
    """Names the disk of the workspace when it is full or fails."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveError(
                f"the disk of {place.where} is full: the day was not archived", hint="free space there: df -h"
            ) from error
        raise ArchiveError(
            f"cannot write in {place.where} ({error.strerror or error})", hint="check its disk: sudo dmesg | tail"
        ) from error
