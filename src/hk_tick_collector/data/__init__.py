"""The Python API: `hk_tick_collector.open` returns a `Store`, whose methods return results. Needs the extra `data`.

ranges.py      days and times, as a caller writes them
days.py        which days there are, and where the ticks of each are: archive or day file
requests.py    a request: symbols, days, times
tables.py      the other tables of a day: gaps, symbols, instruments
gap_count.py   the open gaps in a range, and what is done about them
proof.py       the certificate of a day, and the check against it
store.py       `Store`
result.py      `Result`: streams, or gives a frame
formats.py     batches → Parquet, CSV, Arrow, JSON lines
export.py      what an export reads and writes
complete.py    the same as complete files, or none
"""
