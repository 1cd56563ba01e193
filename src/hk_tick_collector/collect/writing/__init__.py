"""The writer thread, its day files, and the recovery of a blocked writer thread.

Enters: rows of `buffer`. Leaves: committed transactions. Start reading at writer.py.
"""
