"""Has all texts of a job classified, whatever the service does meanwhile."""

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from classifier.schema import ModelInfo, PredictionAnswer, ProblemError
from classifier.validation import shortened
from ui.client import MAX_DETAIL_CHARS, Client, Overloaded, Rejected, ServiceError, Unauthorized, Unreachable
from ui.jobs.batches import Batch, open_batches
from ui.jobs.pace import Pace
from ui.jobs.requests import Classified, Described, Failure, Outcome, Requests
from ui.jobs.store import Interrupted, RowProblem, Store, Text
from ui.jobs.values import ProblemKind, Stage

MAX_FAILURES = 3
"""So often the service may fail on a batch before the batch is sent in halves."""

MAX_FAILED_IN_A_ROW = 20
"""After so many rows in a row that the service did not classify, it is not the rows that are wrong."""

SPEED_SECONDS = 10.0
"""The time over which the speed is measured."""

MODEL_SECONDS = 10.0
"""How often the service is asked which model answers."""

TICK_SECONDS = 0.2
"""How often the sender looks whether it must end."""

LAST_ANSWERS_SECONDS = 5.0
"""How long a sender that must end waits for the answers to what it has sent."""

_PLACE = re.compile(r"^texts\[\d+\]")
"""The place of a text in its request, which is not the number of its row."""


class GaveUp(Exception):
    """The job cannot go on by itself; the message is a sentence for the user."""


@dataclass(frozen=True)
class Patience:
    """How long the sender bears a service that does not classify."""

    paused_seconds: float = 2.0
    """A job in trouble without an answer for so long is shown as paused."""
    unreachable_seconds: float = 3600.0
    """After so long without any sign of the service, the job stops."""
    retry_seconds: float = 1.0
    """The wait before a batch that the service failed on is sent again. It triples each time."""


class Sender:
    """Sends the texts of a job that have no result. One thread uses it, the one that opened the store.

    After a request that reached nothing, the service is asked for its model until it answers, and only then
    are texts sent again. So a text that makes the service crash is found: its batch fails each time, and is
    sent in halves.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        requests_in_flight: int,
        should_end: Callable[[], bool],
        patience: Patience = Patience(),
    ) -> None:
        self._store = store
        self._requests = Requests(client, requests_in_flight + 1)
        self._should_end = should_end
        self._patience = patience
        self._pace = Pace(requests_in_flight)
        self._fresh = open_batches(store)
        self._is_exhausted = False
        self._again: deque[Batch] = deque()
        """Batches that must be sent again. While there are many, no fresh ones are read."""
        self._max_again = requests_in_flight
        self._in_flight = 0
        self._asks_model = False
        self._model_at = 0.0
        """When the service is asked for its model next."""
        self._model_failures = 0
        self._is_lost = True
        """Whether it is not known that the service is there."""
        self._failed_in_a_row = 0
        self._trouble: str | None = None
        """What the service said last instead of an answer; None after an answer."""
        self._shown: tuple[Stage, str | None] | None = None
        self._sign_at = self._progress_at = time.monotonic()
        """When the service gave the last sign of life, and when a row got its result."""
        self._look_at = 0.0
        self._speed = _Speed(self._progress_at)

    def run(self) -> None:
        """Send everything; returns once each text has a result.

        Raises GaveUp if the job has to stop, and Interrupted if `should_end` returns true, both once all that
        is in flight is answered, or after five seconds.
        """
        if not self._store.open_texts(0, 1):
            return
        try:
            while self._in_flight or self._again or not self._is_exhausted:
                self._send(time.monotonic())
                for outcome in self._requests.outcomes(TICK_SECONDS):
                    self._take(outcome)
                self._look(time.monotonic())
        except (GaveUp, Interrupted):
            self._take_last()
            raise
        finally:
            self._requests.close()

    def _send(self, now: float) -> None:
        if now < self._pace.resume_at:
            return
        if now >= self._model_at and not self._asks_model:
            self._asks_model = True
            self._requests.ask_model()
        while not self._is_lost and self._in_flight < self._pace.allowed and (batch := self._next(now)):
            self._in_flight += 1
            self._requests.classify(batch)

    def _next(self, now: float) -> Batch | None:
        """A batch that may be sent now: one that was sent before, or a fresh one."""
        for place, batch in enumerate(self._again):
            if batch.not_before <= now:
                del self._again[place]
                return batch
        if len(self._again) > self._max_again:
            return None
        fresh = next(self._fresh, None)
        self._is_exhausted = fresh is None
        return fresh

    def _take(self, outcome: Outcome) -> None:
        now = time.monotonic()
        if not (isinstance(outcome, Failure) and isinstance(outcome.error, Unreachable)):
            self._sign_at = now
        match outcome:
            case Classified(batch, predictions):
                self._in_flight -= 1
                self._pace.answered()
                self._note_progress(now)
                self._add(batch, predictions, now)
            case Described(model):
                self._asks_model = False
                self._note_model(model, now)
            case Failure(None, error, sent_at):
                self._asks_model = False
                self._heed_no_model(error, sent_at, now)
            case Failure(Batch() as batch, error, sent_at):
                self._in_flight -= 1
                self._heed(batch, error, sent_at, now)

    def _look(self, now: float) -> None:
        """Look at the clock and at the wishes of the user, and show what the job does."""
        if now < self._look_at:
            return
        self._look_at = now + TICK_SECONDS
        if self._should_end():
            raise Interrupted
        if now - self._sign_at > self._patience.unreachable_seconds:
            raise GaveUp(
                f"The service gave no sign for {self._patience.unreachable_seconds / 60:.0f} minutes. "
                f"{self._trouble}"
            )
        is_paused = self._trouble and now - self._progress_at > self._patience.paused_seconds
        shown = (Stage.PAUSED, self._trouble) if is_paused else (Stage.RUNNING, None)
        if shown != self._shown:
            self._shown = shown
            self._store.enter(*shown)

    def _take_last(self) -> None:
        """Store the answers to what is in flight, as far as they come soon."""
        end = time.monotonic() + LAST_ANSWERS_SECONDS
        while self._in_flight and (left := end - time.monotonic()) > 0:
            for outcome in self._requests.outcomes(left):
                match outcome:
                    case Classified(batch, predictions):
                        self._in_flight -= 1
                        self._add(batch, predictions, time.monotonic())
                    case Failure(Batch(), _, _):
                        self._in_flight -= 1
                    case _:
                        pass

    def _add(self, batch: Batch, predictions: Sequence[PredictionAnswer], now: float) -> None:
        self._speed.add(len(batch.rows), now)
        self._store.add_predictions(batch.rows, predictions, self._speed.texts_per_second(now))

    def _note_progress(self, now: float) -> None:
        self._progress_at = now
        self._failed_in_a_row = 0
        self._trouble = None

    def _note_model(self, model: ModelInfo, now: float) -> None:
        self._is_lost = False
        self._model_failures = 0
        self._model_at = now + MODEL_SECONDS
        self._pace.answered()
        self._store.add_model(f"{model['name']}:{model['version']}", model["classes"])

    def _heed_no_model(self, error: Exception, sent_at: float, now: float) -> None:
        """The service did not say which model answers."""
        self._trouble = str(error)
        match error:
            case Unauthorized():
                raise GaveUp(str(error))
            case Overloaded():
                self._pace.refused(now, sent_at, error.retry_after)
            case Unreachable():
                self._lose(sent_at, now)
            case ServiceError():
                self._model_failures += 1
                if self._model_failures >= MAX_FAILURES:
                    raise GaveUp(str(error))
                self._pace.refused(now, sent_at, None)
            case _:
                raise error

    def _heed(self, batch: Batch, error: Exception, sent_at: float, now: float) -> None:
        """A batch was not classified."""
        match error:
            case Unauthorized():
                self._again.append(batch)
                raise GaveUp(str(error))
            case Overloaded():
                self._trouble = str(error)
                self._pace.refused(now, sent_at, error.retry_after)
                self._again.append(batch)
            case Unreachable():
                self._trouble = str(error)
                self._lose(sent_at, now)
                self._fail(batch, error, now)
            case Rejected():
                self._reject(batch, error, now)
            case ServiceError():
                self._trouble = str(error)
                self._fail(batch, error, now)
            case _:
                raise error

    def _lose(self, sent_at: float, now: float) -> None:
        self._is_lost = True
        self._model_at = now
        self._pace.lost(now, sent_at)

    def _reject(self, batch: Batch, error: Rejected, now: float) -> None:
        """Give the rows their problems that the rejection names, and send the others again."""
        named = _rows_named(batch.rows, error.errors)
        if not named:
            self._split(batch, ProblemKind.REJECTED, f"The service refuses the text: {error}.", now)
            return
        self._store.add_problems([RowProblem(row, ProblemKind.REJECTED, rule) for row, rule in named.items()])
        self._note_progress(now)
        others = tuple(row for row in batch.rows if row not in named)
        if others:
            self._again.appendleft(replace(batch, rows=others))

    def _fail(self, batch: Batch, error: Exception, now: float) -> None:
        """Send a batch that the service failed on again; after some failures, send its halves."""
        failures = batch.failures + 1
        if failures < MAX_FAILURES:
            wait = self._patience.retry_seconds * 3 ** (failures - 1)
            self._again.append(Batch(batch.rows, failures, now + wait))
        else:
            self._split(Batch(batch.rows, failures), ProblemKind.FAILED, str(error), now)

    def _split(self, batch: Batch, kind: ProblemKind, problem: str, now: float) -> None:
        """Send the halves of a batch; the problem belongs to a row that is alone."""
        if len(batch.rows) > 1:
            self._again.extendleft(reversed(batch.halves()))
            return
        self._store.add_problems([RowProblem(batch.rows[0], kind, problem)])
        self._progress_at = now
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MAX_FAILED_IN_A_ROW:
            raise GaveUp(f"{MAX_FAILED_IN_A_ROW} rows in a row were not classified. {problem}")


class _Speed:
    """The texts that were classified per second, in the last seconds."""

    def __init__(self, now: float) -> None:
        self._begin = now
        self._counts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, texts: int, now: float) -> None:
        self._counts.append((now, texts))
        self._sum += texts
        while now - self._counts[0][0] > SPEED_SECONDS:
            self._begin, forgotten = self._counts.popleft()
            self._sum -= forgotten

    def texts_per_second(self, now: float) -> float:
        return self._sum / max(now - self._begin, 0.001)


def _rows_named(rows: Sequence[Text], errors: Sequence[ProblemError]) -> dict[Text, str]:
    """The rows that a rejection names, with its first rule about each."""
    named: dict[Text, str] = {}
    for error in errors:
        match error["loc"]:
            case ["body", "texts", int(place)] if 0 <= place < len(rows):
                rule = shortened(error["msg"], MAX_DETAIL_CHARS)
                named.setdefault(rows[place], _PLACE.sub("The text", rule, count=1) + ".")
            case _:
                pass
    return named
