"""What a worker process reads from the database of its job, and writes to it."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from classifier.schema import PredictionAnswer
from ui.jobs import database as db
from ui.jobs.values import LABEL_SEPARATOR, ProblemKind, Stage


class Interrupted(Exception):
    """The job was cancelled, or its worker is asked to end."""


class Text(NamedTuple):
    """A row of the file that can be sent."""

    number: int
    true_label: str | None
    text: str
    true_labels: tuple[str, ...] | None = None
    """The true labels, if the file can have several in a row and says which; then `true_label` is None."""


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


_INSERT_TEXT = "INSERT INTO texts (number, true_label, true_labels, length, text) VALUES (?, ?, ?, ?, ?)"
_INSERT_PREDICTION = """
INSERT OR IGNORE INTO results
    (number, true_label, true_labels, length, label, labels, confidence, probabilities, warnings)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_PROBLEM = """
INSERT OR IGNORE INTO results (number, true_label, true_labels, length, kind, problem)
VALUES (?, ?, ?, ?, ?, ?)
"""
_OPEN = """
SELECT number, true_label, text, true_labels FROM texts
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
        self._has_several_labels = state.has_several_labels

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
                _INSERT_TEXT,
                [
                    (
                        new.row.number,
                        new.row.true_label,
                        _encoded(new.row.true_labels),
                        new.length,
                        new.row.text,
                    )
                    for new in rows
                ],
            )
            failed = self._database.executemany(
                _INSERT_PROBLEM,
                [
                    (
                        *(new.row.number, new.row.true_label, _encoded(new.row.true_labels)),
                        *(new.length, new.kind, new.problem),
                    )
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
        return [
            Text(number, true_label, text, tuple(json.loads(true_labels)) if true_labels else None)
            for number, true_label, text, true_labels in self._database.execute(_OPEN, (after, limit))
        ]

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
            self._add_labels((answer["label"], *answer.get("probabilities", ()), *answer.get("labels", ())))
        values = [
            (
                row.number,
                *self._truth(row, has_several_labels="labels" in answer),
                len(row.text),
                answer["label"],
                _encoded(self._ordered(answer["labels"])) if "labels" in answer else None,
                answer["confidence"],
                _compact(answer.get("probabilities", {})),
                _compact(answer["warnings"]) if answer.get("warnings") else None,
            )
            for row, answer in zip(rows, answers, strict=True)
        ]
        with db.transaction(self._database):
            if not self._has_several_labels and any("labels" in answer for answer in answers):
                self._has_several_labels = True
                self._database.execute("UPDATE job SET has_several_labels = TRUE")
            added = self._database.executemany(_INSERT_PREDICTION, values).rowcount
            self._database.execute(
                "UPDATE job SET classified = classified + ?, starts = 0, texts_per_second = ?",
                (added, texts_per_second),
            )

    def add_problems(self, problems: Sequence[RowProblem]) -> None:
        """Add the problems of rows that the service did not classify."""
        values = [
            (row.number, *self._truth(row, self._has_several_labels), len(row.text), kind, problem)
            for row, kind, problem in problems
        ]
        with db.transaction(self._database):
            added = self._database.executemany(_INSERT_PROBLEM, values).rowcount
            self._database.execute("UPDATE job SET failed = failed + ?", (added,))

    def _add_labels(self, labels: Sequence[str]) -> None:
        new = [label for label in dict.fromkeys(labels) if label not in self._labels]
        if new:
            self._labels += new
            self._known = {label.casefold(): label for label in self._labels}
            self._database.execute("UPDATE job SET labels = ?", (json.dumps(self._labels),))

    def _truth(self, row: Text, has_several_labels: bool) -> tuple[str | None, str | None]:
        """The true label, or instead of it the true labels of a text that can have several."""
        if has_several_labels:
            of_row = (row.true_label,) if row.true_labels is None and row.true_label else row.true_labels
            return None, None if of_row is None else _encoded(self._ordered(map(self._as_known, of_row)))
        if row.true_labels is None:
            return row.true_label and self._as_known(row.true_label), None
        return self._as_known(LABEL_SEPARATOR.join(row.true_labels)) or None, None

    def _as_known(self, label: str) -> str:
        """The true label as the model writes it, if only upper and lower case differ."""
        return self._known.get(label.casefold(), label)

    def _ordered(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The labels in the order of the model, so that equal sets are equal texts in the database."""
        distinct = set(labels)
        known = tuple(label for label in self._labels if label in distinct)
        return (*known, *sorted(distinct.difference(known)))


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open the database of a job; raises JobError if it cannot be used."""
    with db.connection(path) as database:
        yield Store(database)


def _encoded(labels: Sequence[str] | None) -> str | None:
    return None if labels is None else _compact(labels)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
