"""Findings in, messages out: which are sent, when, with what text, and the threads that send them.

Start reading at alerter.py.
"""
