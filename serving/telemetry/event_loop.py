"""Measures how late the event loop runs its timers."""

import asyncio
from collections.abc import Callable

PERIOD_SECONDS = 0.25
"""Seconds between two measurements."""


def measure_lag(observe: Callable[[float], None]) -> None:
    """From now on, pass to `observe` how many seconds later than planned a timer ran. Call it in the loop."""
    loop = asyncio.get_running_loop()

    def run(planned: float) -> None:
        now = loop.time()
        observe(max(0.0, now - planned))
        loop.call_at(now + PERIOD_SECONDS, run, now + PERIOD_SECONDS)

    run(loop.time())
