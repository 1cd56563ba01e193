"""The union of several collectors: their ticks from the stream → day files of a directory of its own.

Enters: messages of the stream, in the order of the stream. Leaves: day files like those of a collector, each
`(symbol, seq)` once, with the gaps that no collector could fill. Ticks are a set that only grows, so a message that
arrives twice, late or out of order changes nothing.

    parts.py      what the modules pass to each other: ticks of one collector and one day, a position in the stream
    days.py       parts → transactions of day files, with their gaps and with the position
    positions.py  day files → from where the stream must be read after a start
    agreement.py  parts → do two collectors number the same ticks in the same way?
    merger.py     parts → day files of the union; if the collectors' numbers differ, of each collector too
    ownership.py  is a directory one of a merge?
    sums.py       what a collector says that it has → the symbols to ask it for again

The position in the stream is written in the transaction of the ticks. So a merge that was killed reads the messages
again whose ticks it did not commit, and no others.
"""
