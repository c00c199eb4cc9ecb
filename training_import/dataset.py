"""Read labelled texts from CSV, TSV, JSONL or Parquet files."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TextIO

from classifier.errors import ClassifierError
from classifier.validation import shortened

ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
"""The encodings to try, in this order, if none is named; UTF-16 only if the file begins with its mark."""

MIN_ROWS_OF_A_CLASS = 10

MAX_SHOWN_CHARACTERS = 60
"""Most characters of a value or of a column's name that an error shows. In a file without a header, a text is
in the place of a name, and texts may be confidential."""

MAX_SHOWN_COLUMNS = 10

_CHUNK_CHARACTERS = 2**20
_PARQUET_ROWS = 1024
"""Rows of a Parquet file that are in memory together."""

_Row = tuple[int, dict[str, object]]
"""The number of a row, which is 1 for the first row after a header, and its columns."""


class NoText(Enum):
    """Why a row has no text that can be classified."""

    BLANK = "blank"
    NULL = "null"
    NOT_TEXT = "not a text"


class DatasetError(ClassifierError):
    """The file cannot be used; the message names the file, the row and what is wrong."""


@dataclass(frozen=True)
class Dataset:
    """Labelled texts: n texts and n labels."""

    name: str
    sha256: str
    """The SHA-256 of the file."""
    texts: list[str]
    labels: list[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels in alphabetical order, so that "negative" comes before "positive"."""
        return tuple(sorted(set(self.labels)))

    def first(self, count: int) -> "Dataset":
        """Return the first rows; the name and the digest are still those of the whole file."""
        return replace(self, texts=self.texts[:count], labels=self.labels[:count])

    def check_learnable(self) -> None:
        """Raise DatasetError unless there are at least two classes, each with enough texts."""
        counts = Counter(self.labels)
        if len(counts) < 2:
            raise DatasetError(f"{self.name} has only the class {self.labels[0]!r}; at least 2 are needed")
        rarest, count = min(counts.items(), key=lambda item: (item[1], item[0]))
        if count < MIN_ROWS_OF_A_CLASS:
            raise DatasetError(
                f"{self.name}: class {rarest!r} has {count} rows; for training, each of the {len(counts)} "
                f"classes needs at least {MIN_ROWS_OF_A_CLASS}"
            )


def read_dataset(
    path: Path, text_column: str = "text", label_column: str = "label", encoding: str | None = None
) -> Dataset:
    """Read texts and labels from a file whose ending is .csv, .tsv, .jsonl or .parquet.

    Raises DatasetError for the first bad row, with its number; the first row after a header is row 1.
    """
    texts: list[str] = []
    labels: list[str] = []
    columns = {text_column: "--text-column", label_column: "--label-column"}
    for number, row in _rows(path, encoding, columns):
        texts.append(_text(path, number, text_column, row))
        label = row[label_column]
        if not isinstance(label, str | int) or not str(label).strip():
            raise DatasetError(
                f"{path} row {number}: {label_column} is {_shown(label)}; it must be a name or a whole number"
            )
        labels.append(str(label).strip())
    if not texts:
        raise DatasetError(f"{path} has no rows")
    with path.open("rb") as file:
        return Dataset(path.name, hashlib.file_digest(file, "sha256").hexdigest(), texts, labels)


def read_texts(path: Path, text_column: str = "text", encoding: str | None = None) -> list[str]:
    """Read only the texts; see `read_dataset`."""
    rows = _rows(path, encoding, {text_column: "--text-column"})
    return [_text(path, number, text_column, row) for number, row in rows]


def iterate_texts(
    path: Path, text_column: str = "text", encoding: str | None = None
) -> Iterator[str | NoText]:
    """Read the texts one by one, so that a file may be larger than the memory; see `read_dataset`.

    A row without a text raises no error; it gives the reason why it has none.
    """
    for _, row in _rows(path, encoding, {text_column: "--text-column"}):
        yield _text_or_reason(row[text_column])


def _reader(path: Path) -> Callable[[Path, str | None], Iterator[_Row]]:
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(
            f"{path}: unknown kind of file {path.suffix!r}; supported are {', '.join(readers)}"
        )
    return reader


def _rows(path: Path, encoding: str | None, columns: Mapping[str, str]) -> Iterator[_Row]:
    """Read rows that have these columns; `columns` says with which option each of them is named."""
    reader = _reader(path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    for number, row in reader(path, encoding):
        for column, option in columns.items():
            if column not in row:
                raise DatasetError(
                    f"{path} row {number}: there is no column {column!r}; it has {_shown_columns(row)}; name "
                    f"the right one with {option}"
                )
        yield number, row


def _text(path: Path, number: int, column: str, row: Mapping[str, object]) -> str:
    text = _text_or_reason(row[column])
    if isinstance(text, NoText):
        raise DatasetError(
            f"{path} row {number}: {column} is {_shown(row[column])}; it must be a text that is not blank"
        )
    return text


def _text_or_reason(value: object) -> str | NoText:
    if isinstance(value, str):
        return value if value.strip() else NoText.BLANK
    return NoText.NULL if value is None else NoText.NOT_TEXT


def _shown(value: object) -> str:
    return shortened(repr(value), MAX_SHOWN_CHARACTERS)


def _shown_columns(row: Mapping[str, object]) -> str:
    first = ", ".join(map(_shown, list(row)[:MAX_SHOWN_COLUMNS]))
    return first if len(row) <= MAX_SHOWN_COLUMNS else f"{first} and {len(row) - MAX_SHOWN_COLUMNS} more"


@contextmanager
def _open_text(path: Path, encoding: str | None, newline: str) -> Iterator[TextIO]:
    """Open a file in its encoding, after its byte order mark; `newline` is that of `open`."""
    with path.open(encoding=_encoding_of(path, encoding), newline=newline) as file:
        if file.read(1) != "\ufeff":
            file.seek(0)
        yield file


def _encoding_of(path: Path, encoding: str | None) -> str:
    """Return the given encoding, or the first of ENCODINGS that fits; the file is read once for it."""
    with path.open("rb") as file:
        has_utf16_mark = file.read(2) in {b"\xff\xfe", b"\xfe\xff"}
    candidates = (encoding,) if encoding else ENCODINGS
    for candidate in candidates:
        if candidate == "utf-16" and not has_utf16_mark and not encoding:
            continue
        try:
            with path.open(encoding=candidate) as text:
                while text.read(_CHUNK_CHARACTERS):
                    pass
        except LookupError as error:
            raise DatasetError(f"{path}: there is no encoding {candidate!r}") from error
        except UnicodeError:
            continue
        return candidate
    raise DatasetError(f"{path} is not text in {' or '.join(candidates)}; name its encoding with --encoding")


def _read_csv(path: Path, encoding: str | None) -> Iterator[_Row]:
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with _open_text(path, encoding, newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(rows, None)
            if header is None:
                raise DatasetError(f"{path} is empty")
            twice = [column for column, count in Counter(header).items() if column and count > 1]
            if twice:
                raise DatasetError(f"{path}: the header has column {_shown(twice[0])} twice")
            for number, row in enumerate(rows, start=1):
                if not row:
                    continue
                if len(row) != len(header):
                    raise DatasetError(
                        f"{path} row {number}: {len(row)} columns, where the header has {len(header)}"
                    )
                yield number, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise DatasetError(f"{path} line {rows.line_num}: {error}") from error


def _read_jsonl(path: Path, encoding: str | None) -> Iterator[_Row]:
    with _open_text(path, encoding, newline="\n") as file:
        for number, line in enumerate((line.rstrip("\n") for line in file), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"{path} row {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{path} row {number}: {_shown(line)} is not an object")
            yield number, row


def _read_parquet(path: Path, encoding: str | None) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    del encoding  # Parquet files are always Unicode
    number = 0
    # Damaged pages give an OSError, and damaged strings a UnicodeDecodeError.
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not a Parquet file: {error}") from error
