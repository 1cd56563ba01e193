"""Received ticks that are not yet stored.

Enters: ticks of a connection. Leaves: rows in order of arrival, for `writing`. Start reading at intake.py.
"""
