"""The queries of the runbook, word for word."""

from __future__ import annotations

from typing import Final

QUERIES: Final = {
    "lag and count": "SELECT ROUND(strftime('%s','now')-MAX(ts_ms)/1000.0,3) AS lag_sec, COUNT(*) AS rows FROM ticks;",
    "rows by symbol": "SELECT symbol, COUNT(*) AS rows, MAX(seq) AS max_seq FROM ticks "
    "GROUP BY symbol ORDER BY rows DESC;",
    "count and newest": "SELECT COUNT(*), MAX(ts_ms) FROM ticks;",
    "newest": "SELECT datetime(MAX(ts_ms)/1000,'unixepoch') AS ts_utc, "
    "datetime(MAX(ts_ms)/1000,'unixepoch','localtime') AS ts_local FROM ticks;",
}
