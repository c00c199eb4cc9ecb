"""Find the labels of a row in its cells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from datafiles.errors import shown
from training_import.labels import is_missing, is_missing_label, spell_label
from training_import.rows import BadRow, GoodRow

NO_LABEL = "no label"
"""Why a row cannot be used whose cell of one label is empty."""

_RULE = "must be a name, a number, or true or false"
_IS_THERE = {"1": True, "True": True, "0": False, "False": False}
"""What a cell says in a column for one label."""

_SEPARATORS = ("|", ";", ",", "/", "\t")
"""What is often between labels."""


def separator_in(label: str) -> str | None:
    """Return what may separate several labels in this one; None if nothing does."""
    return next((separator for separator in _SEPARATORS if separator in label), None)


class FoundLabels(NamedTuple):
    """The labels of a row, each once, in the order of the file; there may be none."""

    labels: tuple[str, ...]
    written: tuple[str, ...]
    """The same labels as they are in the file, but for white space around them."""


class LabelSource(Protocol):
    """Where the labels of a row are."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that it reads, each with the option of the command that names it."""

    def read(self, row: GoodRow) -> FoundLabels | BadRow:
        """Return the labels of a row, or why it cannot be used."""


@dataclass(frozen=True)
class LabelColumn:
    """A column with one label in each cell, or with a list of labels."""

    column: str = "label"

    @property
    def columns(self) -> Mapping[str, str]:
        """The column."""
        return {self.column: "--label-column"}

    def read(self, row: GoodRow) -> FoundLabels | BadRow:
        """Return the labels of the cell."""
        value = row.values[self.column]
        if isinstance(value, list):
            return _listed(row, self.column, value)
        label = None if is_missing_label(value) else spell_label(value)
        if label is None:
            reason = NO_LABEL if is_missing_label(value) else "label of another type"
            return BadRow(row.place, reason, f"{shown(self.column)} is {shown(value)}; it {_RULE}")
        return FoundLabels((label,), (str(value).strip(),))


@dataclass(frozen=True)
class SeparatedLabels:
    """A column with any number of labels in each cell, and what is between them."""

    column: str
    separator: str

    @property
    def columns(self) -> Mapping[str, str]:
        """The column."""
        return {self.column: "--label-column"}

    def read(self, row: GoodRow) -> FoundLabels | BadRow:
        """Return the labels of the cell; an empty one has none."""
        value = row.values[self.column]
        if is_missing_label(value):
            return FoundLabels((), ())
        if isinstance(value, str):
            parts = value.split(self.separator)
            return _listed(row, self.column, [part for part in parts if not is_missing(part)])
        return LabelColumn(self.column).read(row)


@dataclass(frozen=True)
class ColumnPerLabel:
    """A column for each label, with 1 in the rows that have it and 0 in the others."""

    labels: tuple[str, ...]

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns, which have the names of the labels."""
        return dict.fromkeys(self.labels, "--label-columns")

    def read(self, row: GoodRow) -> FoundLabels | BadRow:
        """Return the labels whose cell is 1 or true."""
        found = []
        for label in self.labels:
            value = row.values[label]
            is_there = _IS_THERE.get(spell_label(value) or "")
            if is_there is None:
                reason = "no 0 or 1 for a label" if is_missing(value) else "neither 0 nor 1 for a label"
                return BadRow(row.place, reason, f"{shown(label)} is {shown(value)}; it must be 0 or 1")
            if is_there:
                found.append(label)
        return _once(found)


def _listed(row: GoodRow, column: str, values: list[object]) -> FoundLabels | BadRow:
    for value in values:
        if is_missing_label(value) or spell_label(value) is None:
            sentence = f"{shown(column)} is a list with {shown(value)}; each of its values {_RULE}"
            return BadRow(row.place, "list with something that is no label", sentence)
    if _are_indicators(values):
        sentence = (
            f"{shown(column)} is {shown(values)}; a list must have the labels of the text, not 0 or 1 for "
            "each label of the model"
        )
        return BadRow(row.place, "list of 0 and 1 for all labels", sentence)
    return _once(values)


def _are_indicators(values: list[object]) -> bool:
    """Return whether numbers say which labels a text has, such as 0, 1, 0, instead of being labels."""
    numbers = [value for value in values if isinstance(value, int | float | Decimal)]
    return len(numbers) == len(values) > len(set(numbers)) and set(numbers) <= {0, 1}


def _once(values: Iterable[object]) -> FoundLabels:
    """Return each label once; two values that are spelled alike are one label."""
    found: dict[str, str] = {}
    for value in values:
        found.setdefault(spell_label(value) or "", str(value).strip())
    return FoundLabels(tuple(found), tuple(found.values()))
