"""OpenD's protocol without I/O. Bytes and the time enter; events and bytes leave.

frame.py     bytes ↔ frames (header, SHA-1)
crypto.py    the bodies of an encrypted connection
messages.py  protocol numbers, and the messages of `opend.proto`
convert.py   the vendor's Ticker → our tick
protocol.py  one connection from InitConnect to its end
"""
