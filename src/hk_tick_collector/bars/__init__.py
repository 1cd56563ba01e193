"""Bars of ticks: open, high, low, close and volumes by time, or by a number of ticks, shares or HKD.

spec.py      what is asked for; needs no extra
sessions.py  the parts of a day that a bar never crosses
chunks.py    batches of ticks → chunks of whole symbols, as arrays
cutting.py   a chunk → where each bar begins
summing.py   a chunk and its bars → columns
stream.py    batches of ticks → batches of bars; its docstring has the rules

Which ticks count, and why: docs/bars.md. Needs the extra `data`.
"""
