"""A live view in a terminal: of a running service (`top`), or of the service that `demo` runs.

It uses what any other program can use: `status.json` and the day file.

    sample.py    what is read once a second         observer.py  the process that reads it
    history.py   counters → ticks a second          disk.py      a disk that may hang, asked each second
    choice.py    keys → page, order, symbol         keys.py      bytes → keys
    cells.py     columns, broken lines              figures.py, tables.py, help.py, frame.py   lines
    terminal.py  the terminal, and its signals      view.py      the loop
"""
