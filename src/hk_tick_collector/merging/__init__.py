"""The union of several collectors: their ticks from the stream → day files of a directory of its own.

Enters: messages of the stream, in the order of the stream. Leaves: day files like those of a collector, each
`(symbol, seq)` once, with the gaps that no collector could fill. Ticks are a set that only grows, so a message that
arrives twice, late or out of order changes nothing.

serving.py    the process: its lock, its signals, its live state
service.py    connects, reads the stream, merges, until it is told to stop
incoming.py   bytes of messages → ticks and sums, or why they are refused
parts.py      what the modules pass to each other: ticks of one collector and one day, a position in the stream
merger.py     ticks → day files of the union; if the collectors number ticks differently, also files of each collector
days.py       ticks → transactions of day files, with their gaps and with the position
committing.py repeats a transaction until the disk accepts it; seals finished days
positions.py  day files → from where the stream must be read after a start
agreement.py  whether two collectors number the same ticks in the same way
sums.py       what a collector has sent, compared with what is merged → the symbols to ask it for again
requests.py   which collectors are asked again, and how often
totals.py     OpenD's totals, as collectors sent them, compared with the union
pauses.py     how long to wait after a day file was damaged
ownership.py  whether the day files of a directory are those of a merge
notes.py      what happened → live state, log lines

The position in the stream is written in the transaction of the ticks. So after a kill only messages whose ticks were
not committed are read again.
"""
