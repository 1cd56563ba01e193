"""The only part that opens SQLite: one file per Hong Kong trading day, one writer, any number of readers.

schema.py   tables and migrations
dayfile.py  the only writer
query.py    every SELECT, on read-only connections of their own
"""
