"""Memory that start-up and busy times leave behind, given back or put out of the way of the requests."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 5.0
"""How often memory is looked at; up to `LONGEST_LOOK_SECONDS` apart while there is nothing to give back."""

LONGEST_LOOK_SECONDS = 20.0

WORTH_BYTES = 8 * 2**20
"""More than has been enough before: only then is it worth to look for memory to give back."""


def settle_memory() -> None:
    """Give back what start-up no longer needs, and keep the rest out of garbage collections.

    What start-up made stays for good: full collections would only walk it again, and hold up requests. What
    requests make is seldom a cycle, so it is looked at less often than by default.
    """
    give_back()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def give_back() -> None:
    """Collect garbage, and give freed memory back to the system: glibc keeps it unless it is told not to."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def resident_bytes() -> int:
    """Resident memory of this process, on Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back_when_idle(is_idle: Callable[[], bool]) -> None:
    """From now on give memory back whenever `is_idle` and more is resident than has been enough before.

    A burst of requests or connections would otherwise leave its peak behind for good. To be called in the
    event loop. Elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return
    loop = asyncio.get_running_loop()
    enough = resident_bytes()

    def look(pause: float) -> None:
        nonlocal enough
        before = resident_bytes()
        if is_idle() and before > enough + WORTH_BYTES:
            give_back()
            after = resident_bytes()
            enough = min(enough, after)
            pause = LOOK_SECONDS if after < before - WORTH_BYTES else min(2 * pause, LONGEST_LOOK_SECONDS)
        loop.call_later(pause, look, pause)

    loop.call_later(LOOK_SECONDS, look, LOOK_SECONDS)
