"""An OpenD that needs no account: a synthetic Hong Kong day, or a recorded one, over OpenD's own protocol.

prices.py    HKEX's spread table as one ladder of every price there is
listing.py   what is listed: codes, names, board lots, prices, and how busy each is
timetable.py the phases of a trading day: market state, kind of trading, activity
market.py    the synthetic day: made ticks, slot by slot; pure and seeded
replay.py    a recorded day, slot by slot
truth.py     the file of every tick that was made
encode.py    made ticks → the bytes of OpenD's messages, by hand, for speed
tape.py      what has been made so far: the 1,000-tick windows and the day's totals
account.py   subscriptions and their quota
answers.py   one function a request: what OpenD answers
session.py   one client's connection
door.py      the listening socket
server.py    the whole: pace, beginning and end

scenario.py  the steps of a scenario as text, and when each is due
conditions.py what is wrong at this moment
faults.py    what each step does
odd_ticks.py, wrong_bytes.py, notices.py  what some of them send
control.py   a Unix socket that takes steps
verdict.py   truth against day files: the checker
truth_columns.py the truth in arrays, for it

The way of a tick: market (or replay) → truth file → tape → sessions. The truth comes first, so that no client ever
holds a tick that the truth lacks, whatever kills the process.
"""
