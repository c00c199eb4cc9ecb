"""Remembers predictions for a while, so that clients can say which label would have been right.

A thread of its own writes them to an SQLite database. The event loop only puts what is to be written into a
queue, which is bounded, so a slow disk delays no answer.
"""

import asyncio
import math
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

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

ATTEMPT_SECONDS = 0.1
"""How long SQLite waits for them before the writer looks whether it must end."""

LAST_WRITES_SECONDS = 2.0
"""How long the end of the service lets the writer write what waits."""

INTERRUPTED_SECONDS = 1.0
"""How long it waits after that for the writer to end."""

LATE_SECONDS = 1.0
"""How long a label waits for its prediction, which another process may still be writing. A client can send a
label within a millisecond of its answer, on a connection that another worker accepts."""

RETRY_SECONDS = 0.05
"""How often such labels are tried again."""

IDLE_SECONDS = 60.0
"""How often old predictions are deleted when nothing is written, and how often dropped ones are logged."""

FILE_MODE = 0o600
"""Mode of a new database: only its owner may read it. SQLite gives the files beside it the same mode."""

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
    is_counted INTEGER NOT NULL,
    UNIQUE (request_id, place)
);
CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (time);
SELECT is_counted FROM predictions LIMIT 0;
"""
"""The last statement fails if the table was made by an earlier version, without this column."""

_INSERT = """
INSERT INTO predictions (request_id, place, time, label, confidence, digest, is_counted)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

_log = structlog.get_logger("classifier.feedback")


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is known once the right label of a text was given."""

    predicted: str
    was_right: bool
    is_first: bool
    """Whether no label was given before: neither for this prediction nor for earlier ones with its id."""


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
    last_attempt: float
    """By the monotonic clock; after it, the prediction counts as unknown."""


def open_database(path: str) -> sqlite3.Connection:
    """Open a database, or make it, for any one thread; raises SettingsError, which names the path."""
    file = Path(path).absolute()
    try:
        file.touch(FILE_MODE)
        connection = sqlite3.connect(file, timeout=LOCK_SECONDS, check_same_thread=False)
        # A process that is killed leaves a database that can be read, whatever it was writing.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
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
        on_dropped: Callable[[int], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open the database that the settings name, or make it, and start the thread that writes to it.

        `digest` is that of the model. `on_feedback` is called in the event loop for the first label that is
        given for a prediction, and receives whether the prediction was right. `on_dropped` receives the
        number of requests whose predictions were dropped; any thread calls it, but never two at once.
        Raises SettingsError if the database cannot be opened.
        """
        self._settings = settings
        self._digest = digest
        self._on_feedback = on_feedback
        self._on_dropped = on_dropped
        self._now = now
        self._queue: queue.SimpleQueue[_Recorded | _Given | None] = queue.SimpleQueue()
        self._early: list[_Given] = []
        """Labels whose predictions are not known yet; only the writer uses it."""
        self._is_closed = False
        self._end = math.inf
        """When the writer must end, by the monotonic clock."""
        self.dropped = 0
        """Requests whose predictions were not recorded, because too many waited or writing failed."""
        self._unlogged = 0
        self._next_line = -math.inf
        self._reason = ""
        """Why predictions were dropped last."""
        self._lock = threading.Lock()
        self._connection = open_database(settings.path)
        self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * ATTEMPT_SECONDS)}")
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

        A label that is given later for the same text replaces the earlier one. A label is stored and counted
        even if its sender no longer waits. Raises PredictionNotFound if the prediction is not known, and
        ServiceUnavailable if too much waits to be written.
        """
        result: Future[Feedback | None] = Future()
        if not self._put(_Given(request_id, index, label, result, time.monotonic() + LATE_SECONDS)):
            raise ServiceUnavailable("too many labels and predictions wait to be written", retry_after=1)
        written = asyncio.wrap_future(result)
        written.add_done_callback(self._count)
        found = await asyncio.shield(written)
        if found is None:
            raise PredictionNotFound(
                f"no prediction of text {index} of the request {request_id} is known; each replica "
                f"remembers only its own requests, for at most {self._settings.keep_days:g} days"
                + self._perhaps_dropped()
            )
        return found

    def close(self) -> None:
        """Write what waits, and close the database; ends after about three seconds at the latest.

        What could not be written by then is dropped, and so is what comes later. May be called again.
        """
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._end = time.monotonic() + LAST_WRITES_SECONDS
                self._queue.put(None)
        self._thread.join(LAST_WRITES_SECONDS)
        if self._thread.is_alive():
            with suppress(sqlite3.ProgrammingError):  # the writer may have closed the connection just now
                self._connection.interrupt()
            self._thread.join(INTERRUPTED_SECONDS)
        with self._lock:
            self._log_dropped()

    def _put(self, item: _Recorded | _Given) -> bool:
        """Put something into the queue; returns False if it has no room."""
        with self._lock:
            if not self._is_closed and self._queue.qsize() < MAX_WAITING:
                self._queue.put(item)
                return True
        reason = "the store is closed" if self._is_closed else f"{MAX_WAITING:,} requests wait to be written"
        self._drop([item], reason)
        return False

    def _drop(self, items: Sequence[_Recorded | _Given], reason: str) -> None:
        """Count the requests whose predictions are not kept, and log their number once a minute."""
        count = sum(isinstance(item, _Recorded) for item in items)
        if not count:
            return
        with self._lock:
            self.dropped += count
            self._unlogged += count
            self._reason = reason
            self._on_dropped(count)
            if self._now() >= self._next_line:
                self._log_dropped()

    def _log_dropped(self) -> None:
        """Log how many requests were dropped since the last line, if any; called with the lock."""
        if self._unlogged:
            _log.error("feedback_dropped", count=self._unlogged, reason=self._reason)
            self._unlogged = 0
            self._next_line = self._now() + IDLE_SECONDS

    def _perhaps_dropped(self) -> str:
        """The end of the sentence that says why a prediction is not known."""
        if not self.dropped:
            return ""
        return (
            ", or it was not stored, because the database could not be written or was too slow (requests not "
            f"stored since the start of this replica: {self.dropped:,})"
        )

    def _count(self, written: "asyncio.Future[Feedback | None]") -> None:
        """Count a label that was stored, if it is the first one."""
        if written.cancelled() or written.exception() is not None:
            return
        found = written.result()
        if found is not None and found.is_first:
            self._on_feedback(found.was_right)

    def _write(self) -> None:
        with closing(self._connection) as connection:
            is_open = True
            while is_open:
                taken = self._take()
                is_open = None not in taken
                items = [item for item in taken if item is not None]
                if time.monotonic() < self._end:
                    self._write_together(connection, items, may_wait=is_open)
                else:
                    self._fail(items, "the service ends")

    def _take(self) -> list[_Recorded | _Given | None]:
        """Wait for something to write, and take the labels that came too early, and then what else waits.

        The list is empty after IDLE_SECONDS.
        """
        items: list[_Recorded | _Given | None] = []
        try:
            items.append(self._queue.get(timeout=RETRY_SECONDS if self._early else IDLE_SECONDS))
            while len(items) < MAX_TOGETHER:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        early, self._early = self._early, []
        return [*early, *items]

    def _write_together(
        self, connection: sqlite3.Connection, items: Sequence[_Recorded | _Given], may_wait: bool
    ) -> None:
        """Write predictions and labels, in their order, and delete what is too old, in one transaction.

        A label whose prediction is not known is kept for the next time, if it may wait.
        """
        try:
            with connection:
                self._begin(connection)
                given = self._write_in_order(connection, items)
                self._prune(connection)
        except sqlite3.Error as error:
            self._fail(items, str(error))
            return
        now = time.monotonic()
        waiting = []
        for item, feedback in given:
            if feedback is None and may_wait and now < item.last_attempt:
                waiting.append(item)
            else:
                item.result.set_result(feedback)
        # If too many wait, the oldest are refused, because a prediction comes soon or not at all.
        self._early = waiting[-MAX_TOGETHER:]
        for item in waiting[:-MAX_TOGETHER]:
            item.result.set_result(None)

    def _write_in_order(
        self, connection: sqlite3.Connection, items: Sequence[_Recorded | _Given]
    ) -> list[tuple[_Given, Feedback | None]]:
        """Write predictions and labels, and return the labels in their order with what became of them.

        A label that comes before its prediction is tried again right after it, so that a later label of the
        same text still replaces it.
        """
        given: list[tuple[_Given, Feedback | None]] = []
        unknown: defaultdict[str, list[int]] = defaultdict(list)
        for item in items:
            if isinstance(item, _Given):
                found = self._label(connection, item)
                if found is None:
                    unknown[item.request_id].append(len(given))
                given.append((item, found))
            else:
                self._insert(connection, item)
                for place in unknown.pop(item.request_id, ()):
                    early, _ = given[place]
                    given[place] = (early, self._label(connection, early))
        return given

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin a transaction; waits for other processes, but not beyond the end of the service."""
        last_attempt = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # The lowest byte is the kind of error; the others say how it came about.
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= min(last_attempt, self._end):
                    raise
            else:
                return

    def _fail(self, items: Sequence[_Recorded | _Given], reason: str) -> None:
        """Drop predictions and refuse labels that cannot be written."""
        self._drop(items, reason)
        for item in items:
            if isinstance(item, _Given):
                refusal = ServiceUnavailable(f"the label cannot be stored now: {reason}", retry_after=1)
                item.result.set_exception(refusal)

    def _insert(self, connection: sqlite3.Connection, item: _Recorded) -> None:
        """Replace all predictions of an earlier request with this id.

        If a label was counted for one of them, none is counted for the new ones.
        """
        replaced = connection.execute(
            "DELETE FROM predictions WHERE request_id = ? RETURNING is_counted", (item.request_id,)
        ).fetchall()
        is_counted = any(counted for (counted,) in replaced)
        texts = enumerate(zip(item.labels, item.confidences, strict=True))
        connection.executemany(
            _INSERT,
            [
                (item.request_id, place, item.time, label, confidence, self._digest, is_counted)
                for place, (label, confidence) in texts
            ],
        )

    def _label(self, connection: sqlite3.Connection, item: _Given) -> Feedback | None:
        where = (item.request_id, item.place)
        row = connection.execute(
            "SELECT label, is_counted FROM predictions WHERE request_id = ? AND place = ?", where
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "UPDATE predictions SET true_label = ?, is_counted = 1 WHERE request_id = ? AND place = ?",
            (item.label, *where),
        )
        predicted, is_counted = row
        return Feedback(predicted, predicted == item.label, not is_counted)

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


def check_feedback(settings: FeedbackSettings) -> None:
    """Raise SettingsError if the settings name a database that cannot be used."""
    if settings.path:
        open_database(settings.path).close()


def open_feedback(
    settings: FeedbackSettings,
    digest: str,
    on_feedback: Callable[[bool], None],
    on_dropped: Callable[[int], None],
) -> FeedbackStore | None:
    """Open the store that the settings name; None if they name none. Raises SettingsError."""
    return FeedbackStore(settings, digest, on_feedback, on_dropped) if settings.path else None
