"""Read labelled texts from files of rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from classifier.validation import listed
from datafiles.errors import shown
from training_import.label_sources import NO_LABEL, FoundLabels, LabelColumn, LabelSource, separator_in
from training_import.labels import is_missing, is_missing_label, spell_label
from training_import.rows import (
    MAX_BAD_SHARE,
    BadRow,
    DatasetError,
    GoodRow,
    Place,
    ReadFile,
    Rows,
    Skipped,
    Tally,
    check_bad_rows,
    expand,
    joint_digest,
    joint_name,
)

MIN_ROWS_OF_A_CLASS = 10
MAX_SHOWN_CLASSES = 5
"""Most classes with too few rows that an error names."""

_SHOWN_SPELLINGS = 5

Files = Path | Sequence[Path]
"""A file, or several files that are one data set; each may be a pattern such as part-*.parquet."""


@dataclass(frozen=True)
class Reading:
    """How a data set was read."""

    files: tuple[ReadFile, ...]
    rows: int
    """The number of all rows, with those that were skipped."""
    skipped: Skipped
    spellings: Mapping[str, str]
    """The first labels that are spelled in another way than in the file: there, and here."""

    @property
    def has_several_files(self) -> bool:
        """Whether a place needs the name of its file."""
        return len(self.files) > 1

    @property
    def notices(self) -> tuple[str, ...]:
        """What was decided for the user, one sentence each."""
        of_files = dict.fromkeys(notice for file in self.files for notice in file.notices)
        if not self.spellings:
            return tuple(of_files)
        changes = ", ".join(f"{there} is {here!r}" for there, here in self.spellings.items())
        return (*of_files, f"Labels that mean the same are spelled alike: {changes}.")


@dataclass(frozen=True)
class Dataset:
    """Labelled texts: n texts, each with one label or each with any number of labels."""

    name: str
    sha256: str
    """The SHA-256 of the file, or of the digests of several files."""
    texts: list[str]
    labels: list[str]
    """The label of each text (n); empty if some texts have several labels or none."""
    places: list[Place] = field(default_factory=list)
    """Where each text (n) is; empty if the texts are not from a file."""
    columns: Mapping[str, list[str]] = field(default_factory=dict)
    """Further columns that were asked for, with a name for each text (n)."""
    reading: Reading | None = None
    """None if the texts are not from a file."""
    label_sets: list[tuple[str, ...]] | None = None
    """The labels of each text (n), if some texts have several or none; None if each has exactly one."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels in alphabetical order, so that "negative" comes before "positive"."""
        return tuple(sorted(set(chain.from_iterable(self.sets))))

    @property
    def sets(self) -> list[tuple[str, ...]]:
        """The labels of each text (n); a text with exactly one label has a set of one."""
        return [(label,) for label in self.labels] if self.label_sets is None else self.label_sets

    def place_of(self, row: int) -> str | None:
        """Return how a message shows where a text is; None if the texts are not from a file."""
        if not self.places:
            return None
        return self.places[row].shown(self.reading is not None and self.reading.has_several_files)

    def first(self, count: int) -> "Dataset":
        """Return the first rows; the name, the digest and the reading are still those of the whole file."""
        return self._with_rows(lambda values: values[:count])

    def only(self, rows: Sequence[bool]) -> "Dataset":
        """Return the rows that are true; name, digest and reading are still those of the whole file."""
        return self._with_rows(lambda values: list(compress(values, rows)))

    def _with_rows(self, keep: Callable[[list[Any]], list[Any]]) -> "Dataset":
        return replace(
            self,
            texts=keep(self.texts),
            labels=keep(self.labels),
            places=keep(self.places),
            columns={name: keep(values) for name, values in self.columns.items()},
            label_sets=None if self.label_sets is None else keep(self.label_sets),
        )

    def check_one_label(self, rule: str) -> None:
        """Raise DatasetError if some texts have several labels or none; `rule` says who needs exactly one."""
        if self.label_sets is None:
            return
        counts = [len(labels) for labels in self.label_sets]
        row = counts.index(next((count for count in counts if count > 1), min(counts)))
        labels = [shown(label) for label in self.label_sets[row]]
        found = f"{len(labels)} labels ({listed(labels, MAX_SHOWN_CLASSES)})" if labels else "no label"
        place = self.place_of(row) or f"text {row + 1}"
        raise DatasetError(f"{self.name}: the text in {place} has {found}; {rule}")

    def check_learnable(self, min_rows: int = MIN_ROWS_OF_A_CLASS) -> None:
        """Raise DatasetError unless there are at least two classes, each with enough texts."""
        counts = Counter(self.labels)
        if len(counts) < 2:
            raise DatasetError(f"{self.name} has only the class {self.labels[0]!r}; at least 2 are needed")
        small = sorted((count, label) for label, count in counts.items() if count < min_rows)
        if small:
            first = ", ".join(f"class {label!r} has {count}" for count, label in small[:MAX_SHOWN_CLASSES])
            rest = len(small) - MAX_SHOWN_CLASSES
            more = f", and {rest} more classes have too few" if rest > 0 else ""
            raise DatasetError(
                f"{self.name}: for training, each of the {len(counts)} classes needs at least "
                f"{min_rows} rows; {first}{more}. Add rows, or leave out those of such classes"
            )


def read_dataset(
    files: Files,
    text_column: str = "text",
    label_column: str | LabelSource = "label",
    encoding: str | None = None,
    max_bad_rows: float = MAX_BAD_SHARE,
    more_columns: Mapping[str, str | None] = MappingProxyType({}),
) -> Dataset:
    """Read texts and labels from files of a kind that `datafiles` reads; their endings say which.

    `label_column` names the column of the labels, or says in another way where the labels of a row are.
    `more_columns` has further columns of names, each with the option of the command that names it, or None if
    the column always has this name. A row that lacks a text, a label or one of these names is skipped and
    counted. Raises DatasetError if a file cannot be used, or if more rows are bad than `check_bad_rows`
    allows for the share `max_bad_rows`.
    """
    paths = expand([files] if isinstance(files, Path) else files)
    source = LabelColumn(label_column) if isinstance(label_column, str) else label_column
    columns = {text_column: "--text-column", **source.columns, **more_columns}
    rows, tally = Rows(paths, columns, encoding), Tally()
    texts: list[str] = []
    label_sets: list[tuple[str, ...]] = []
    places: list[Place] = []
    names: dict[str, list[str]] = {column: [] for column in more_columns}
    spellings: dict[str, str] = {}
    for row in rows:
        used = row if isinstance(row, BadRow) else _used(row, text_column, source, more_columns)
        if isinstance(used, BadRow):
            tally.add(used)
            continue
        texts.append(used.text)
        label_sets.append(used.found.labels)
        places.append(used.place)
        for column, found in names.items():
            found.append(used.names[column])
        for written, label in zip(used.found.written, used.found.labels, strict=True):
            if written != label and len(spellings) < _SHOWN_SPELLINGS:
                spellings[shown(written)] = label
    skipped = tally.skipped()
    has_empty_cells = isinstance(source, LabelColumn) and NO_LABEL in skipped.counts
    hint = _separator_hint(label_sets) if has_empty_cells else ""
    check_bad_rows(paths, len(texts), skipped, max_bad_rows, hint)
    has_one_each = all(len(labels) == 1 for labels in label_sets)
    return Dataset(
        joint_name(paths),
        joint_digest(paths),
        texts,
        [label for (label,) in label_sets] if has_one_each else [],
        places,
        names,
        Reading(tuple(rows.read_files), len(texts) + skipped.total, skipped, spellings),
        None if has_one_each else label_sets,
    )


def read_texts(
    files: Files,
    text_column: str = "text",
    encoding: str | None = None,
    max_bad_rows: float = MAX_BAD_SHARE,
) -> list[str]:
    """Read only the texts; see `read_dataset`."""
    return read_texts_and_skipped(files, text_column, encoding, max_bad_rows)[0]


def read_texts_and_skipped(
    files: Files,
    text_column: str = "text",
    encoding: str | None = None,
    max_bad_rows: float = MAX_BAD_SHARE,
) -> tuple[list[str], Skipped]:
    """Read only the texts, and say which rows have none; see `read_dataset`."""
    paths = expand([files] if isinstance(files, Path) else files)
    texts, tally = [], Tally()
    for row in iterate_texts(paths, text_column, encoding):
        if isinstance(row, BadRow):
            tally.add(row)
        else:
            texts.append(row)
    skipped = tally.skipped()
    check_bad_rows(paths, len(texts), skipped, max_bad_rows)
    return texts, skipped


def iterate_texts(
    files: Files, text_column: str = "text", encoding: str | None = None
) -> Iterator[str | BadRow]:
    """Read the texts one by one, so that a file may be larger than the memory; see `read_dataset`.

    A row without a text gives the bad row. However many there are, they raise no error.
    """
    paths = expand([files] if isinstance(files, Path) else files)
    for row in Rows(paths, {text_column: "--text-column"}, encoding):
        yield row if isinstance(row, BadRow) else _text(row, text_column)


def _separator_hint(label_sets: Iterable[tuple[str, ...]]) -> str:
    """Say that cells may have several labels; empty if none looks like it."""
    for label in chain.from_iterable(label_sets):
        if separator := separator_in(label):
            return (
                f"; if {shown(label)} is several labels and an empty cell is none, add "
                f"--label-separator {separator!r}"
            )
    return ""


@dataclass(frozen=True)
class _UsedRow:
    place: Place
    text: str
    found: FoundLabels
    names: Mapping[str, str]
    """The names in further columns, by their columns."""


def _used(
    row: GoodRow, text_column: str, source: LabelSource, more_columns: Iterable[str]
) -> _UsedRow | BadRow:
    """Return the text, the labels and the names in further columns."""
    text = _text(row, text_column)
    if isinstance(text, BadRow):
        return text
    found = source.read(row)
    if isinstance(found, BadRow):
        return found
    names: dict[str, str] = {}
    for column in more_columns:
        value = row.values[column]
        name = None if is_missing_label(value) else spell_label(value)
        if name is None:
            reason = f"no {column}" if is_missing_label(value) else f"{column} of another type"
            rule = "it must be a name, a number, or true or false"
            return BadRow(row.place, reason, f"{shown(column)} is {shown(value)}; {rule}")
        names[column] = name
    return _UsedRow(row.place, text, found, names)


def _text(row: GoodRow, column: str) -> str | BadRow:
    value = row.values[column]
    if isinstance(value, str) and value.strip():
        return value
    reason = "no text" if is_missing(value) else "text of another type"
    rule = "it must be a text that is not blank"
    return BadRow(row.place, reason, f"{shown(column)} is {shown(value)}; {rule}")
