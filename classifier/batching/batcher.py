"""Runs the waiting texts of all clients in batches."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic

from classifier.batching.admission import STOPPED, Admission, Stage
from classifier.batching.cost import CostModel, calibrate
from classifier.batching.queue import Batch, Call, FinishedBatch, Queue, Result
from classifier.errors import Draining, WrongResultCount
from classifier.settings import BatchingSettings

SWEEP_SECONDS = 0.02
"""Seconds between two checks of the deadlines of everything that waits."""


class Batcher(Generic[Result]):
    """Runs concurrent clients' texts together. It belongs to the event loop that it is used in."""

    def __init__(
        self,
        run: Callable[[Sequence[str]], Sequence[Result]],
        size_of: Callable[[str], int],
        releases_gil: bool,
        settings: BatchingSettings,
        admission: Admission,
        clock: Callable[[], float] = time.perf_counter,
        observe: Callable[[FinishedBatch[Result]], None] | None = None,
    ) -> None:
        """`run` returns n results for n texts; `size_of` returns a text's size in units of cost.

        `observe` receives each batch that has run, before its clients get their outcomes.

        If other threads can run while `run` does (`releases_gil`), a heavy batch runs in a thread. Otherwise
        the event loop would have to wait for the thread, so a batch runs on the event loop.
        """
        self._run = run
        self._size_of = size_of
        self._settings = settings
        self._admission = admission
        self._clock = clock
        self._observe = observe
        self._executor = ThreadPoolExecutor(1, "model") if releases_gil else None
        self._limit = settings.max_batch_seconds if releases_gil else settings.max_inline_seconds
        self._cost = CostModel()
        self._queue: Queue[Result] = Queue(admission.load)
        self._queued_since = math.inf  # When the last batch ended, if it left texts waiting.
        self._is_scheduled = False
        self._running: asyncio.Future[tuple[list[Result | Exception], bool]] | None = None
        self._is_sweeping = False
        self._next_sweep = -math.inf

    def calibrate(self, samples: Sequence[Sequence[str]]) -> None:
        """Learn what a batch costs before any client waits, from samples of typical texts."""
        calibrate(self._cost, self._run, self._size_of, samples, self._clock)

    async def submit(
        self, texts: Sequence[str], timeout: float | None = None, origin: Any = None
    ) -> list[Result | Exception]:
        """Run n texts, which wait at most `timeout` seconds and never longer than `deadline_seconds`.

        The observer of the batches finds `origin` in the call of these texts.
        Returns n outcomes in order: each text's result or error. Raises QueueFull, or Draining once the time
        for draining is over; in both cases no text has run.
        """
        if not texts:
            return []
        characters = sum(map(len, texts))
        self._admission.check_texts(len(texts), characters)
        loop = asyncio.get_running_loop()
        seconds = min(timeout or math.inf, self._settings.deadline_seconds)
        sizes = list(map(self._size_of, texts))
        now = self._clock()
        call: Call[Result] = Call(
            texts=texts,
            sizes=sizes,
            deadline=now + seconds,
            done=loop.create_future(),
            outcomes=[None] * len(texts),
            missing=len(texts),
            queued_at=now,
            origin=origin,
        )
        size = sum(sizes)
        self._queue.put(call, characters, size)
        self._admission.learn(size)
        self._schedule(loop)
        try:
            await call.done
        except asyncio.CancelledError:
            self._queue.drop(call)
            raise
        return call.outcomes  # type: ignore[return-value]

    async def drain(self, seconds: float) -> int:
        """Close admission, finish the waiting texts within `seconds`, and refuse those that still wait then.

        Returns how many were refused.
        """
        self._admission.stage = Stage.CLOSED
        deadline = self._clock() + seconds
        while (self._queue or self._running is not None) and self._clock() < deadline:
            await asyncio.sleep(SWEEP_SECONDS)
        left = self._admission.load.texts
        if left:  # Otherwise requests that were admitted still run when their bodies arrive.
            self._admission.stage = Stage.STOPPED
            self._queue.fail_all(lambda: Draining(STOPPED))
        return left

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._queue and not self._is_scheduled and self._running is None:
            self._is_scheduled = True
            loop.call_soon(self._run_waiting, loop)

    def _run_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run batches until half of `max_inline_seconds` is over, or until one runs in the thread.

        If the first batch took much less time than predicted, others follow in the same turn of the event
        loop. Otherwise most of the time would be spent on the loop's other work in each turn.
        """
        self._is_scheduled = False
        turn = now = self._clock()
        if now >= self._next_sweep:
            self._sweep(now)
        while self._queue and now - turn <= self._settings.max_inline_seconds / 2:
            batch = self._queue.take(now, self._cost.max_size(self._limit - (now - turn)))
            if not batch.texts:
                break
            is_heavy = now - turn + self._cost.seconds(batch.size) > self._settings.max_inline_seconds
            if self._executor is not None and is_heavy:
                self._run_in_thread(loop, self._executor, batch)
                return
            begin = self._clock()
            self._finish(batch, *self._outcomes(batch.texts), begin)
            now = self._clock()
        if not self._queue:
            self._queued_since = math.inf
        self._schedule(loop)

    def _run_in_thread(
        self, loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor, batch: Batch[Result]
    ) -> None:
        begin = self._clock()
        self._running = loop.run_in_executor(executor, self._outcomes, batch.texts)

        def finished(running: asyncio.Future[tuple[list[Result | Exception], bool]]) -> None:
            self._running = None
            if not running.cancelled():
                self._finish(batch, *running.result(), begin)
            self._schedule(loop)

        self._running.add_done_callback(finished)
        if not self._is_sweeping:
            self._is_sweeping = True
            loop.call_later(self._next_sweep - begin, self._sweep_while_running, loop)

    def _outcomes(self, texts: Sequence[str]) -> tuple[list[Result | Exception], bool]:
        """Run texts; if that fails, run them in halves. Returns the outcomes and whether any run failed."""
        try:
            results = list(self._run(texts))
            if len(results) != len(texts):
                raise WrongResultCount(f"the model gave {len(results)} results for {len(texts)} texts")
        except Exception as error:
            if len(texts) == 1:
                return [error], True
            middle = len(texts) // 2
            first, second = self._outcomes(texts[:middle]), self._outcomes(texts[middle:])
            return [*first[0], *second[0]], True
        return list(results), False

    def _finish(
        self,
        batch: Batch[Result],
        outcomes: Sequence[Result | Exception],
        has_failed: bool,
        begin: float,
    ) -> None:
        now = self._clock()
        if not has_failed:  # Otherwise it ran several times.
            self._cost.learn(batch.size, now - begin)
        self._admission.pace.learn(batch.size, now - min(begin, self._queued_since))
        self._queued_since = now if self._queue else math.inf
        if self._observe is not None:  # It runs before the clients continue, and cannot stop the batcher.
            finished = FinishedBatch(batch.places, outcomes, has_failed, begin, now)
            asyncio.get_running_loop().call_soon(self._observe, finished)
        for (call, place), outcome in zip(batch.places, outcomes, strict=True):
            call.settle(place, outcome)

    def _sweep(self, now: float) -> None:
        self._queue.fail_late(now)
        self._next_sweep = now + SWEEP_SECONDS

    def _sweep_while_running(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check the deadlines while a batch runs in the thread; at other times `_run_waiting` does."""
        self._sweep(self._clock())
        self._is_sweeping = self._running is not None
        if self._is_sweeping:
            loop.call_later(SWEEP_SECONDS, self._sweep_while_running, loop)
