"""A small cluster of real processes on this machine: which `make cluster` and the trials of tests/cluster run.

Two hosts `a` and `b` have a simulated OpenD, a collector, `publish` and a nats-server each, host `c` has a nats-server
and `merge`. A host has a loopback address and a directory of its own; all its processes can be killed at once, as
when its power fails. Both OpenDs are fed by the same market: the same seed gives the same ticks.
"""
