"""Read named columns of files of rows, and note which rows cannot be used and why."""

import difflib
import glob
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from classifier.errors import ClassifierError
from datafiles import DataFileError, EncodingUnknown, Limits, Options, Table, guess_columns, open_table
from datafiles.columns import show_names
from datafiles.errors import shown

MAX_BAD_SHARE = 0.01
"""The largest share of bad rows by default."""

FEW_BAD_ROWS = 5
"""So many bad rows are always skipped, unless none may be. Each of them is shown with its place."""

_LIMITS = Limits(unpacked_bytes=2**40)
"""A data set is the user's own file, and may be larger than the memory."""

NEAR = 0.75
"""From this similarity on, a name is a near miss (1 is the same name); "lable" and "label" have 0.8."""

_SAMPLE_ROWS = 100
_SHOWN_FILES = 3


class DatasetError(ClassifierError):
    """The data cannot be used; the message names the file, the place and what is wrong."""


class Place(NamedTuple):
    """Where a row is."""

    file: str
    unit: str
    """What `line` counts: "line" for a text, "row" for Excel and Parquet."""
    line: int

    def shown(self, with_file: bool) -> str:
        """Return how a message shows the place; it needs no file if there is only one."""
        return f"{self.file} {self.unit} {self.line}" if with_file else f"{self.unit} {self.line}"


class BadRow(NamedTuple):
    """A row that cannot be used."""

    place: Place
    reason: str
    """A few words, by which such rows are counted."""
    sentence: str
    """What is wrong with this row."""


class GoodRow(NamedTuple):
    """A row with as many values as the file has columns."""

    place: Place
    values: Mapping[str, object]
    """The value of each named column."""


@dataclass(frozen=True)
class ReadFile:
    """What was found out about a file."""

    name: str
    kind: str
    encoding: str | None
    delimiter: str | None
    notices: tuple[str, ...]
    """What was decided for the user, one sentence each."""


@dataclass(frozen=True)
class Skipped:
    """The bad rows."""

    counts: Mapping[str, int]
    """How many there are for each reason, the most frequent first."""
    first: tuple[BadRow, ...]
    """The first of them, at most FEW_BAD_ROWS."""

    @property
    def total(self) -> int:
        """The number of bad rows."""
        return sum(self.counts.values())

    def reasons(self) -> str:
        """Say how many bad rows there are for each reason; empty if there are none."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.counts.items())


class Tally:
    """Counts bad rows, and keeps the first ones."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: list[BadRow] = []

    def add(self, bad: BadRow) -> None:
        """Count a bad row."""
        self._counts[bad.reason] += 1
        if len(self._first) < FEW_BAD_ROWS:
            self._first.append(bad)

    def skipped(self) -> Skipped:
        """Return what was counted so far."""
        return Skipped(dict(self._counts.most_common()), tuple(self._first))


class Rows:
    """The rows of files with named columns, read once, one after the other.

    `columns` says with which option, if any, each column is named. Raises DatasetError if a file cannot be
    used or lacks a column.
    """

    def __init__(
        self, files: Sequence[Path], columns: Mapping[str, str | None], encoding: str | None
    ) -> None:
        self._names = file_names(files)
        self._files = files
        self._columns = columns
        self._encoding = encoding
        self.read_files: list[ReadFile] = []
        """The files whose rows were begun."""

    def __iter__(self) -> Iterator[GoodRow | BadRow]:
        for path, name in zip(self._files, self._names, strict=True):
            try:
                with open_table(path, Options(self._encoding), _LIMITS, str(path)) as table:
                    yield from self._of_table(table, path, name)
            except EncodingUnknown as error:
                raise DatasetError(f"{error} with --encoding") from error
            except DataFileError as error:
                raise DatasetError(str(error)) from error

    def _of_table(self, table: Table, path: Path, name: str) -> Iterator[GoodRow | BadRow]:
        if table.duplicates:
            raise DatasetError(f"{path}: the header has column {shown(table.duplicates[0])} twice")
        if table.columns:  # JSON has no columns if all of its rows are bad
            _check_columns(table, path, self._columns)
        self.read_files.append(ReadFile(name, table.kind, table.encoding, table.delimiter, table.notices))
        for row in table.rows():
            place = Place(name, table.unit, row.line)
            if row.problem is not None:
                yield BadRow(place, str(row.problem.fault), row.problem.sentence)
            elif len(row.values) > 1 and row.values == table.columns:
                # Files that were put together with `cat` have such rows.
                yield BadRow(place, "repeated header", "it has the names of the columns again")
            else:
                values = dict(zip(table.columns, row.values, strict=True))
                yield GoodRow(place, {column: values.get(column) for column in self._columns})


def _check_columns(table: Table, path: Path, columns: Mapping[str, str | None]) -> None:
    missing = {column: option for column, option in columns.items() if column not in table.columns}
    if not missing:
        return
    absent = " and no column ".join(_absent(table, *column) for column in missing.items())
    options = [option for option in missing.values() if option]
    advice = (
        f"; name the right {'one' if len(options) == 1 else 'ones'} with "
        f"{' and '.join(dict.fromkeys(options))}"
        if options
        else ""
    )
    raise DatasetError(f"{path}: there is no column {absent}; it has {show_names(table.columns)}{advice}")


def _absent(table: Table, missing: str, option: str | None) -> str:
    """Return a missing column with the one that was probably meant."""
    suggested = _suggested(table, missing, option)
    return shown(missing) + (f" (did you mean {shown(suggested)}?)" if suggested else "")


def _suggested(table: Table, missing: str, option: str | None) -> str | None:
    """Return the column that was probably meant: a similar name, or what `guess_columns` finds."""
    lower = {column.lower(): column for column in reversed(table.columns)}
    near = difflib.get_close_matches(missing.lower(), lower, n=1, cutoff=NEAR)
    if near:
        return lower[near[0]]
    guess = guess_columns(table.columns, list(islice(table.rows(), _SAMPLE_ROWS)))
    return {"--text-column": guess.text, "--label-column": guess.label}.get(option or "")


def expand(patterns: Sequence[Path]) -> list[Path]:
    """Return the files that paths and patterns such as part-*.parquet name, each once.

    The files of a pattern are in alphabetical order. Raises DatasetError if no file matches one.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        if not glob.has_magic(str(pattern)) or pattern.exists():
            files[pattern] = None
            continue
        found = sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207  # may be absolute
        if not found:
            raise DatasetError(f"no file matches {str(pattern)!r}")
        files.update(dict.fromkeys(found))
    return list(files)


def file_names(files: Sequence[Path]) -> list[str]:
    """Return the names of files, with their folders if two of them have the same name."""
    names = [path.name for path in files]
    return names if len(set(names)) == len(names) else list(map(str, files))


def joint_name(files: Sequence[Path]) -> str:
    """Return the name of all files together."""
    names = file_names(files)
    if len(names) <= _SHOWN_FILES:
        return " + ".join(names)
    return " + ".join([*names[: _SHOWN_FILES - 1], f"{len(names) - _SHOWN_FILES + 1:,} more files"])


def joint_digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of one file, or that of the digests of several, which are lines in hexadecimal."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def check_bad_rows(
    files: Sequence[Path], used: int, skipped: Skipped, max_share: float, hint: str = ""
) -> None:
    """Raise DatasetError if no row can be used, or if too many are bad; the error ends with the hint.

    Too many are more than this share of all rows and more than FEW_BAD_ROWS. If the share is 0, one is
    too many.
    """
    name = str(files[0]) if len(files) == 1 else joint_name(files)
    rows = used + skipped.total
    if not rows:
        raise DatasetError(f"{name} has no rows")
    if used and skipped.total <= (max(FEW_BAD_ROWS, max_share * rows) if max_share else 0):
        return
    rule = "--max-bad-rows 0 allows none"
    if max_share:
        rule = (
            f"at most {100 * max_share:g} % of the rows, or {FEW_BAD_ROWS} rows, may be skipped, and "
            "--max-bad-rows allows another share"
        )
    raise DatasetError(
        f"{name}: {skipped.total:,} of {rows:,} rows cannot be used ({skipped.reasons()}), the first in "
        + ", ".join(f"{bad.place.shown(len(files) > 1)} ({bad.sentence})" for bad in skipped.first)
        + (f"; {rule}" if used else "")
        + hint
    )
