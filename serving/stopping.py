"""SIGTERM as a drain, which comes before the server's own way of ending."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from classifier.batching import SWEEP_SECONDS, Batcher
from serving.budget import ByteBudget


def drain_on_sigterm(drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On SIGTERM run `drain`, and only then the handler that was there; a second one goes there at once.

    uvicorn's handler takes in no more connections, so whoever asks meanwhile would hang instead of being
    told. To be called in the event loop. Signals reach the main thread only; elsewhere nothing is changed.
    """
    ends = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(ends):
        return
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    async def drain_and_end() -> None:
        try:
            await drain()
        finally:
            ends(signal.SIGTERM, None)

    def handle(_number: int, _frame: FrameType | None) -> None:
        if draining:
            ends(signal.SIGTERM, None)
        else:
            loop.call_soon_threadsafe(lambda: draining.append(loop.create_task(drain_and_end())))

    signal.signal(signal.SIGTERM, handle)


async def finish_requests(batcher: Batcher[Any], budget: ByteBudget, seconds: float) -> int:
    """Let no more requests in, and finish those that have begun to come, within `seconds`.

    Returns how many texts were left over.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    left = await batcher.drain(seconds)
    while budget.is_awaiting and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(SWEEP_SECONDS)
    return left
