"""An OpenD that needs no account: a synthetic Hong Kong day, or a recorded one, over OpenD's own protocol.

The way of a tick: exchange (or a recording) → truth file → gateway → clients. The truth comes first, so that no client
ever holds a tick that the truth lacks, whatever kills the process. server.py sets the pace, plan.py is what to
simulate, control.py takes the steps of `faults` while it runs.
"""
