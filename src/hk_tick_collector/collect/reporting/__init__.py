"""What the service tells of itself once a second: live state, health lines, gaps. It reads the other parts.

Starts at heartbeat.py.
"""
