"""The running service, in the order of the data's way.

wire.py           one connection: the protocol core on a socket
feed.py           the link: connect, stay alive, come back
session.py        what we want of a connection: state, subscriptions, calendar
notices.py        what OpenD tells of itself
questions.py      questions beside the data, and what is told of their failures
subscriptions.py  batches, and what a refusal costs
intake.py         counts every tick, hands it to the queue
rejections.py     what is told of rejected ticks
push_watch.py     who was pushed when, whose pushes have stopped; pure
holes.py          sees every tick and every answer of OpenD's, tells what is missing; pure
placing.py        where a tick belongs
answer.py         what an answer proves
judging.py        what follows from it
tracked.py        every symbol on every day
track.py          one symbol on one day; hole.py, lost.py: its gaps
day_loader.py     reads days in threads of its own
resume.py         where a day stands when its first tick is seen
rebuild.py        what a file really holds, when its counters cannot be believed
chunk.py          what travels from here on
queue.py          rows between the network and the disk, bounded
overflow.py       what memory cannot hold: to the spool and back, in order
writer.py         the thread that commits them to day files
days.py           the day files that are open now
day_check.py      the check of a finished day, beside the writer
held.py           ticks that wait for the file of their day
copyrule.py       whether commits wait for a copy; commithold.py asks it

healer.py         plans whom to ask for what is missing; pure
caretaker.py      asks, and looks after quiet symbols
gaps.py           what is told of holes
leftover.py       what an earlier run had to leave in its spool
seat.py           the writer in office, and its replacement
rescue.py         what the watchdog's judgement leads to
reconcile.py      our sums beside OpenD's own totals
pulse.py          the clock beside the data's way: live state, health lines, the roll of the day
alarm.py          from the live state to messages
courier.py        the thread that carries them to one destination
destination.py    one Apprise URL
exporter.py       the thread that serves the metrics

clock.py          now
memory.py         a reserve of address space
options.py        what each part is told at its start
parts.py          puts the parts together
service.py        from start to stop
"""
