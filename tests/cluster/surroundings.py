"""What a trial changes around its programs: small disks, wrong clocks, a stream with other settings."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.engine import ask
from hk_tick_collector.jetstream.streams import wanted
from hk_tick_collector.jetstream.subjects import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class NotHereError(Exception):
    """This machine lacks what a trial needs: rights, or a package of Debian."""


@contextmanager
def small_disks(places: Sequence[Path], size_kb: int) -> Iterator[Callable[[], None]]:
    """Mounts a file system of this size at each place; yields a function that makes all of them large."""

    def grow() -> None:
        for place in places:
            subprocess.run(["mount", "-o", "remount,size=2G", str(place)], check=True)

    with ExitStack() as stack:
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}K,mode=0750", "tmpfs", str(place)]
            if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
                raise NotHereError("mounting a small file system is not permitted here")
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
        yield grow


def with_clock(environ: dict[str, str], shift_s: int, directory: Path) -> None:
    """Changes the environment of a program so that its wall clock is wrong by so much; its monotonic clock is right."""
    listed = subprocess.run(["dpkg-query", "-L", "libfaketime"], capture_output=True, text=True, check=False).stdout
    library = next((line for line in listed.splitlines() if "/libfaketimeMT.so" in line), None)
    if library is None:
        raise NotHereError("a wrong clock needs the Debian package libfaketime")
    waits = directory / "plain_waits.so"
    if not waits.exists():
        source = os.path.abspath("tests/preloaded/plain_waits.c")  # noqa: PTH100
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(waits), source], check=True)
    environ |= {
        "FAKETIME": f"{shift_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "LD_PRELOAD": f"{waits} {library}",
    }


def make_stream(urls: Sequence[str], **settings: Any) -> None:
    """Creates the stream before `publish` does, with some settings of its own."""

    async def create() -> None:
        connection = await connect(Servers(tuple(urls), "trial"))
        try:
            await ask(connection, f"STREAM.CREATE.{STREAM}", {**wanted(1), **settings})
        finally:
            await connection.close()

    asyncio.run(create())
