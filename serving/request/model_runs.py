"""Runs the texts of a request through the batcher."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from classifier.errors import DeadlinePassed, QueueFull, Refusal
from classifier.explain.explain import explanation_runs
from classifier.explain.explanation import Explanation
from classifier.pipeline import Prediction
from classifier.schema import MAX_TEXTS
from serving.running import RunningService
from serving.telemetry.exchange import Exchange

TOO_LATE = "the deadline passed before all texts of the explanation had run"


async def classify_texts(
    service: RunningService, texts: Sequence[str], exchange: Exchange
) -> list[Prediction]:
    """Classify the texts of a request, in order; raises the error of the first text that has one."""
    exchange.texts = texts
    exchange.predictions = predictions = await _run(service, texts, exchange.timeout, exchange)
    return predictions


async def explain(service: RunningService, text: str, label: str | None, exchange: Exchange) -> Explanation:
    """Explain the text of a request.

    Raises UnknownLabel, QueueFull, DeadlinePassed if not all texts run within the time that one text may
    wait, and the error of a text.
    """
    runs = explanation_runs(service.classifier, text, label, service.settings.explain.max_runs)
    deadline = time.perf_counter() + min(
        exchange.timeout or math.inf, service.settings.batching.deadline_seconds
    )
    found = await classify_texts(service, next(runs), exchange)
    async with _turn(service, deadline):
        exchange.occludes = True
        while True:
            try:
                texts = runs.send(found)
            except StopIteration as finished:
                explanation: Explanation = finished.value
                return explanation
            found = []
            # In the queue, an explanation is never larger than a batch.
            for start in range(0, len(texts), MAX_TEXTS):
                seconds = deadline - time.perf_counter()
                if seconds <= 0:
                    raise DeadlinePassed(TOO_LATE)
                found += await _run(service, texts[start : start + MAX_TEXTS], seconds, exchange)


@asynccontextmanager
async def _turn(service: RunningService, deadline: float) -> AsyncIterator[None]:
    """Wait until few enough other explanations run. An exact explanation never waits.

    Raises QueueFull after `batching.max_waiting_seconds`, so that what is left of the deadline is enough for
    most explanations that begin. Otherwise those of many clients would fill the queue, and hardly any would
    be finished before its deadline.
    """
    now, most = time.perf_counter(), service.settings.batching.max_waiting_seconds
    try:
        async with asyncio.timeout(min(most, deadline - now)):
            await service.occlusions.acquire()
    except TimeoutError:
        if time.perf_counter() >= deadline:
            raise DeadlinePassed(TOO_LATE) from None
        raise QueueFull(
            f"this explanation waited {most:g} s for others to finish; the limit is {most:g} s",
            Refusal.QUEUE_TIME,
        ) from None
    try:
        yield
    finally:
        service.occlusions.release()


async def _run(
    service: RunningService, texts: Sequence[str], timeout: float | None, exchange: Exchange
) -> list[Prediction]:
    predictions = []
    for outcome in await service.batcher.submit(texts, timeout, exchange):
        if isinstance(outcome, Exception):
            raise outcome
        predictions.append(outcome)
    return predictions
