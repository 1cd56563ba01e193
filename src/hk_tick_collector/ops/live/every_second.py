"""What `publish` and `merge` do each second: they tell systemd that they are alive, and write their live state.

Input: texts and functions of the process. Output: messages to systemd, calls. It reads and writes no file itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable

    from .systemd_notify import Notifier

_SECOND_S: Final = 1.0


async def every_second(
    notifier: Notifier,
    status_line: Callable[[], str],
    prepare_report: Callable[[], Callable[[], None]],
    log_summary: Callable[[], None],
    summary_s: float,
) -> None:
    """Runs until it is cancelled. `status_line` is what `systemctl status` shows.

    `prepare_report` copies the live state and returns the function that writes it, which is called in a thread of its
    own; while a disk hangs, and the call before has not ended, none is begun. `log_summary` is called every `summary_s`
    seconds. An error of `status_line`, `prepare_report` or `log_summary` is raised.
    """
    background = Background("status")
    reporting: asyncio.Future[None] | None = None
    next_summary_s = time.monotonic() + summary_s
    while True:
        notifier.alive()
        notifier.status(status_line())
        report = prepare_report()
        if reporting is None or reporting.done():
            reporting = asyncio.ensure_future(background.run(report))
        if time.monotonic() >= next_summary_s:
            next_summary_s += summary_s
            log_summary()
        await asyncio.sleep(_SECOND_S)
