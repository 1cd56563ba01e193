"""How many single-tick pushes a second the simulator sends: one process makes and sends, another reads and discards.

    python bench/simulator.py [--pushes 500000] [--symbols 900] [--truth] [--ticks-per-push 1] [--loop uvloop]

Prints one line: pushes a second of real time, and of the sender's CPU time, which is the rate of one whole core.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from pathlib import Path

import uvloop

from hk_tick_collector import log
from hk_tick_collector.opend import messages
from hk_tick_collector.opend.crypto import ENC_ALGO_NONE
from hk_tick_collector.opend.frame import encode_frame
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.simulator.plan import Gateway, Plan
from hk_tick_collector.simulator.server import Simulator

_RECEIVE_BYTES = 1 << 20


def discard(port: int, symbols: list[str]) -> None:
    """Subscribes to everything and discards what it receives."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        requests = [
            (messages.INIT_CONNECT, messages.init_connect("bench", ENC_ALGO_NONE)),
            (messages.SUB, messages.subscribe(symbols)),
        ]
        for serial, (proto_id, request) in enumerate(requests, start=1):
            peer.sendall(encode_frame(proto_id, serial, request.SerializeToString()))
        buffer = bytearray(_RECEIVE_BYTES)
        try:
            while peer.recv_into(buffer):
                pass
        except ConnectionResetError:
            pass  # the simulator ends at once


async def measure(options: argparse.Namespace, truth: Path | None) -> None:
    """Sends as fast as one core can, and prints the figures."""
    symbols = default_symbols(options.symbols)
    total = options.pushes * options.ticks_per_push
    plan = Plan(symbols=symbols, rate=options.rate, total=total, wait=True, truth=truth, fills=options.ticks_per_push)
    async with Simulator(plan, Gateway(port=0, buffer_bytes=1 << 30)) as simulator:
        reader = multiprocessing.get_context("spawn").Process(target=discard, args=(simulator.port, symbols))
        reader.start()
        await simulator.started()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await simulator.finished()
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        pushes = simulator.pushes
    reader.join()
    print(
        f"simulator pushes={pushes} ticks={simulator.ticks} symbols={len(symbols)} truth={truth is not None} "
        f"pushes_per_s={pushes / wall_s:.0f} pushes_per_cpu_s={pushes / cpu_s:.0f}"
    )


def main() -> None:
    """Reads the arguments and measures once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pushes", type=int, default=500_000)
    parser.add_argument("--rate", type=float, default=250_000, help="ticks/s to request: more than it can make")
    parser.add_argument("--symbols", type=int, default=900)
    parser.add_argument("--ticks-per-push", type=int, default=1)
    parser.add_argument("--truth", action="store_true", help="write the truth file too")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    log.configure("WARNING")
    run = uvloop.run if options.loop == "uvloop" else asyncio.run
    with tempfile.TemporaryDirectory() as directory:
        run(measure(options, Path(directory, "truth.tsv") if options.truth else None))


if __name__ == "__main__":
    main()
