"""The tables of a day file, and the migrations that create them.

`user_version` is the version of the schema; `application_id` marks the file as ours. Each migration and its version
number are committed in one transaction. Other programs use the names of tables and columns (see docs/data-quality.md):
add columns and tables, never rename them.

`ticks` is WITHOUT ROWID, which needs less space than a rowid table with an index (docs/decisions/0003). A trigger keeps
the counters in `symbols`: SQLite runs it exactly for the inserted rows, not for the skipped duplicates.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x484B5443  # "HKTC"
VERSION: Final = 4
META_DRIFT: Final = "clock_drift_max_s"  # in meta: our clock minus OpenD's, the value of the day furthest from zero

TICK_COLUMNS: Final = (
    "symbol",
    "seq",
    "ts_ms",
    "price",
    "volume",
    "turnover",
    "direction",
    "tick_type",
    "push_type",
    "recv_ts_ms",
    "opend_recv_ts_ms",
    "type_sign",
)


def tick_columns(version: int) -> tuple[str, ...]:
    """The columns of `ticks` in a file of this schema version: the last two came with version 4."""
    return TICK_COLUMNS if version >= 4 else TICK_COLUMNS[:10]


_V1: Final = """
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ticks (
    symbol     TEXT    NOT NULL,  -- HK.00700
    seq        INTEGER NOT NULL,  -- the exchange feed's own sequence
    ts_ms      INTEGER NOT NULL,  -- when the trade happened, UTC epoch ms
    price      REAL    NOT NULL,  -- HKD
    volume     INTEGER NOT NULL,  -- shares
    turnover   REAL    NOT NULL,  -- HKD
    direction  TEXT    NOT NULL,  -- BUY SELL NEUTRAL UNKNOWN
    tick_type  TEXT    NOT NULL,  -- AUTO_MATCH ODD_LOT ... TYPE_n
    push_type  TEXT    NOT NULL,  -- realtime cache disconnect_refill backfill
    recv_ts_ms INTEGER NOT NULL,  -- when it reached our socket, UTC epoch ms
    PRIMARY KEY (symbol, seq)
) STRICT, WITHOUT ROWID;

-- One row for each symbol, updated in the transaction of its ticks, so that no reader has to count.
CREATE TABLE symbols (
    symbol      TEXT    PRIMARY KEY,
    rows        INTEGER NOT NULL,
    first_ts_ms INTEGER NOT NULL,
    last_ts_ms  INTEGER NOT NULL,
    max_seq     INTEGER NOT NULL,
    volume      INTEGER NOT NULL,  -- shares
    turnover    REAL    NOT NULL,  -- HKD
    expected    INTEGER            -- ticks that the feed's counter says there are; NULL where it does not tell
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ticks_counted AFTER INSERT ON ticks BEGIN
    INSERT INTO symbols VALUES (
        NEW.symbol, 1, NEW.ts_ms, NEW.ts_ms, NEW.seq, NEW.volume, NEW.turnover,
        -- seq = epoch second << 32 | counter, where the feed keeps to that pattern
        iif(abs((NEW.seq >> 32) - NEW.ts_ms / 1000) <= 10, NEW.seq & 0xFFFFFFFF, NULL))
    ON CONFLICT (symbol) DO UPDATE SET
        rows = rows + 1,
        first_ts_ms = min(first_ts_ms, excluded.first_ts_ms),
        last_ts_ms = max(last_ts_ms, excluded.last_ts_ms),
        max_seq = max(max_seq, excluded.max_seq),
        volume = volume + excluded.volume,
        turnover = turnover + excluded.turnover,
        expected = max(expected, excluded.expected);  -- NULL once a tick broke the pattern
END;

-- One row for each contiguous gap.
CREATE TABLE gaps (
    symbol     TEXT    NOT NULL,
    from_seq   INTEGER,
    to_seq     INTEGER,
    from_ts_ms INTEGER,
    to_ts_ms   INTEGER,
    missing    INTEGER,            -- ticks still not stored; NULL where unknown
    cause      TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('open', 'healed')),
    opened_ms  INTEGER NOT NULL,
    closed_ms  INTEGER,
    id         INTEGER PRIMARY KEY
) STRICT;
CREATE INDEX gaps_by_symbol ON gaps (symbol, status);

-- One row for each period with or without a connection to OpenD; to_ms is NULL while it lasts.
CREATE TABLE connections (
    from_ms   INTEGER NOT NULL,
    to_ms     INTEGER,
    connected INTEGER NOT NULL CHECK (connected IN (0, 1)),
    conn_id   INTEGER,
    reason    TEXT    NOT NULL     -- why not connected, or what ended the stretch
) STRICT;

-- One row for each run of the service: received = stored + duplicate + rejected + dropped + waiting.
CREATE TABLE ledger (
    run_id     TEXT    PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    commits    INTEGER NOT NULL,  -- tells after a failed commit whether it happened all the same
    received   INTEGER NOT NULL,
    stored     INTEGER NOT NULL,
    duplicate  INTEGER NOT NULL,
    rejected   INTEGER NOT NULL,
    dropped    INTEGER NOT NULL,
    waiting    INTEGER NOT NULL,
    CHECK (received = stored + duplicate + rejected + dropped + waiting)
) STRICT, WITHOUT ROWID;
"""

# Symbols whose counter is not the number of their ticks: symbol, counter, number. Reads the keys of all ticks.
MISCOUNTED: Final = """SELECT symbol, ifnull(counted.rows, 0), ifnull(stored.rows, 0)
    FROM symbols AS counted
    FULL JOIN (SELECT symbol, count(*) AS rows FROM ticks GROUP BY symbol) AS stored USING (symbol)
    WHERE counted.rows IS NOT stored.rows ORDER BY 1"""

_V2: Final = """
-- One row for each symbol and session: our sums and OpenD's totals of the day so far.
CREATE TABLE reconciliation (
    session           TEXT    NOT NULL CHECK (session IN ('lunch', 'close')),
    symbol            TEXT    NOT NULL,
    at_ms             INTEGER NOT NULL,  -- when both were read
    volume            INTEGER NOT NULL,  -- shares, of all stored ticks
    turnover          REAL    NOT NULL,  -- HKD
    odd_lot_volume    INTEGER NOT NULL,  -- of which ODD_LOT
    odd_lot_turnover  REAL    NOT NULL,
    late_volume       INTEGER NOT NULL,  -- of which LATE
    late_turnover     REAL    NOT NULL,
    official_volume   INTEGER,           -- NULL where OpenD gave none
    official_turnover REAL,
    explained         TEXT    NOT NULL,  -- match, gap, unexplained ...: see docs/data-quality.md
    PRIMARY KEY (session, symbol)
) STRICT, WITHOUT ROWID;
"""

# Only the collector decides whether a symbol follows the rule. In version 1 a trigger decided it, and one wrong tick
# made the completeness of the symbol unknown for the whole day. The trigger now increases `expected` by 1 for each row.
# The collector corrects `expected` in the transaction of a gap: rows + ticks missing in open gaps + received ticks that
# are not in this file (rejected, or stored in another day's file).
_V3: Final = """
ALTER TABLE symbols ADD COLUMN rule TEXT NOT NULL DEFAULT '';       -- counter, none; '' before it is judged
ALTER TABLE symbols ADD COLUMN run_seq INTEGER NOT NULL DEFAULT 0;  -- where the counter began anew within the day
UPDATE symbols SET rule = iif(expected >= rows, 'counter', '');
UPDATE symbols SET expected = NULL WHERE rule = '';

DROP TRIGGER IF EXISTS ticks_counted;
CREATE TRIGGER ticks_counted AFTER INSERT ON ticks BEGIN
    INSERT INTO symbols (symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume, turnover)
    VALUES (NEW.symbol, 1, NEW.ts_ms, NEW.ts_ms, NEW.seq, NEW.volume, NEW.turnover)
    ON CONFLICT (symbol) DO UPDATE SET
        rows = rows + 1,
        first_ts_ms = min(first_ts_ms, excluded.first_ts_ms),
        last_ts_ms = max(last_ts_ms, excluded.last_ts_ms),
        max_seq = max(max_seq, excluded.max_seq),
        volume = volume + excluded.volume,
        turnover = turnover + excluded.turnover,
        expected = expected + 1;
END;
"""

# Neither column can be computed later or bought. SQLite writes the text of a new column between the one before it and
# that one's comment, hence the comments in this form. Existing rows are not written again: they have NULL.
_V4: Final = """
ALTER TABLE ticks ADD COLUMN opend_recv_ts_ms INTEGER /* when it reached OpenD, UTC epoch ms; NULL if not sent */;
ALTER TABLE ticks ADD COLUMN type_sign TEXT /* the exchange's letter for tick_type; NULL if not sent; recv_ts_ms: */;

-- One row for each symbol: what OpenD says of it on this day. A later answer replaces the row.
CREATE TABLE instruments (
    symbol         TEXT    PRIMARY KEY,
    name           TEXT,               -- as OpenD sends it, at most 64 characters
    lot_size       INTEGER,            -- shares
    type           TEXT,               -- STOCK ETF WARRANT ... TYPE_n
    suspended      INTEGER CHECK (suspended IN (0, 1)),
    listing_date   TEXT,               -- 2004-06-16
    previous_close REAL,               -- HKD
    updated_ms     INTEGER NOT NULL    -- when OpenD answered, UTC epoch ms
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: Final = (_V1, _V2, _V3, _V4)  # MIGRATIONS[n] migrates from version n to n + 1
