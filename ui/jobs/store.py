"""What a worker process reads from the database of its job, and writes to it."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from classifier.schema import PredictionAnswer
from ui.jobs import database as db
from ui.jobs.values import ProblemKind, Stage


class Interrupted(Exception):
    """The job was cancelled, or its worker is asked to end."""


class Text(NamedTuple):
    """A row of the file that can be sent."""

    number: int
    true_label: str | None
    text: str


class RowProblem(NamedTuple):
    """Why a row has no prediction."""

    row: Text
    kind: ProblemKind
    problem: str


class NewRow(NamedTuple):
    """A row that was read from the file."""

    row: Text
    length: int
    """Characters of the whole text, of which `row` has only the beginning if it is too long."""
    kind: ProblemKind | None = None
    problem: str | None = None


_INSERT_TEXT = "INSERT INTO texts (number, true_label, length, text) VALUES (?, ?, ?, ?)"
_INSERT_RESULT = """
INSERT OR IGNORE INTO results
    (number, true_label, length, label, confidence, probabilities, warnings, kind, problem)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OPEN = """
SELECT number, true_label, text FROM texts
WHERE number > ? AND NOT EXISTS (SELECT 1 FROM results WHERE results.number = texts.number)
ORDER BY number LIMIT ?
"""


class Store:
    """The database of one job, for one thread of its worker process."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        state = db.state(database)
        self._labels = list(state.labels)
        self._models = list(state.models)
        self._known = {label.casefold(): label for label in self._labels}

    @property
    def state(self) -> db.JobState:
        """The state of the job now."""
        return db.state(self._database)

    def is_active(self) -> bool:
        """Whether the job is neither cancelled nor at its end."""
        return db.is_active(self._database)

    def enter(self, stage: Stage, reason: str | None = None) -> None:
        """Note what the job does now."""
        db.enter(self._database, stage, reason)

    def end(self, stage: Stage, reason: str | None = None) -> None:
        """Note that the job has ended."""
        db.end(self._database, stage, reason)

    def forget_starts(self) -> None:
        """Note that the worker ends because it was asked to."""
        db.forget_starts(self._database)

    def bytes(self) -> int:
        """The size of the database."""
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (size,) = self._database.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def begin_reading(self, notices: Sequence[str]) -> None:
        """Drop what an earlier worker has read, since it did not come to the end."""
        with db.transaction(self._database):
            self._database.execute("DELETE FROM texts")
            self._database.execute("DELETE FROM results")
            self._database.execute(
                "UPDATE job SET rows = 0, classified = 0, failed = 0, read_share = 0, notices = ?",
                (json.dumps(notices),),
            )

    def add_rows(self, rows: Sequence[NewRow], share: float) -> None:
        """Add rows of the file; `share` says how much of it is read, from 0 to 1."""
        with db.transaction(self._database):
            self._database.executemany(
                _INSERT_TEXT, [(*new.row[:2], new.length, new.row.text) for new in rows]
            )
            failed = self._database.executemany(
                _INSERT_RESULT,
                [
                    (*new.row[:2], new.length, None, None, None, None, new.kind, new.problem)
                    for new in rows
                    if new.kind
                ],
            ).rowcount
            self._database.execute(
                "UPDATE job SET rows = rows + ?, failed = failed + ?, read_share = ?",
                (len(rows), max(failed, 0), share),
            )

    def end_reading(self) -> None:
        """Note that all rows of the file are in the database."""
        self._database.execute("UPDATE job SET is_read = TRUE, read_share = 1")

    def open_texts(self, after: int, limit: int) -> list[Text]:
        """The next texts without a result whose number is larger than `after`."""
        return [Text(*row) for row in self._database.execute(_OPEN, (after, limit))]

    def add_model(self, model: str, labels: Sequence[str]) -> None:
        """Note which model answers, and its labels in their order."""
        self._add_labels(labels)
        if model not in self._models:
            self._models.append(model)
            self._database.execute("UPDATE job SET models = ?", (json.dumps(self._models),))

    def add_predictions(
        self, rows: Sequence[Text], answers: Sequence[PredictionAnswer], texts_per_second: float
    ) -> None:
        """Add the predictions for n rows, in the order of the rows."""
        for answer in answers:
            self._add_labels((answer["label"], *answer.get("probabilities", ())))
        values = [
            (
                row.number,
                self._true_label(row),
                len(row.text),
                answer["label"],
                answer["confidence"],
                _compact(answer.get("probabilities", {})),
                _compact(answer["warnings"]) if answer.get("warnings") else None,
                None,
                None,
            )
            for row, answer in zip(rows, answers, strict=True)
        ]
        with db.transaction(self._database):
            added = self._database.executemany(_INSERT_RESULT, values).rowcount
            self._database.execute(
                "UPDATE job SET classified = classified + ?, starts = 0, texts_per_second = ?",
                (added, texts_per_second),
            )

    def add_problems(self, problems: Sequence[RowProblem]) -> None:
        """Add the problems of rows that the service did not classify."""
        values = [
            (row.number, self._true_label(row), len(row.text), None, None, None, None, kind, problem)
            for row, kind, problem in problems
        ]
        with db.transaction(self._database):
            added = self._database.executemany(_INSERT_RESULT, values).rowcount
            self._database.execute("UPDATE job SET failed = failed + ?", (added,))

    def _add_labels(self, labels: Sequence[str]) -> None:
        new = [label for label in dict.fromkeys(labels) if label not in self._labels]
        if new:
            self._labels += new
            self._known = {label.casefold(): label for label in self._labels}
            self._database.execute("UPDATE job SET labels = ?", (json.dumps(self._labels),))

    def _true_label(self, row: Text) -> str | None:
        """The true label as the model writes it, if only upper and lower case differ."""
        if row.true_label is None:
            return None
        return self._known.get(row.true_label.casefold(), row.true_label)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open the database of a job; raises JobError if it cannot be used."""
    with db.connection(path) as database:
        yield Store(database)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
