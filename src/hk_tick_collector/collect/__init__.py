"""The running service: ticks from OpenD into day files.

The data goes connection → buffer → writing. `loading` tells `gaps` what the files know, `reporting` tells the outside.
assembly.py puts the parts together, service.py runs them from start to stop. Below all: options.py, earlier_runs.py,
memory_limit.py.
"""
