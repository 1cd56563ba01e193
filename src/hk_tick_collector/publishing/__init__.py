"""Sends every committed tick of the day files to the stream. A process of its own: the verb `publish`. Extra `stream`.

Start reading at service.py. The day file is the outbox: what the engine loses is noticed and sent again.

options.py         what the process is told at its start
outbox.py          a day file and what was sent of it → the ticks to send next
days.py            which days are sent, each with its outbox
notes.py           what was sent, in the cursor file
messages.py        ticks → messages, sent and acknowledged
anchors.py         what the stream must still hold
totals.py          OpenD's totals of a day, for its sums
requests.py        which ticks readers want again
presence.py        whether another publisher has the same name
session.py         one connection: what is done until it is lost
figures.py         what was done → publish.json, log lines
service.py         connects, again and again, until it is told to stop

Nothing here writes to a day file or connects to the collector. While there is no connection to the engine, no file is
read: however long that lasts, it uses no memory and does not slow the collector.
"""
