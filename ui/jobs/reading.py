"""Reads the rows of an uploaded file into the database of its job."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pydantic import TypeAdapter, ValidationError

from classifier.schema import MAX_TEXT_CHARS
from classifier.schema import Text as AcceptedText
from datafiles import DataFileError, Row, Table, open_table
from ui.jobs.folder import JobFolder
from ui.jobs.store import Interrupted, NewRow, Store, Text
from ui.jobs.values import Choices, ProblemKind, Stage

MAX_ROWS_TOGETHER = 2000
"""Most rows in one transaction."""

MAX_CHARACTERS_TOGETHER = 2**22
"""Most characters in one transaction, but at least one row."""

MAX_LABEL_CHARS = 200
"""Most characters that are kept of a true label."""

_ACCEPTED: TypeAdapter[str] = TypeAdapter(AcceptedText)
_KINDS = {
    "text_blank": ProblemKind.BLANK,
    "text_too_long": ProblemKind.TOO_LONG,
}


def read_upload(folder: JobFolder, store: Store, max_bytes: int, should_end: Callable[[], bool]) -> None:
    """Read all rows.

    A row that the service would not classify gets its problem here and is never sent. Raises DataFileError if
    the file cannot be used or takes more than `max_bytes` in the database, and Interrupted as soon as
    `should_end` returns true; the next worker then begins again.
    """
    state = store.state
    if state.choices is None:
        raise ValueError("the job has no choices; a job is only read once it is started")
    store.enter(Stage.READING)
    with open_table(folder.upload, state.choices.options, name=state.name) as table:
        to_row = _to_row(table, state.choices, state.name)
        store.begin_reading(table.notices)
        for rows in _chunks(map(to_row, table.rows())):
            if should_end():
                raise Interrupted
            store.add_rows(rows, table.share_read())
            if store.bytes() > max_bytes:
                raise DataFileError(
                    f"{state.name} takes more than {max_bytes:,} bytes, the most for all jobs together"
                )
    if not store.state.rows:
        raise DataFileError(f"{state.name} has no rows")
    store.end_reading()


def _to_row(table: Table, choices: Choices, name: str) -> Callable[[Row], NewRow]:
    """Returns the function that checks a row; raises DataFileError if a chosen column is not in the file."""
    for column in (choices.text_column, choices.label_column):
        if column is not None and column not in table.columns:
            raise DataFileError(
                f"{name} has no column {column!r}; its columns are {', '.join(table.columns)}"
            )
    label_place = None if choices.label_column is None else table.columns.index(choices.label_column)
    return partial(
        check_row,
        table.columns.index(choices.text_column),
        label_place,
        label_separator=choices.label_separator,
    )


def check_row(
    text_place: int, label_place: int | None, row: Row, label_separator: str | None = None
) -> NewRow:
    """Check a row as the service would check its text."""
    value = _present(row.values[text_place])
    labels = None if label_place is None else _labels(row.values[label_place], label_separator)
    label = None if label_place is None or labels is not None else _label(row.values[label_place])
    new = partial(_new_row, row.number, label, labels)
    if row.problem is not None:
        return new(value, ProblemKind.BAD_ROW, row.problem.sentence)
    if value is None:
        return new("", ProblemKind.MISSING, "The row has no text.")
    if not isinstance(value, str):
        return new(value, ProblemKind.NOT_TEXT, f"The value is not text: {_stored(value)[:100]}")
    if not _is_unicode(value):
        rule = "The text contains half of a surrogate pair, which is not a character."
        return new(value, ProblemKind.NOT_UNICODE, rule)
    try:
        text = _ACCEPTED.validate_python(value)
    except ValidationError as error:
        broken = error.errors(include_url=False)[0]
        return new(value, _KINDS[broken["type"]], f"The text {broken['msg']}.")
    return NewRow(Text(row.number, label, text, labels), len(text))


def _is_unicode(text: str) -> bool:
    """Whether a text can be encoded. A JSON file can have halves of characters, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _new_row(
    number: int,
    label: str | None,
    labels: tuple[str, ...] | None,
    value: object,
    kind: ProblemKind,
    problem: str,
) -> NewRow:
    text = _stored(value)
    return NewRow(Text(number, label, text[:MAX_TEXT_CHARS], labels), len(text), kind, problem)


def _present(value: object) -> object:
    """The value; None for the number that stands for a missing value in files of pandas."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _stored(value: object) -> str:
    """The value as a text that UTF-8 can hold, without white space at both ends."""
    text = "" if value is None else str(value).strip()
    return text if text.isascii() else text.encode(errors="replace").decode()


def _label(value: object) -> str | None:
    return _stored(_present(value))[:MAX_LABEL_CHARS] or None


def _labels(value: object, separator: str | None) -> tuple[str, ...] | None:
    """The labels of a list or of a cell with a separator, which can be none; None for any other cell."""
    if isinstance(value, list):
        pieces: Iterable[object] = value
    elif separator is not None:
        pieces = _stored(_present(value)).split(separator)
    else:
        return None
    return tuple(dict.fromkeys(label for piece in pieces if (label := _label(piece))))


def _chunks(rows: Iterator[NewRow]) -> Iterator[list[NewRow]]:
    chunk: list[NewRow] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += len(row.row.text)
        if len(chunk) >= MAX_ROWS_TOGETHER or characters >= MAX_CHARACTERS_TOGETHER:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
