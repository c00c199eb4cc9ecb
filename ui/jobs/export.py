"""The process that writes a file with all rows of one job and their results.

`Job` starts it as `python -m ui.jobs.export KIND` with a lock that it holds until it ends.
"""

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from typing import cast

from datafiles import DataFileError, Row, Written, open_table, write_table
from ui.jobs import database as db
from ui.jobs.folder import PRIVATE_UMASK, JobFolder
from ui.jobs.processes import folder_of_process, limit_process
from ui.jobs.values import LABEL_SEPARATOR, ExportKind

_RESULTS = """
SELECT number, labels, label, confidence, probabilities, warnings, problem FROM results ORDER BY number
"""


def export(folder: JobFolder, kind: ExportKind) -> None:
    """Write the file, and note how that ended."""
    for unfinished in folder.unfinished_exports(kind):
        shutil.rmtree(unfinished)
    with db.connection(folder.database) as database:
        try:
            written = _write(folder, kind, database)
        except (DataFileError, OSError) as error:
            db.end_export(database, kind, f"The file cannot be written: {error}.", ())
        except MemoryError:
            db.end_export(database, kind, "The file cannot be written: it takes too much memory.", ())
        else:
            db.end_export(database, kind, None, written.notices + _ambiguous(db.state(database)))


def _ambiguous(state: db.JobState) -> tuple[str, ...]:
    """A notice if the column with several labels cannot be split, because a label has the separator."""
    if not state.has_several_labels or not any(LABEL_SEPARATOR in label for label in state.labels):
        return ()
    return (f"A label of the model contains “{LABEL_SEPARATOR}”, which also separates the labels of a row.",)


def _write(folder: JobFolder, kind: ExportKind, database: sqlite3.Connection) -> Written:
    state = db.state(database)
    if state.choices is None:
        raise ValueError("the job has no choices; a job is only exported once it is started")
    with open_table(folder.upload, state.choices.options, name=state.name) as table:
        return write_table(
            folder.export(kind),
            "semicolon csv" if kind == "csv" and table.delimiter == ";" else kind,
            all_columns(table.columns, state.labels, state.has_several_labels),
            _with_results(table.rows(), database, state.labels, state.has_several_labels),
        )


def all_columns(columns: Sequence[str], labels: Sequence[str], has_several_labels: bool) -> list[str]:
    """The columns of a file and those with the results, whose names differ from all others."""
    names = list(columns)
    for name in (
        *(("labels",) if has_several_labels else ()),
        "label",
        "confidence",
        *(f"probability of {label}" for label in labels),
        "warnings",
        "problem",
    ):
        candidate, number = name, 1
        while candidate in names:
            candidate = f"{name} (predicted)" if number == 1 else f"{name} (predicted {number})"
            number += 1
        names.append(candidate)
    return names


def _with_results(
    rows: Iterator[Row], database: sqlite3.Connection, labels: Sequence[str], has_several_labels: bool
) -> Iterator[Sequence[object]]:
    """Each row of the file with its result, if it has one. Both are in the order of their numbers."""
    results = iter(database.execute(_RESULTS))
    result = next(results, None)
    for row in rows:
        if result is not None and result[0] == row.number:
            _, all_labels, label, confidence, encoded, warnings, problem = result
            probabilities = json.loads(encoded) if encoded else {}
            yield (
                *row.values,
                *((_joined(all_labels, label),) if has_several_labels else ()),
                label,
                confidence,
                *map(probabilities.get, labels),
                "; ".join(json.loads(warnings)) if warnings else None,
                problem,
            )
            result = next(results, None)
        else:
            yield (*row.values, *[None] * (len(labels) + 4 + has_several_labels))


def _joined(labels: str | None, label: str | None) -> str | None:
    """All labels of a text in one cell, which is empty if it has none; None if it was not classified."""
    return label if labels is None else LABEL_SEPARATOR.join(json.loads(labels))


if __name__ == "__main__":
    os.umask(PRIVATE_UMASK)
    limit_process()
    export(folder_of_process(), cast("ExportKind", sys.argv[1]))
