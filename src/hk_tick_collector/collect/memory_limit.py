"""A limit of memory (RLIMIT_AS) is seen before it is met: then there is still room to store what is held.

Beyond the limit nothing is certain: a stack that cannot grow ends the process without a word. So a reserve is taken at
the start, each second it is tried whether a little more could be had, and once that fails the reserve is given back
and the service ends itself.
"""

from __future__ import annotations

import ctypes
import mmap
import resource
from contextlib import suppress
from typing import Final

from hk_tick_collector.errors import StoreError

_RESERVE_BYTES: Final = (64 << 20, 32 << 20, 16 << 20, 8 << 20)  # the first that leaves room
_PROBE_BYTES: Final = 4 << 20
_M_ARENA_MAX: Final = -8  # of glibc's malloc.h
_LEAST_BYTES: Final = 112 << 20  # the stacks of a start's threads above all
_ROOM_BYTES: Final = 128 << 20  # what the service itself takes after its start, threads' stacks and arenas above all


def demand_room() -> None:
    """Raises StoreError where a limit of memory leaves too little for a start: the first thread may end it without a
    word. To be called before there is one.

    Under a limit all threads share one arena: glibc would reserve 64 MB of addresses for each.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    with suppress(AttributeError, OSError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    if not _is_room_for(_LEAST_BYTES):
        raise StoreError(
            f"a limit of {limit >> 20} MB of memory (RLIMIT_AS, ulimit -v) is too little to start",
            hint="ulimit -v unlimited, or raise LimitAS= of the unit",
        )


class MemoryGuard:
    """Knows whether memory is about to run out. The reserve is address space alone: no page of it is used."""

    def __init__(self) -> None:
        self._limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        self._reserve = self._take_reserve()  # also without a limit: one may be set from outside

    def short(self) -> bool:
        """Whether so little is left under the limit that it is time to end."""
        if not self._limited:
            self._limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY  # set from outside
        return self._limited and not _is_room_for(_PROBE_BYTES)

    def release(self) -> None:
        """Gives the reserve back, for the work of the end."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    @staticmethod
    def _take_reserve() -> mmap.mmap | None:
        for size in _RESERVE_BYTES:
            if _is_room_for(size + _ROOM_BYTES):
                return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return None


def _is_room_for(size: int) -> bool:
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True
