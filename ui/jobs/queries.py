"""What the pages ask about the results of a job. Rows without a result are in none of the answers."""

import json
import sqlite3
from collections.abc import Sequence

from ui.jobs.database import problem_kinds, state
from ui.jobs.values import (
    CONFIDENCE_BINS,
    Filter,
    Labelled,
    LabelledSets,
    Order,
    OrderBy,
    ProblemKind,
    Result,
    Summary,
)

_COLUMNS: dict[OrderBy, str] = {
    OrderBy.ROW: "number",
    OrderBy.LABEL: "label",
    OrderBy.CONFIDENCE: "confidence",
    OrderBy.LENGTH: "length",
}

_RESULT = """
SELECT number, text, texts.length, results.true_label, label, confidence, probabilities, warnings, kind,
    problem, labels, results.true_labels
FROM results JOIN texts USING (number)
"""

_LABELLED = "FROM results WHERE true_label IS NOT NULL AND label IS NOT NULL"
_HAS_NO_LABEL = "labels = '[]'"
_LABELLED_SETS = "FROM results WHERE true_labels IS NOT NULL AND labels IS NOT NULL"


def count(database: sqlite3.Connection, where: Filter) -> int:
    """Count the results that fulfil the conditions."""
    condition, values = _condition(database, where)
    found: tuple[int] = database.execute(
        f"SELECT COUNT(*) FROM results WHERE {condition}",  # noqa: S608 - made of constants
        values,
    ).fetchone()
    return found[0]


def page(database: sqlite3.Connection, where: Filter, order: Order, offset: int, limit: int) -> list[Result]:
    """The results from `offset` on, at most `limit` of them, in the order given."""
    condition, values = _condition(database, where)
    direction = "DESC" if order.descending else "ASC"
    # Only numbers are sorted, and texts are read for one page.
    numbers = database.execute(
        f"SELECT number FROM results WHERE {condition} "  # noqa: S608 - made of constants
        f"ORDER BY {_COLUMNS[order.by]} {direction} NULLS LAST, number LIMIT ? OFFSET ?",
        (*values, limit, offset),
    ).fetchall()
    found = (result(database, number) for (number,) in numbers)
    return [each for each in found if each is not None]


def result(database: sqlite3.Connection, number: int) -> Result | None:
    """The result of one row; None if it has none yet, or if there is no such row."""
    row = database.execute(f"{_RESULT} WHERE number = ?", (number,)).fetchone()
    if row is None:
        return None
    (number, text, length, true_label, label, confidence, probabilities, warnings, kind, *more) = row
    problem, labels, true_labels = more
    return Result(
        number,
        text,
        length,
        true_label,
        label,
        confidence,
        json.loads(probabilities) if probabilities else {},
        tuple(json.loads(warnings)) if warnings else (),
        ProblemKind(kind) if kind else None,
        problem,
        _decoded(labels),
        _decoded(true_labels),
    )


def _decoded(labels: str | None) -> tuple[str, ...] | None:
    return tuple(json.loads(labels)) if labels else None


def summary(database: sqlite3.Connection) -> Summary:
    """All results in numbers."""
    job = state(database)
    labels = job.labels
    confidences = {label: [0] * CONFIDENCE_BINS for label in labels}
    bins = database.execute(
        "SELECT label, MIN(CAST(confidence * ? AS INTEGER), ?), COUNT(*) FROM results "
        "WHERE label IS NOT NULL GROUP BY 1, 2",
        (CONFIDENCE_BINS, CONFIDENCE_BINS - 1),
    )
    for label, position, rows in bins:
        confidences[label][position] = rows
    labelled, right = database.execute(
        f"SELECT COUNT(*), COALESCE(SUM(true_label = label), 0) {_LABELLED}"
    ).fetchone()
    sets, right_sets = database.execute(
        f"SELECT COUNT(*), COALESCE(SUM(true_labels = labels), 0) {_LABELLED_SETS}"
    ).fetchone()
    rows_by_label = {label: sum(counts) for label, counts in confidences.items()}
    without_label = 0
    if job.has_several_labels:
        rows_by_label, without_label = _of_several(database, labels)
    return Summary(
        labels,
        rows_by_label,
        without_label,
        {label: tuple(counts) for label, counts in confidences.items()},
        problem_kinds(database),
        labelled + sets,
        right + right_sets,
    )


def _of_several(database: sqlite3.Connection, labels: Sequence[str]) -> tuple[dict[str, int], int]:
    """The rows that have each label, and the rows without any, if a text can have several."""
    rows_by_label = dict.fromkeys(labels, 0)
    counts = database.execute(
        "SELECT each.value, COUNT(*) FROM results, json_each(COALESCE(labels, json_array(label))) AS each "
        "WHERE label IS NOT NULL GROUP BY 1"
    )
    rows_by_label.update(counts)
    return rows_by_label, count(database, Filter(only_without_label=True))


def labelled(database: sqlite3.Connection) -> Labelled:
    """The classified rows with a true label, as arrays."""
    import numpy as np

    labels = state(database).labels
    others = [
        name
        for (name,) in database.execute(f"SELECT DISTINCT true_label {_LABELLED} ORDER BY 1")
        if name not in labels
    ]
    names = (*labels, *others)
    places = {name: place for place, name in enumerate(names)}
    rows = database.execute(f"SELECT COUNT(*) {_LABELLED}").fetchone()[0]
    numbers = np.empty(rows, np.int64)
    true = np.empty(rows, np.int32)
    predicted = np.empty(rows, np.int32)
    probabilities = np.zeros((rows, len(labels)), np.float32)
    found = database.execute(
        f"SELECT number, true_label, label, probabilities {_LABELLED} ORDER BY number LIMIT ?", (rows,)
    )
    for row, (number, true_label, label, encoded) in enumerate(found):
        numbers[row] = number
        true[row] = places[true_label]
        predicted[row] = places[label]
        for name, probability in json.loads(encoded).items():
            probabilities[row, places[name]] = probability
    return Labelled(names, numbers, true, predicted, probabilities)


def labelled_sets(database: sqlite3.Connection) -> LabelledSets:
    """The classified rows whose true labels are known, as arrays, if a text can have several."""
    import numpy as np

    names = state(database).labels
    width = len(names)
    places = {name: place for place, name in enumerate(names)}
    rows = database.execute(f"SELECT COUNT(*) {_LABELLED_SETS}").fetchone()[0]
    numbers: list[int] = []
    true_cells: list[int] = []
    predicted_cells: list[int] = []
    probabilities = np.zeros((rows, width), np.float32)
    left_out: dict[str, int] = {}
    for number, true_labels, labels, encoded in database.execute(
        f"SELECT number, true_labels, labels, probabilities {_LABELLED_SETS} ORDER BY number LIMIT ?", (rows,)
    ):
        has = json.loads(true_labels)
        unknown = next((name for name in has if name not in places), None)
        if unknown is not None:
            left_out[unknown] = left_out.get(unknown, 0) + 1
            continue
        row = len(numbers)
        true_cells += [row * width + places[name] for name in has]
        predicted_cells += [row * width + places[name] for name in json.loads(labels)]
        values = json.loads(encoded)
        probabilities[row] = [values.get(name, 0.0) for name in names]
        numbers.append(number)
    true, predicted = np.zeros((2, len(numbers), width), np.bool_)
    true.ravel()[true_cells] = True
    predicted.ravel()[predicted_cells] = True
    return LabelledSets(
        names, np.array(numbers, np.int64), true, predicted, probabilities[: len(numbers)], left_out
    )


def _condition(database: sqlite3.Connection, where: Filter) -> tuple[str, list[object]]:
    """The condition in SQL with its values."""
    conditions: list[str] = ["TRUE"]
    values: list[object] = []
    if where.labels is not None:
        among = f"IN ({', '.join('?' * len(where.labels))})"
        one = f"labels IS NULL AND label {among}"
        several = f"EXISTS (SELECT 1 FROM json_each(labels) AS each WHERE each.value {among})"  # noqa: S608
        conditions.append(f"({one} OR labels IS NOT NULL AND {several})")
        values += 2 * sorted(where.labels)
    if where.min_confidence is not None:
        conditions.append("confidence >= ?")
        values.append(where.min_confidence)
    if where.max_confidence is not None:
        conditions.append("confidence <= ?")
        values.append(where.max_confidence)
    if where.only_problems:
        conditions.append("kind IS NOT NULL")
    if where.only_mistakes:
        conditions.append("(true_label <> label OR true_labels <> labels)")
    if where.only_without_label:
        conditions.append(_HAS_NO_LABEL)
    if where.contains:
        # SQLite itself knows upper and lower case of ASCII only. It comes last, since it reads texts.
        sought = where.contains.casefold()
        database.create_function("has_sought", 1, lambda text: sought in text.casefold(), deterministic=True)
        conditions.append("has_sought((SELECT text FROM texts WHERE texts.number = results.number))")
    return " AND ".join(conditions), values
