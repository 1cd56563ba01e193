"""Reports of the running service: live state once a second, health lines, gap lines. It reads the other parts.

Start reading at heartbeat.py.
"""
