"""Messages to systemd, received on a socket like systemd's."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.ops.live.systemd_notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that receives sd_notify's datagrams."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(300)
        yield listener


def test_each_message_is_one_datagram(systemd: socket.socket) -> None:
    """As in sd_notify(3); a stop asks for its time in microseconds."""
    with closing(Notifier(systemd.getsockname())) as notifier:
        notifier.ready()
        notifier.alive()
        notifier.stopping(20.5)
    heard = [systemd.recv(4096) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1\nEXTEND_TIMEOUT_USEC=20500000"]


def test_the_status_text_is_one_line(systemd: socket.socket) -> None:
    """A line break would begin another assignment."""
    with closing(Notifier(systemd.getsockname())) as notifier:
        notifier.status("a cause\nMAINPID=1\n and  its remedy")
    assert systemd.recv(4096) == b"STATUS=a cause MAINPID=1 and its remedy"


def test_text_from_outside_is_cleaned(systemd: socket.socket) -> None:
    """`systemctl status` shows the text on a terminal; half a character is replaced, and the message still sent."""
    with closing(Notifier(systemd.getsockname())) as notifier:
        notifier.status("訂閱\x1b[2J\x07\u202e\ud800")
    assert systemd.recv(4096).decode() == "STATUS=訂閱\\x1b[2J\\x07\\u202e\\ud800"


def test_without_a_listener_nothing_is_sent(tmp_path: Path) -> None:
    """Without systemd, or if its socket is gone, nothing happens."""
    for address in (None, str(tmp_path / "gone")):
        with closing(Notifier(address)) as notifier:
            notifier.ready()
