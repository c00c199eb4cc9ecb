"""Read texts with the probabilities that an original model gave them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ClassifierError
from datafiles import DataFileError, Limits, Options, open_table
from datafiles.columns import show_names
from datafiles.errors import shown

TEXT_COLUMN = "text"
PROBABILITIES_COLUMN = "probabilities"

SUM_TOLERANCE = 1e-3
"""How far from 1 the sum of the probabilities of a text may be, because they may be rounded."""


class ExpectedError(ClassifierError):
    """The file cannot be compared with; the message names the file, the row and what is wrong."""


@dataclass(frozen=True)
class Expected:
    """What an original model answered to n texts."""

    name: str
    """The name of the file."""
    texts: list[str]
    probabilities: NDArray[np.float64]
    """Shape (n, classes)."""


def read_expected(path: Path, labels: Sequence[str], has_several_labels: bool = False) -> Expected:
    """Read a file with a column `text`, and the probabilities of all labels.

    They are in a column for each label, or in a column `probabilities`, whose values are lists in the order
    of the labels or {label: probability}. They sum to 1, unless a text can have several labels. Raises
    ExpectedError for the first bad row.
    """
    texts: list[str] = []
    rows: list[list[float]] = []
    try:
        with open_table(path, Options(), Limits(), str(path)) as table:
            _check_columns(path, table.columns, labels)
            for row in table.rows():
                place = f"{path} row {row.number}"
                if row.problem is not None:
                    raise ExpectedError(f"{place}: {row.problem}")
                values = dict(zip(table.columns, row.values, strict=True))
                texts.append(_text(place, values[TEXT_COLUMN]))
                rows.append(_probabilities(place, values, labels))
                if not has_several_labels:
                    _check_sum(place, rows[-1])
    except DataFileError as error:
        raise ExpectedError(str(error)) from error
    if not texts:
        raise ExpectedError(f"{path} has no rows")
    return Expected(path.name, texts, np.array(rows))


def _check_columns(path: Path, columns: Sequence[str], labels: Sequence[str]) -> None:
    if TEXT_COLUMN not in columns:
        raise ExpectedError(f"{path} has no column {TEXT_COLUMN!r}; it has {show_names(columns)}")
    missing = [label for label in labels if label not in columns]
    if missing and PROBABILITIES_COLUMN not in columns:
        raise ExpectedError(
            f"{path} has neither a column {PROBABILITIES_COLUMN!r} nor one for the label {missing[0]!r}; "
            f"it has {show_names(columns)}"
        )


def _text(place: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ExpectedError(f"{place}: {TEXT_COLUMN} is {shown(value)}; it must be a text that is not blank")
    return value


def _probabilities(place: str, values: Mapping[str, Any], labels: Sequence[str]) -> list[float]:
    given = values.get(PROBABILITIES_COLUMN, values)
    if isinstance(given, list):
        if len(given) != len(labels):
            raise ExpectedError(
                f"{place}: {PROBABILITIES_COLUMN} has {len(given)} numbers; the model has {len(labels)} "
                "labels"
            )
        given = dict(zip(labels, given, strict=True))
    if not isinstance(given, Mapping):
        raise ExpectedError(
            f"{place}: {PROBABILITIES_COLUMN} is {shown(given)}; it must be a list of {len(labels)} numbers "
            "or {label: number}"
        )
    return [_number(place, label, given.get(label)) for label in labels]


def _check_sum(place: str, probabilities: Sequence[float]) -> None:
    total = math.fsum(probabilities)
    if abs(total - 1) > SUM_TOLERANCE:
        raise ExpectedError(f"{place}: the probabilities sum to {total:.6g}; they must sum to 1")


def _number(place: str, label: str, value: Any) -> float:
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ExpectedError(
            f"{place}: the probability of {label!r} is {shown(value)}; it must be a number from 0 to 1"
        )
    return number
