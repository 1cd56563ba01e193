"""The running service, in the order of the data's way.

feed.py     OpenD's socket: connect, subscribe, stay alive, come back
intake.py   counts every tick, hands it to the queue
queue.py    rows between the network and the disk, bounded
writer.py   the thread that commits them to day files
service.py  puts the parts together: start, health, stop
"""
