"""The page of the verb `web`: one collector in a browser. It reads, and changes nothing. Extra `web`.

A process of its own: it reads `status.json`, day files and the archive as any member of the group may, and sends the
service no request.

server.py connections.py  the HTTP server and the limits of connections
guard.py hosts.py tokens.py login.py   who may ask, and under which name
app.py                    the routes
reading.py worker.py      what may hang is read by processes of their own
live_file.py feed.py      one reader of `status.json` for all browsers: a Moment a second
judging.py history.py today.py busiest.py   what a Moment is made of
board.py streams.py       server-sent events
pages.py words.py templates/ static/   pages in two languages; nothing is loaded from elsewhere
now.py                    the view *Now*
symbol.py symbol_load.py candles.py days.py   what the other views read, in processes of their own
symbol_watch.py days_watch.py   what was read is kept, and what is new is told
symbol_view.py symbol_frame.py days_view.py months.py symbol_words.py days_words.py   the views *Symbol* and *Days*
"""
