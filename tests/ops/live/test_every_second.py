"""The loop of `publish` and `merge`: reports are written in order, and a disk that hangs stops nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from hk_tick_collector.ops.live.every_second import every_second
from hk_tick_collector.ops.live.systemd_notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_report_that_hangs_keeps_systemd_and_the_log_informed(tmp_path: Path) -> None:
    """The first report does not return: no second one begins, and WATCHDOG=1 and the summary go on."""
    hangs, begun, summaries, prepared = threading.Event(), list[int](), list[int](), list[int]()

    def report() -> None:
        begun.append(1)
        hangs.wait()

    async def story() -> None:
        enough = asyncio.Event()

        def prepare() -> Callable[[], None]:
            prepared.append(1)
            if len(prepared) >= 3 and begun:
                enough.set()
            return report

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            with closing(Notifier(systemd.getsockname())) as notifier:
                loop = asyncio.create_task(
                    every_second(notifier, lambda: "busy", prepare, lambda: summaries.append(1), 0.0)
                )
                await enough.wait()
                loop.cancel()
                with suppress(asyncio.CancelledError):
                    await loop
            heard = [systemd.recv(4096) for _ in range(6)]
        assert heard.count(b"WATCHDOG=1") >= 3

    try:
        asyncio.run(story())
    finally:
        hangs.set()
    assert begun == [1]
    assert len(summaries) >= 2
