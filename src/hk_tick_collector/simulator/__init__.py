"""An OpenD that needs no account: a synthetic Hong Kong day, or a recorded one, over OpenD's own protocol.

A tick goes from the exchange (or a recording) to the truth file, the gateway and the clients. The truth file is written
first, so that no client ever has a tick that the file lacks, even if the process is killed. server.py sets the pace,
plan.py says what to simulate, control.py takes steps of `faults` at run time.
"""
