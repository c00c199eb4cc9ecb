"""The queue of waiting texts. Clients take turns, and a text whose deadline passes leaves the queue."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from classifier.batching.admission import Load
from classifier.errors import DeadlinePassed

Result = TypeVar("Result")

MAX_TURN_TEXTS = 8
"""Most texts of one client that run before it is the other clients' turn."""


@dataclass(eq=False, slots=True)
class Call(Generic[Result]):
    """The texts of one request. Those from index `taken` on still wait."""

    texts: Sequence[str]
    sizes: Sequence[int]
    deadline: float
    done: asyncio.Future[None]
    outcomes: list[Result | Exception | None]
    missing: int
    """Texts without an outcome."""
    queued_at: float
    """When the texts joined the queue."""
    origin: Any = None
    """The record of the client's request, for the observer of the batches."""
    taken: int = 0

    def settle(self, place: int, outcome: Result | Exception) -> None:
        """Set the outcome of one text; the last one completes the call."""
        self.outcomes[place] = outcome
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


Place = tuple[Call[Result], int]
"""A text by its call and its index there."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[Result]):
    """Texts that run together."""

    places: list[Place[Result]]
    texts: list[str]
    size: int
    """In the runtime's units of cost."""


@dataclass(frozen=True, slots=True)
class FinishedBatch(Generic[Result]):
    """A batch of n texts that has run."""

    places: Sequence[Place[Result]]
    outcomes: Sequence[Result | Exception]
    """The result or the error of each text (n)."""
    has_failed: bool
    """Whether a run failed, so that the texts were run again in parts."""
    begin: float
    end: float


class Queue(Generic[Result]):
    """Calls in the order of their turns. `load` counts what waits."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._calls: OrderedDict[Call[Result], None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def put(self, call: Call[Result], characters: int, size: int) -> None:
        """Add a call at the end of the queue; its texts have so many characters, and this size, together."""
        self._calls[call] = None
        self._load.add(len(call.texts), characters, size)

    def take(self, now: float, max_size: float) -> Batch[Result]:
        """The next batch: one text, or texts of at most this size together. It is empty if nothing waits."""
        places: list[Place[Result]] = []
        texts: list[str] = []
        characters = size = 0
        is_full = False
        while self._calls and not is_full:
            call = next(iter(self._calls))
            if call.deadline <= now:
                del self._calls[call]
                self._fail(call, _too_late())
                continue
            for number in range(MAX_TURN_TEXTS):
                text = call.texts[call.taken]
                is_full = bool(texts) and size + call.sizes[call.taken] > max_size
                if is_full:
                    if number:  # A full batch ends the turn; otherwise it would start anew in the next batch.
                        self._calls.move_to_end(call)
                    break
                places.append((call, call.taken))
                texts.append(text)
                characters += len(text)
                size += call.sizes[call.taken]
                call.taken += 1
                if call.taken == len(call.texts):
                    del self._calls[call]
                    break
            else:
                self._calls.move_to_end(call)
        self._load.add(-len(texts), -characters, -size)
        return Batch(places, texts, size)

    def fail_late(self, now: float) -> None:
        """Fail every call whose deadline has passed, wherever it is in the queue."""
        late = [call for call in self._calls if call.deadline <= now]
        if late:
            self._calls = OrderedDict((call, None) for call in self._calls if call.deadline > now)
        for call in late:
            self._fail(call, _too_late())

    def drop(self, call: Call[Result]) -> None:
        """Remove the waiting texts of a client that disconnected."""
        if call.taken < len(call.texts):
            del self._calls[call]
            self._forget(call)

    def fail_all(self, make_error: Callable[[], Exception]) -> None:
        """Fail every waiting text. Each call gets its own error, because a raised error collects frames."""
        for call in self._calls:
            self._fail(call, make_error())
        self._calls.clear()

    def _fail(self, call: Call[Result], error: Exception) -> None:
        for place in range(call.taken, len(call.texts)):
            call.settle(place, error)
        self._forget(call)

    def _forget(self, call: Call[Result]) -> None:
        waiting = call.texts[call.taken :]
        self._load.add(-len(waiting), -sum(map(len, waiting)), -sum(call.sizes[call.taken :]))
        call.taken = len(call.texts)


def _too_late() -> DeadlinePassed:
    return DeadlinePassed("the deadline passed before this text's turn came")
