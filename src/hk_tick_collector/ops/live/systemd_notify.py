"""Reports to systemd: ready, alive, stopping, and one status line (sd_notify, its datagram protocol)."""

from __future__ import annotations

import contextlib
import math
import socket

from hk_tick_collector.text import plain


class Notifier:
    """Sends to systemd's socket, or nowhere if there is none.

    `address` is NOTIFY_SOCKET: a path, or `@name` in the abstract namespace. Send errors are ignored: systemd's own
    timers then report the service soon enough.
    """

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket:
            self._socket.setblocking(False)

    def ready(self) -> None:
        """The service is ready: units ordered after it may start."""
        self._send("READY=1")

    def alive(self) -> None:
        """Resets systemd's watchdog timer."""
        self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """Sets the line that `systemctl status` shows, also after the service has ended."""
        self._send("STATUS=" + " ".join(plain(line).split()))

    def stopping(self, within_s: float) -> None:
        """The service is stopping and stores its ticks; asks for that time, whatever the unit's TimeoutStopSec is."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={math.ceil(within_s * 1_000_000)}")

    def close(self) -> None:
        """Closes the socket."""
        if self._socket:
            self._socket.close()

    def _send(self, text: str) -> None:
        if self._socket and self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)
