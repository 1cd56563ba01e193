"""What operators see of the running service. Nothing here changes anything.

status.py    the live state that the service leaves for other processes
health.py    live state + now → findings, and the one line that sums them up
watchdog.py  is the writer stuck, and what is to be done; pure
systemd.py   what systemd is told
"""
