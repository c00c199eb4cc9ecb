"""What start-up leaves behind in memory, put out of the way of the requests."""

import ctypes
import gc
import sys


def settle_memory() -> None:
    """Give back what start-up no longer needs, and keep the rest out of garbage collections.

    What start-up made stays for good: full collections would only walk it again, and hold up requests. What
    requests make is seldom a cycle, so it is looked at less often than by default. And glibc keeps freed
    memory, after loading a model as much as the model takes, unless it is told not to.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
