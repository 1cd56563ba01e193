"""Day files in SQLite: one file for each Hong Kong trading day, one writer, any number of readers. Only this package
opens SQLite.

schema.py   tables and migrations
dayfile.py  the only writer
query.py    every SELECT, on separate read-only connections
"""
