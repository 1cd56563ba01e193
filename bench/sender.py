"""The process that sends: the simulator's own connections and answers, with bytes that were prepared before.

    python -m bench.sender DIRECTORY

Input: the files of `stream.write_stream`; SIGUSR1 starts the next part, SIGTERM ends. Output: one line for each step on
stdout, with the monotonic clock, which is the same for all processes of a machine. It makes no ticks, because it must
use as little CPU as possible. GetTicker answers that there are no ticks, because none is missing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from hk_tick_collector import log
from hk_tick_collector.simulator.plan import Gateway, Plan
from hk_tick_collector.simulator.server import Simulator

from .stream import read_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hk_tick_collector.simulator.gateway.session import Session

    from .stream import Chunk

_WAITING_BYTES: Final = 4 << 20  # enough to keep the socket full while this process sleeps for a millisecond
_BUFFER_BYTES: Final = 1 << 30
_QUOTA: Final = 10_000


def tell(step: str, **facts: object) -> None:
    """Prints one line for the benchmark."""
    print(step, *(f"{key}={value}" for key, value in facts.items()), f"at_s={time.monotonic():.6f}", flush=True)


async def send(session: Session, chunks: Sequence[Chunk]) -> None:
    """Writes each chunk when it is due, and not faster than the other side reads."""
    begun_s = time.monotonic()
    for due_s, data in chunks:
        rest_s = begun_s + due_s - time.monotonic() if due_s else 0.0
        await asyncio.sleep(max(0.0, rest_s))
        await less_waiting(session, _WAITING_BYTES)
        session.push_frames([data])
    await less_waiting(session, 0)


async def less_waiting(session: Session, most_bytes: int) -> None:
    """Returns when no more than this many bytes wait for the socket; polls every millisecond."""
    while session.waiting_bytes > most_bytes:  # noqa: ASYNC110 - the simulator's session has no event to wait for
        await asyncio.sleep(0.001)


async def serve(directory: Path) -> None:
    """Listens, and sends one part after another to the one client, each on its own signal."""
    symbols, parts = read_stream(directory)
    word, stop = asyncio.Semaphore(0), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, word.release)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    plan = Plan(symbols=symbols, rate=0, wait=True)
    async with Simulator(plan, Gateway(port=0, quota=_QUOTA, buffer_bytes=_BUFFER_BYTES)) as simulator:
        tell("listening", port=simulator.port)
        await simulator.started()
        tell("subscribed")
        for chunks in parts:
            await word.acquire()
            (session,) = simulator.sessions.values()
            tell("begun")
            cpu_s = time.process_time()
            await send(session, chunks)
            tell("sent", cpu_s=time.process_time() - cpu_s)
        await stop.wait()


def main() -> None:
    """Reads the argument and runs until SIGTERM."""
    log.configure("WARNING")
    uvloop.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
