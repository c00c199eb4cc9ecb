"""Stops the service without losing requests: SIGTERM starts a drain before the server ends."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import structlog

from classifier.batching.admission import Stage
from classifier.batching.batcher import SWEEP_SECONDS
from serving.running import RunningService

_log = structlog.get_logger("classifier.stopping")


def drain_on_sigterm(drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On SIGTERM run `drain` and then the handler that was set before; a second SIGTERM skips the drain.

    uvicorn's own handler accepts no more connections, so new clients would hang instead of getting an answer.
    Call this in the event loop. Only the main thread receives signals; in another thread this does nothing.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        return
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    async def drain_and_end() -> None:
        try:
            await drain()
        finally:
            previous(signal.SIGTERM, None)

    def handle(_number: int, _frame: FrameType | None) -> None:
        if draining:
            previous(signal.SIGTERM, None)
        else:
            loop.call_soon_threadsafe(lambda: draining.append(loop.create_task(drain_and_end())))

    signal.signal(signal.SIGTERM, handle)


async def drain(service: RunningService) -> None:
    """Report that the service is not ready, let clients connect elsewhere, and finish what was admitted.

    This does nothing if the service is not open, so a second call has no effect.
    """
    if not service.admission.is_ready:
        return
    service.admission.stage = Stage.LEAVING
    await asyncio.sleep(service.settings.api.lame_duck_seconds)
    left = await finish_requests(service, service.settings.batching.drain_seconds)
    service.connections.recorder.access_log.write_refusals()
    await asyncio.to_thread(service.connections.recorder.close)
    _log.info("drained", unfinished_texts=left)


async def finish_requests(service: RunningService, seconds: float) -> int:
    """Admit no more requests, and finish those that have begun to arrive, within `seconds`.

    Returns how many texts were not finished.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    left = await service.batcher.drain(seconds)
    while service.connections.budget.has_unfinished and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(SWEEP_SECONDS)
    return left
