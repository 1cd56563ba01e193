"""Live state and time in, findings out: what is wrong, how grave it is, what to type. Most of it is pure.

Starts at health.py.
"""
