"""The figures of a certificate, read from a day file. What they prove is in proof.py."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector import market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.model import GAP_OPEN, UNSTORED_CAUSES
from hk_tick_collector.store.quality_reading import QualityReader
from hk_tick_collector.store.query import demand_day

from .proof import read_proof

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.store.query import Completeness, DayReader, Stretch, Totals

    from .proof import Proof

_OPEN_MS: Final = 9 * 3_600_000  # the pre-opening session begins at 09:00
_LEDGER: Final = ("received", "stored", "duplicate", "rejected", "dropped", "waiting")


class Gaps(NamedTuple):
    """The gaps of a day."""

    open: int
    of_unknown_size: int  # of the open ones
    healed: int  # closed: filled, rejected, in the file of another day, or there is no such tick
    rejected: int  # ticks that were received and could not be stored
    other_day: int  # ticks that were stored in the file of another day
    sha256: str  # of all of them: see docs/archive.md


class DayFacts(NamedTuple):
    """The figures of a day file, from one read transaction."""

    meta: dict[str, str]
    schema: int
    totals: Totals
    counters: dict[str, tuple[int, int]]  # symbol → ticks, volume (shares)
    completeness: Completeness
    missing: int  # in open gaps, as far as it is known
    gaps: Gaps
    ledger: dict[str, int]  # the sums over all runs
    without_opend_s: float | None  # between 09:00 and 16:08; None if the file records no connections, as a merged one
    reconciled_after: str  # close, lunch, or empty: the session of the last comparison with OpenD's totals
    reconciled: dict[str, int]  # what that comparison found → symbols
    proof: Proof

    @property
    def sealed_ms(self) -> int | None:
        """When the day was sealed, UTC epoch ms; None if it is not."""
        text = self.meta.get("sealed_ms", "")
        return int(text) if text.isascii() and text.isdigit() else None


def read_facts(path: Path) -> DayFacts:
    """Reads the figures of a day file. Raises the errors of DayReader."""
    with QualityReader(path) as reader, reader.snapshot():
        runs, compared = reader.ledger(), reader.reconciliation()
        return DayFacts(
            meta=reader.meta(),
            schema=reader.schema_version(),
            totals=reader.totals(),
            counters={each.symbol: (each.rows, each.volume) for each in reader.symbols()},
            completeness=reader.completeness(),
            missing=reader.incomplete(first_day=False).missing,
            gaps=_gaps(reader),
            ledger={name: sum(getattr(run, name) for run in runs) for name in _LEDGER},
            without_opend_s=_without_opend_s(path.stem, reader.connections()),
            reconciled_after=compared[0].session if compared else "",
            reconciled=dict(sorted(Counter(each.explained for each in compared).items())),
            proof=read_proof(reader, path.stem),
        )


def demand_sealed(path: Path, facts: DayFacts) -> int:
    """When the day was sealed, UTC epoch ms.

    StoreError if it is not sealed, is not one plain file yet, or is the file of another day.
    """
    wal = path.with_name(path.name + "-wal")
    if facts.sealed_ms is None or (wal.exists() and wal.stat().st_size):
        raise StoreError(
            f"{path.stem} is not sealed: ticks may still come, so it is not archived",
            hint="the collector seals a day from 06:00 on the next morning: hk-tick-collector status",
        )
    demand_day(path, path.stem, facts.meta)
    return facts.sealed_ms


def _gaps(reader: DayReader) -> Gaps:
    digest = hashlib.sha256()
    counts: Counter[str] = Counter()
    for gap in reader.each_gap():
        digest.update("|".join("" if value is None else str(value) for value in gap).encode() + b"\n")
        is_open = gap.status == GAP_OPEN
        counts["open" if is_open else "healed"] += 1
        counts["unknown"] += is_open and gap.missing is None
        if gap.cause in UNSTORED_CAUSES and not is_open:
            counts[gap.cause] += 1
    return Gaps(
        open=counts["open"],
        of_unknown_size=counts["unknown"],
        healed=counts["healed"],
        rejected=counts["rejected"],
        other_day=counts["other_day"],
        sha256=digest.hexdigest(),
    )


def _without_opend_s(day: str, stretches: list[Stretch]) -> float | None:
    """Seconds from 09:00 to 16:08 without a recorded connection; on a half day also the afternoon without trading."""
    if not stretches:
        return None
    start_ms = market.day_start_ms(market.parse_day(day))
    begin_ms, end_ms = start_ms + _OPEN_MS, market.close_ms(market.parse_day(day))
    at_ms, connected_ms = begin_ms, 0
    for stretch in sorted((each for each in stretches if each.connected), key=lambda each: each.from_ms):
        low_ms = max(stretch.from_ms, at_ms)
        high_ms = min(end_ms if stretch.to_ms is None else stretch.to_ms, end_ms)
        if high_ms > low_ms:
            connected_ms += high_ms - low_ms
            at_ms = high_ms
    return (end_ms - begin_ms - connected_ms) / 1000
