"""Computes the digest of a day file's ticks over the columns of its archived file, which may be of an older schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hk_tick_collector.errors import ArchiveError
from hk_tick_collector.frames.ahead import ahead
from hk_tick_collector.frames.day_file import read_ticks
from hk_tick_collector.frames.extras import need
from hk_tick_collector.store.query import DayReader

from .digests import Digests

if TYPE_CHECKING:
    from pathlib import Path

    from .places import Place
    from .ticks import Progress


def columns_of(place: Place, name: str) -> tuple[str, ...]:
    """The columns of an archived Parquet file, from its footer. ArchiveError if it is damaged or of a later version."""
    pa, parquet = need("pyarrow", "data"), need("pyarrow.parquet", "data")
    from hk_tick_collector.frames.columns import NAMES, schema

    with place.open(name) as file:
        try:
            found = parquet.read_schema(file)
        except (OSError, pa.ArrowException, ValueError) as error:
            words = " ".join(str(error).split())[:200]
            raise ArchiveError(f"{name} is damaged ({words})", hint="hk-tick-collector certificate --check") from error
    names = tuple(found.names)
    if not set(names) <= set(NAMES) or not found.remove_metadata().equals(schema(names)):
        raise ArchiveError(
            f"{name} does not have the columns of an archived day that this version knows",
            hint="use the version of hk-tick-collector that archived it",
        )
    return names


def lacking(names: tuple[str, ...], day_file: Path) -> list[str]:
    """The columns with a value in a day file that an archived file with the columns `names` does not have.

    An older version may have archived a file of a newer schema. Raises the errors of DayReader.
    """
    from hk_tick_collector.frames.columns import COLUMNS

    with DayReader(day_file) as reader:
        there = [each for each in COLUMNS if each.name not in names and each.stored in reader.tick_columns]
        return [each.name for each in there if reader.has_values(each.stored)]


def content_of(day_file: Path, names: tuple[str, ...], rows: int, progress: Progress) -> str:
    """The digest of these columns, as in a certificate (`content_sha256`). Raises the errors of DayReader."""
    need("pyarrow", "data")
    from hk_tick_collector.frames.columns import schema

    digests = Digests(schema(names))
    for batch in ahead(read_ticks(day_file, columns=names, as_stored=True)):
        digests.update(batch)
        progress("compare", digests.rows, rows)
    return digests.content()
