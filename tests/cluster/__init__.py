"""Trials of several hosts with faults: all with `make soak ARGS=--cluster`, some short ones in the ordinary suite."""
