"""Remembers predictions for a while, so that clients can say which label would have been right.

A thread of its own writes them to an SQLite database. The event loop only puts what is to be written into a
queue, which is bounded, so a slow disk delays no answer.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

import structlog

from classifier.errors import SettingsError
from classifier.pipeline import Prediction
from classifier.settings import DAY_SECONDS, FeedbackSettings
from serving.errors import PredictionNotFound, ServiceUnavailable

MAX_WAITING = 10_000
"""Most requests whose predictions or labels wait to be written."""

MAX_TOGETHER = 1000
"""Most of them that are written in one transaction."""

LOCK_SECONDS = 5.0
"""How long a write waits for other processes that use the same database."""

PRUNE_SECONDS = 600.0
"""How often old predictions are deleted when nothing is written."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    time REAL NOT NULL,
    label TEXT NOT NULL,
    confidence REAL NOT NULL,
    digest TEXT NOT NULL,
    true_label TEXT,
    UNIQUE (request_id, place)
);
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (time);
"""

_INSERT = """
INSERT OR REPLACE INTO predictions (request_id, place, time, label, confidence, digest)
VALUES (?, ?, ?, ?, ?, ?)
"""

_log = structlog.get_logger("classifier.feedback")


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is known once the right label of a text was given."""

    predicted: str
    was_right: bool
    is_first: bool
    """Whether no label was given for this prediction before."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The predictions of one request, in the order of its texts."""

    request_id: str
    time: float
    labels: tuple[str, ...]
    confidences: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """The right label of one text, and where its sender waits for the result."""

    request_id: str
    place: int
    label: str
    result: "Future[Feedback | None]"


def open_database(path: str) -> sqlite3.Connection:
    """Open a database, or make it, for any one thread; raises SettingsError, which names the path."""
    try:
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        # A process that is killed leaves a database that can be read, whatever it was writing.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise SettingsError(
            f"feedback.path is {path!r}, which cannot be used as an SQLite database: {error}"
        ) from error
    return connection


class FeedbackStore:
    """The predictions of one process and the labels that clients gave for them.

    Any thread may call its methods. Of an id that two requests have, only the later predictions are known.
    """

    def __init__(
        self,
        settings: FeedbackSettings,
        digest: str,
        on_feedback: Callable[[bool], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open the database that the settings name, or make it, and start the thread that writes to it.

        `digest` is that of the model. `on_feedback` is called in the event loop for the first label that is
        given for a prediction, and receives whether the prediction was right. Raises SettingsError if the
        database cannot be opened.
        """
        self._settings = settings
        self._digest = digest
        self._on_feedback = on_feedback
        self._now = now
        self._queue: queue.Queue[_Recorded | _Given | None] = queue.Queue(MAX_WAITING)
        self._is_closed = False
        self.dropped = 0
        """Requests whose predictions were not recorded, because the queue was full or writing failed."""
        self._is_failing = False
        self._lock = threading.Lock()
        self._connection = open_database(settings.path)
        self._thread = threading.Thread(target=self._write, name="feedback", daemon=True)
        self._thread.start()

    def record(self, request_id: str, predictions: Sequence[Prediction]) -> None:
        """Remember the predictions of an answered request.

        If too many wait to be written, they are dropped and counted.
        """
        labels = tuple(prediction.label for prediction in predictions)
        confidences = tuple(prediction.confidence for prediction in predictions)
        self._put(_Recorded(request_id, self._now(), labels, confidences))

    async def give(self, request_id: str, index: int, label: str) -> Feedback:
        """Store the right label of a text and compare it with the predicted one.

        A label that is given later for the same text replaces the earlier one. Raises PredictionNotFound if
        the prediction is not known, and ServiceUnavailable if too much waits to be written.
        """
        result: Future[Feedback | None] = Future()
        if not self._put(_Given(request_id, index, label, result)):
            raise ServiceUnavailable("too many labels and predictions wait to be written", retry_after=1)
        found = await asyncio.wrap_future(result)
        if found is None:
            raise PredictionNotFound(
                f"no prediction of text {index} of the request {request_id} is known; each replica remembers "
                f"only its own requests, for at most {self._settings.keep_days:g} days"
            )
        if found.is_first:
            self._on_feedback(found.was_right)
        return found

    def close(self) -> None:
        """Write what waits, and close the database. What comes later is dropped. May be called again."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if is_first:
            self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Recorded | _Given) -> bool:
        """Put something into the queue; returns False if it has no room."""
        with self._lock:
            if not self._is_closed and not self._queue.full():
                self._queue.put_nowait(item)
                return True
            self.dropped += 1
            return False

    def _write(self) -> None:
        with closing(self._connection) as connection:
            is_open = True
            while is_open:
                items = self._take()
                is_open = None not in items
                self._write_together(connection, [item for item in items if item is not None])

    def _take(self) -> list[_Recorded | _Given | None]:
        """Wait for something to write, and take what else waits; the list is empty after PRUNE_SECONDS."""
        items: list[_Recorded | _Given | None] = []
        try:
            items.append(self._queue.get(timeout=PRUNE_SECONDS))
            while len(items) < MAX_TOGETHER:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return items

    def _write_together(self, connection: sqlite3.Connection, items: Sequence[_Recorded | _Given]) -> None:
        """Write predictions and labels, in their order, and delete what is too old, in one transaction."""
        given: list[tuple[_Given, Feedback | None]] = []
        try:
            with connection:
                for item in items:
                    if isinstance(item, _Given):
                        given.append((item, self._label(connection, item)))
                    else:
                        self._insert(connection, item)
                self._prune(connection)
        except sqlite3.Error as error:
            if not self._is_failing:
                _log.error("feedback_not_written", error=str(error))
            self._is_failing = True
            with self._lock:
                self.dropped += len(items)
            refusal = ServiceUnavailable(f"the label cannot be stored now: {error}", retry_after=1)
            for item in items:
                if isinstance(item, _Given):
                    _answer(item, refusal)
            return
        self._is_failing = False
        for item, feedback in given:
            _answer(item, feedback)

    def _insert(self, connection: sqlite3.Connection, item: _Recorded) -> None:
        texts = enumerate(zip(item.labels, item.confidences, strict=True))
        connection.executemany(
            _INSERT,
            [
                (item.request_id, place, item.time, label, confidence, self._digest)
                for place, (label, confidence) in texts
            ],
        )

    def _label(self, connection: sqlite3.Connection, item: _Given) -> Feedback | None:
        where = (item.request_id, item.place)
        row = connection.execute(
            "SELECT label, true_label FROM predictions WHERE request_id = ? AND place = ?", where
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "UPDATE predictions SET true_label = ? WHERE request_id = ? AND place = ?", (item.label, *where)
        )
        predicted, earlier = row
        return Feedback(predicted, predicted == item.label, earlier is None)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete predictions that are too old, and the oldest ones if there are too many.

        `number` grows with each insertion, so the newest `max_rows` have the highest ones.
        """
        oldest = self._now() - self._settings.keep_days * DAY_SECONDS
        connection.execute("DELETE FROM predictions WHERE time < ?", (oldest,))
        connection.execute(
            "DELETE FROM predictions WHERE number <= (SELECT max(number) FROM predictions) - ?",
            (self._settings.max_rows,),
        )


def _answer(item: _Given, outcome: Feedback | Exception | None) -> None:
    """Give the sender of a label its result, unless it no longer waits."""
    if not item.result.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        item.result.set_exception(outcome)
    else:
        item.result.set_result(outcome)


def check_feedback(settings: FeedbackSettings) -> None:
    """Raise SettingsError if the settings name a database that cannot be used."""
    if settings.path:
        open_database(settings.path).close()


def open_feedback(
    settings: FeedbackSettings, digest: str, on_feedback: Callable[[bool], None]
) -> FeedbackStore | None:
    """Open the store that the settings name; None if they name none. Raises SettingsError."""
    return FeedbackStore(settings, digest, on_feedback) if settings.path else None
