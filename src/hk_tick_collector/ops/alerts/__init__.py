"""Findings in, messages out: which are told, when, in which words, and the threads that send them.

Starts at alerter.py.
"""
