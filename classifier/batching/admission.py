"""Decides whether a request is admitted, by the stage of the service and the bounds of its queue."""

import asyncio
import math
from dataclasses import dataclass
from enum import IntEnum

from classifier.batching.cost import Pace
from classifier.errors import Draining, QueueFull, Refusal, Unavailable
from classifier.settings import BatchingSettings

EARLY_FRACTION = 0.9
"""Connections refuse new requests once the expected wait exceeds this fraction of the limit."""

REMEMBERED_REQUESTS = 64
"""Requests over which the expected size of the next one is averaged."""

FIRST_REQUEST_SIZE = 100.0
"""The expected size of a request before the first one has arrived."""

STOPPED = "the service stopped before this text's turn came"


class Stage(IntEnum):
    """The stages in the life of the service, in their order."""

    STARTING = 0
    """The model is not ready; requests are refused."""
    OPEN = 1
    """Requests are admitted."""
    LEAVING = 2
    """Requests are still admitted, but the service is not ready and ends connections with their answers."""
    CLOSED = 3
    """New requests are refused; those that were admitted are finished."""
    STOPPED = 4
    """The time for draining is over; every text is refused."""


@dataclass(slots=True)
class Load:
    """What waits in the queue."""

    texts: int = 0
    characters: int = 0
    size: int = 0
    """The sum of the texts' sizes, in the runtime's units of cost."""

    def add(self, texts: int, characters: int, size: int) -> None:
        """Count texts that joined the queue, or, with negative numbers, that left it."""
        self.texts += texts
        self.characters += characters
        self.size += size


class Admission:
    """Decides whether a request is admitted.

    A connection asks `refusal` before it reads a request, the edge calls `check` before it reads a body, and
    the batcher calls `check_texts` before it queues texts. All three give the same reasons in the same words.
    """

    def __init__(self, settings: BatchingSettings, stage: Stage = Stage.STARTING) -> None:
        self.stage = stage
        self.load = Load()
        self.pace = Pace()
        self._settings = settings
        self._admitted = 0
        self._request_size = FIRST_REQUEST_SIZE

    @property
    def is_ready(self) -> bool:
        """Whether the service is ready for new clients."""
        return self.stage is Stage.OPEN

    @property
    def ends_connections(self) -> bool:
        """Whether each connection ends with its next answer, so that its client finds another replica."""
        return self.stage >= Stage.LEAVING

    def refusal(self) -> Unavailable | None:
        """The error for which a request is refused before it is read. If it is None, `admit` must be called.

        This check refuses a little earlier than the queue does, so that few requests are refused after they
        were read.
        """
        expected = round(self._admitted * self._request_size)
        return self._refusal(expected, EARLY_FRACTION * self._settings.max_waiting_seconds)

    def admit(self) -> None:
        """Count a request whose texts will most likely reach the queue in this turn of the event loop."""
        if not self._admitted:
            asyncio.get_running_loop().call_soon(self._forget_admitted)
        self._admitted += 1

    def _forget_admitted(self) -> None:
        self._admitted = 0

    def check(self) -> None:
        """Raise Unavailable if the queue cannot take even one short text."""
        _raise(self._refusal(0, self._settings.max_waiting_seconds))

    def check_texts(self, texts: int, characters: int) -> None:
        """Raise QueueFull if the queue cannot take so many more, or Draining in the last stage."""
        if self.stage is Stage.STOPPED:
            raise Draining(STOPPED)
        _raise(self._queue_full(texts, characters, 0, self._settings.max_waiting_seconds))

    def learn(self, size: int) -> None:
        """Learn the size of a request that was queued, to expect the size of the next ones."""
        self._request_size += (size - self._request_size) / REMEMBERED_REQUESTS

    def _refusal(self, expected: int, max_seconds: float) -> Unavailable | None:
        if self.stage >= Stage.CLOSED:
            return Draining("the service is shutting down; ask another replica")
        if self.stage is Stage.STARTING:
            return Unavailable("the service is starting", Refusal.STARTING)
        return self._queue_full(1, 1, expected, max_seconds)

    def _queue_full(self, texts: int, characters: int, expected: int, max_seconds: float) -> QueueFull | None:
        load, settings = self.load, self._settings
        seconds = self.pace.seconds(load.size + expected)
        if load.texts + texts > settings.max_waiting_texts:
            reason = Refusal.QUEUE_TEXTS
            why = f"{load.texts} texts wait, and {texts} more would pass the limit of"
            why = f"{why} {settings.max_waiting_texts}"
        elif load.characters + characters > settings.max_waiting_characters:
            reason = Refusal.QUEUE_CHARACTERS
            why = f"{load.characters} characters wait, and {characters} more would pass the limit of"
            why = f"{why} {settings.max_waiting_characters}"
        elif seconds > max_seconds:
            reason = Refusal.QUEUE_TIME
            why = f"the queue takes {seconds:.2f} s; the limit is {max_seconds:g} s"
        else:
            return None
        return QueueFull(why, reason, retry_after=max(1, math.ceil(seconds)))


def _raise(error: Exception | None) -> None:
    """Raise the error, if there is one.

    A raised error refers to this frame by its traceback, so the frame must not refer to the error: the cycle
    would wait for the garbage collector.
    """
    try:
        if error is not None:
            raise error
    finally:
        del error
