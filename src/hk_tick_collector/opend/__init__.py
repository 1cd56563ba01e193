"""OpenD's protocol without I/O: bytes in, events and bytes out, time an argument.

frame.py     bytes ↔ frames (header, SHA-1)
crypto.py    the bodies of an encrypted connection
messages.py  protocol numbers, and the messages of `opend.proto`
convert.py   the vendor's Ticker → our tick
protocol.py  one connection from InitConnect to its end
"""
