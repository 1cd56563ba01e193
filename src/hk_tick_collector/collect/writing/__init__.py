"""The writer thread, its day files, and what gets it going again when it is stuck.

Enters: rows of `buffer`. Leaves: committed transactions. Starts at writer.py.
"""
