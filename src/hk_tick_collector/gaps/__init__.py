"""Which ticks are missing, and which symbols to ask OpenD for. No I/O: ticks, answers and times enter, gaps and
requests leave.

Start reading at tracker.py, which sees every tick and every answer. backfill_plan.py decides which symbol is asked for
next. push_watch.py finds symbols whose pushes have stopped.

Terms of this package:

    counter   the low 32 bits of a sequence; the high 32 bits are a second since 1970
    rule      the counter of a symbol starts at 1 each day and increases by one with each tick
    run       the ticks from one start of the counter to its next restart within the day
    answer    OpenD's reply to a GetTicker request
    window    the latest 1,000 ticks of a symbol: an answer has no others
    doubt     a gap of unknown size: a time range in which ticks may be missing
    lost      of a gap: OpenD can no longer fill it
"""
