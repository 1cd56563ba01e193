"""Values in batches of ticks that no collector writes: text that is not UTF-8, and impossible times.

SQLite has no checksums, so one changed bit of a disk gives such a value. Arrow takes it as it is, and the program that
uses it ends with a traceback later. Importing this module imports pyarrow.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from hk_tick_collector.store.bounded_reading import LATEST_MS

_compute: Final[Any] = pyarrow.compute


def fault_of(batch: pa.RecordBatch) -> str:
    """The first such value, like `ts is 9223372036854775800`; empty if there is none."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if fault := text_fault(column) or _time_fault(column):
            return f"{field.name} {fault}"
    return ""


def text_fault(column: Any) -> str:
    """What is wrong with a column of texts, plain or as codes of a dictionary; empty if nothing is."""
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        texts = column.dictionary if pa.types.is_dictionary(column.type) else column
        if (content := texts.buffers()[2]) is None or content.to_pybytes().isascii():
            return ""  # as all texts of a collector are; this takes a tenth of the time
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            return "has text that is not UTF-8"
    return ""


def _time_fault(column: Any) -> str:
    if pa.types.is_timestamp(column.type):
        ends = _compute.min_max(column.cast(pa.timestamp("ms", "UTC")).cast(pa.int64())).as_py()
        for ms in (ends["min"], ends["max"]):
            if ms is not None and not 0 <= ms < LATEST_MS:
                return f"is {ms}"
    return ""
