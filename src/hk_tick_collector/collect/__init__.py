"""The running service: ticks from OpenD into day files.

The data goes connection → buffer → writing. `loading` reads from day files what `gaps` must know. `reporting` writes
the live state and log lines. assembly.py creates the parts, service.py runs them from start to stop.
"""
