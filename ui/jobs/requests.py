"""Sends requests in threads, and hands their outcomes to one thread."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from classifier.schema import ModelInfo, PredictionAnswer
from ui.client import Broken, Client
from ui.jobs.batches import Batch


@dataclass(frozen=True)
class Classified:
    """A batch was classified: one prediction for each row, in their order."""

    batch: Batch
    predictions: list[PredictionAnswer]


@dataclass(frozen=True)
class Described:
    """The service said which model answers."""

    model: ModelInfo


@dataclass(frozen=True)
class Failure:
    """A request was not answered as it should be."""

    batch: Batch | None
    """None for the request that asks for the model."""
    error: Exception
    sent_at: float


Outcome = Classified | Described | Failure


class _AskModel:
    """The task to ask which model answers."""


class Requests:
    """Threads that send requests. One that hangs never blocks who asks for the outcomes."""

    def __init__(self, client: Client, threads: int) -> None:
        self._client = client
        self._threads = threads
        self._tasks: queue.SimpleQueue[Batch | _AskModel | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        # They are daemons, so that the process can end while a request hangs.
        for _ in range(threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()

    def classify(self, batch: Batch) -> None:
        """Have a batch sent."""
        self._tasks.put(batch)

    def ask_model(self) -> None:
        """Have the service asked which model answers."""
        self._tasks.put(_AskModel())

    def outcomes(self, seconds: float) -> Iterator[Outcome]:
        """All outcomes that are there. Waits for the first one, at most for the time given."""
        try:
            yield self._outcomes.get(timeout=seconds)
            while True:
                yield self._outcomes.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """Let each thread end after its request."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            sent_at = time.monotonic()
            try:
                outcome: Outcome = self._ask(task)
            except Exception as error:  # the thread that takes the outcomes raises what it does not expect
                batch = task if isinstance(task, Batch) else None
                outcome = Failure(batch, error, sent_at)
            self._outcomes.put(outcome)

    def _ask(self, task: Batch | _AskModel) -> Outcome:
        if isinstance(task, _AskModel):
            return Described(self._client.model_info().value)
        predictions = self._client.predict_batch([row.text for row in task.rows]).value["predictions"]
        if len(predictions) != len(task.rows):
            raise Broken(f"The service answered {len(task.rows)} texts with {len(predictions)} predictions.")
        return Classified(task, predictions)
