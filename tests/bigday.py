"""A day file of millions of rows in seconds: the collector's own tables, filled in bulk."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw

from hk_tick_collector import market
from hk_tick_collector.store.dayfile import DayFile, StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS: Final = 900
_SECONDS: Final = 20_000  # over which the ticks of each symbol are spread, from 09:30 on


def make_big_day(path: Path, rows: int) -> int:
    """Makes the file as a collector leaves it after a clean stop; returns the number of rows: `rows` or a few less."""
    open_s = market.day_start_ms(market.parse_day(path.stem)) // 1000 + 34_200
    DayFile(path, path.stem, "earlier", open_s * 1000, "test", StoreOptions()).close()
    each = rows // SYMBOLS
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("synchronous", "off")
        db.pragma("journal_mode", "memory")
        trigger = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'ticks_counted'").get
        with db:
            db.execute("DROP TRIGGER ticks_counted")  # it counts one by one; here the sum is taken once
            db.execute(_FILL, {"symbols": SYMBOLS, "each": each, "open_s": open_s, "seconds": _SECONDS})
            db.execute(_COUNT)
            db.execute(trigger)
            total = SYMBOLS * each
            ledger = "INSERT INTO ledger VALUES ('earlier', ?, ?, 1, ?, ?, 0, 0, 0, 0)"
            db.execute(ledger, (open_s * 1000, open_s * 1000, total, total))
    return total


_FILL: Final = """
WITH RECURSIVE
    symbol (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM symbol WHERE n < :symbols),
    counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < :each)
INSERT INTO ticks
SELECT printf('HK.%05d', symbol.n), ((:open_s + counter.n * :seconds / :each) << 32) | counter.n,
       (:open_s + counter.n * :seconds / :each) * 1000, 388.2, 100, 38820.0, 'BUY', 'AUTO_MATCH', 'realtime',
       (:open_s + counter.n * :seconds / :each) * 1000 + 3,
       (:open_s + counter.n * :seconds / :each) * 1000 + 2, ' '
FROM symbol CROSS JOIN counter
"""
_COUNT: Final = """
INSERT INTO symbols (symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume, turnover, expected, rule)
SELECT symbol, count(*), min(ts_ms), max(ts_ms), max(seq), sum(volume), sum(turnover), count(*), 'counter'
FROM ticks GROUP BY symbol
"""
