"""Reads from day files what the tracker of `gaps` must know of a day, in separate threads.

Enters: the number of a day. Leaves: its gaps and counters. Start reading at loader.py.
"""
