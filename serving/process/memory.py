"""Returns memory to the system after start-up and after busy times, and keeps garbage collections short."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

MIN_PAUSE_SECONDS = 5.0
"""Shortest pause between two checks of the memory."""

MAX_PAUSE_SECONDS = 20.0
"""Longest pause between two checks, after several that released nothing."""

MIN_GROWTH_BYTES = 8 * 2**20
"""Bytes by which the process must exceed its smallest size so far before memory is released."""


def settle_memory() -> None:
    """Release what start-up no longer needs, and keep the rest out of garbage collections.

    The objects of start-up live as long as the process. Full collections would only walk them again and delay
    requests. Requests seldom make reference cycles, so collections run less often than by default.
    """
    release_memory()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def release_memory() -> None:
    """Collect garbage and return freed memory to the system; glibc keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def resident_bytes() -> int:
    """Resident memory of this process; only on Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def release_when_idle(is_idle: Callable[[], bool]) -> None:
    """From now on, release memory whenever `is_idle()` is true and the process has grown.

    Otherwise the process would never return the memory that a burst of requests needed. Call this in the
    event loop. It does nothing on systems other than Linux.
    """
    if sys.platform != "linux":
        return
    loop = asyncio.get_running_loop()
    smallest = resident_bytes()

    def check(pause: float) -> None:
        nonlocal smallest
        before = resident_bytes()
        if is_idle() and before > smallest + MIN_GROWTH_BYTES:
            release_memory()
            after = resident_bytes()
            smallest = min(smallest, after)
            is_released = after < before - MIN_GROWTH_BYTES
            pause = MIN_PAUSE_SECONDS if is_released else min(2 * pause, MAX_PAUSE_SECONDS)
        loop.call_later(pause, check, pause)

    loop.call_later(MIN_PAUSE_SECONDS, check, MIN_PAUSE_SECONDS)
