"""Incidents of the fault table with real processes, and what an operator sees of each: for trials with people."""
