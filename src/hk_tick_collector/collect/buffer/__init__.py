"""What was received and is not yet stored.

Enters: ticks of a connection. Leaves: rows in the order in which they came, for `writing`. Starts at intake.py.
"""
