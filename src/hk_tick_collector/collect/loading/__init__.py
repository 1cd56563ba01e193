"""What day files tell the trackers of `gaps` when a day is first seen, read in threads of their own.

Enters: the number of a day. Leaves: its gaps and counters. Starts at loader.py.
"""
