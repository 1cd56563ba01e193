"""Stops the service before a memory limit (RLIMIT_AS) is reached, while there is still enough memory to store all rows.

At the limit the process can die without any message, for example when a stack cannot grow. So a reserve is allocated at
the start. Each second a small allocation is tried. When it fails, the reserve is freed and the service stops itself.
"""

from __future__ import annotations

import ctypes
import mmap
import resource
from contextlib import suppress
from typing import Final

from hk_tick_collector.errors import StoreError

_RESERVE_BYTES: Final = (64 << 20, 32 << 20, 16 << 20, 8 << 20)  # the first size that leaves enough memory
_PROBE_BYTES: Final = 4 << 20
_M_ARENA_MAX: Final = -8  # from glibc's malloc.h
_LEAST_BYTES: Final = 112 << 20  # needed to start, mostly for the stacks of threads
_ROOM_BYTES: Final = 128 << 20  # needed by the service after its start, mostly for stacks and arenas of threads


def require_memory() -> None:
    """Raises StoreError when the memory limit is too low to start. Call it before the first thread is started, because
    the process could die there without any message.

    With a limit, all threads share one malloc arena: otherwise glibc reserves 64 MB of address space for each thread.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    with suppress(AttributeError, OSError):  # a C library other than glibc does not have it
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    if not _can_allocate(_LEAST_BYTES):
        raise limit_too_low(limit)


def limit_too_low(limit: int) -> StoreError:
    """The error for a memory limit, in bytes, with which nothing can start."""
    return StoreError(
        f"the memory limit of {limit >> 20} MB (RLIMIT_AS, ulimit -v) is too low to start",
        hint="ulimit -v unlimited, or raise LimitAS= of the unit",
    )


class MemoryGuard:
    """Detects that memory is about to run out. The reserve is only address space: it uses no physical memory."""

    def __init__(self) -> None:
        self._limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        self._reserve = self._take_reserve()  # also without a limit: another process may set one later

    def short(self) -> bool:
        """Whether so little memory is left that the service must stop."""
        if not self._limited:
            self._limited = (
                resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
            )  # set by another process
        return self._limited and not _can_allocate(_PROBE_BYTES)

    def release(self) -> None:
        """Frees the reserve, so that there is memory for the stop."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    @staticmethod
    def _take_reserve() -> mmap.mmap | None:
        for size in _RESERVE_BYTES:
            if _can_allocate(size + _ROOM_BYTES):
                return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return None


def _can_allocate(size: int) -> bool:
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True
