"""Returns memory to the system after start-up and after busy times, and keeps garbage collections short."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

MIN_PAUSE_SECONDS = 5.0
"""Shortest pause between two looks at the memory."""

MAX_PAUSE_SECONDS = 20.0
"""Longest pause, while looking finds nothing to release."""

WORTH_BYTES = 8 * 2**20
"""Bytes that must have been added since the smallest size so far before it is worth releasing memory."""


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
    """From now on release memory whenever `is_idle` and the process has grown.

    Otherwise the process would keep the peak of a burst of requests for good. Call it in the event loop. It
    does nothing on systems other than Linux.
    """
    if sys.platform != "linux":
        return
    loop = asyncio.get_running_loop()
    enough = resident_bytes()

    def look(pause: float) -> None:
        nonlocal enough
        before = resident_bytes()
        if is_idle() and before > enough + WORTH_BYTES:
            release_memory()
            after = resident_bytes()
            enough = min(enough, after)
            is_released = after < before - WORTH_BYTES
            pause = MIN_PAUSE_SECONDS if is_released else min(2 * pause, MAX_PAUSE_SECONDS)
        loop.call_later(pause, look, pause)

    loop.call_later(MIN_PAUSE_SECONDS, look, MIN_PAUSE_SECONDS)
