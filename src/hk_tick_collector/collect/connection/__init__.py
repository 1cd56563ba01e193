"""Communication with OpenD: connecting, subscribing, state and calendar requests, backfill.

Enters: bytes from OpenD. Leaves: ticks, for `buffer`. Start reading at feed.py.
"""
