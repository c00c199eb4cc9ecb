"""Guesses which column of a table has the texts, and which the labels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

from datafiles.table import Row

TEXT_NAMES = (
    "text",
    "texts",
    "review",
    "reviews",
    "review_text",
    "reviewtext",
    "comment",
    "comments",
    "content",
    "body",
    "message",
    "sentence",
    "document",
    "tweet",
    "post",
    "phrase",
    "description",
)
"""The usual names of a column of texts, the most usual first."""

LABEL_NAMES = ("label", "labels", "class", "sentiment", "category", "target", "polarity", "y")
"""The usual names of a column of labels, the most usual first."""


@dataclass(frozen=True)
class ColumnGuess:
    """The names of two columns; None for one that cannot be guessed."""

    text: str | None
    label: str | None


def guess_columns(columns: Sequence[str], sample: Sequence[Row]) -> ColumnGuess:
    """Guess the columns by their names; without a usual name, the texts are the longest strings.

    `sample` has rows of the table, such as the first hundred.
    """
    label = _first_named(columns, LABEL_NAMES)
    text = _first_named(columns, TEXT_NAMES)
    if text is None:
        text = _longest([column for column in columns if column != label], columns, sample)
    return ColumnGuess(text, label)


def _first_named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {column.lower().replace(" ", "_"): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def _longest(candidates: Collection[str], columns: Sequence[str], sample: Sequence[Row]) -> str | None:
    """Return the candidate whose strings have the greatest mean length; None if no row has a string there."""
    lengths = {}
    for position, column in enumerate(columns):
        strings = [
            value for row in sample if isinstance(value := row.values[position], str) and value.strip()
        ]
        if column in candidates and strings:
            lengths[column] = fmean(map(len, strings))
    return max(lengths, key=lengths.__getitem__, default=None)
