"""Everything that talks to OpenD: connecting, subscribing, questions beside the ticks, backfill.

Enters: bytes of OpenD. Leaves: ticks, for `buffer`. Starts at feed.py.
"""
