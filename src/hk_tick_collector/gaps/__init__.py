"""Which ticks are missing, and whom to ask for them. No I/O: ticks, answers, times come in, gaps and plans go out.

Starts at tracker.py, which sees every tick and every answer. backfill_plan.py decides whom to ask, push_watch.py whose
pushes have stopped.
"""
