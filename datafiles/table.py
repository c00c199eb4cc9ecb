"""What a file of rows is to its reader: columns, rows, and what was decided about them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from datafiles.columns import name_columns


@dataclass(frozen=True)
class Options:
    """How to read a file; what is None is found out. A kind of file ignores what it does not have."""

    encoding: str | None = None
    """The name of a text encoding that Python knows."""
    delimiter: str | None = None
    """The character between the columns."""
    has_header: bool = True
    """Whether the first row has the names of the columns."""


@dataclass(frozen=True)
class Limits:
    """How large a file may be. One beyond a limit raises DataFileError."""

    unpacked_bytes: int = 2 * 2**30
    """Most bytes to which a file of gzip, Excel or Parquet may unpack."""
    columns: int = 1000


class Fault(StrEnum):
    """What can be wrong with a row."""

    COLUMNS = "wrong number of columns"
    QUOTES = "unbalanced quotes"
    JSON = "not a JSON object"


class Problem(NamedTuple):
    """Why a row is not as the columns say."""

    fault: Fault
    sentence: str


class Row(NamedTuple):
    """One row: as many values as the table has columns."""

    number: int
    """1 for the first row after the header. Blank rows are left out, but counted."""
    line: int
    """Where the row begins: the line of a text, the row of a sheet or of a Parquet file. The first is 1."""
    values: tuple[object, ...]
    problem: Problem | None = None
    """Missing values of a row with a problem are None, and surplus ones are left out."""


@dataclass(frozen=True)
class Content:
    """What the reader of a kind of file has found."""

    names: Sequence[str]
    """The names of the columns as they are in the file; they may be blank or occur twice."""
    rows: Iterator[Row]
    share_read: Callable[[], float]
    """Returns how much of the file is read, from 0 to 1."""
    encoding: str | None = None
    delimiter: str | None = None
    notices: tuple[str, ...] = ()


class Table:
    """An open file of rows. It can be read once, and its rows are not kept.

    It is a context manager, which closes the file.
    """

    def __init__(self, kind: str, unit: str, content: Content, files: ExitStack) -> None:
        named = name_columns(content.names)
        self.kind = kind
        """The kind of file: "CSV", "TSV", "text", "JSONL", "JSON", "Parquet" or "Excel"."""
        self.unit = unit
        """What `Row.line` counts: "line" or "row"."""
        self.columns = named.columns
        """Distinct names. A second "text" is "text (2)", and a third column without a name is "column 3"."""
        self.duplicates = named.duplicates
        """The names that occur more than once in the file."""
        self.encoding = content.encoding
        self.delimiter = content.delimiter
        self.notices = content.notices + named.notices
        """What was decided for the user, one sentence each."""
        self._content = content
        self._files = files

    def rows(self) -> Iterator[Row]:
        """Return an iterator over the rows that are not yet read.

        It raises DataFileError if it comes to a place that is damaged.
        """
        return self._content.rows

    def share_read(self) -> float:
        """Return how much of the file is read, from 0 to 1, by bytes or by rows."""
        return min(self._content.share_read(), 1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()


def fitted(number: int, line: int, values: Sequence[object], width: int, origin: str) -> Row:
    """Return a row with `width` values, and with a problem if there were more or fewer.

    `origin` is what says how many there must be, such as "the header".
    """
    if len(values) == width:
        return Row(number, line, tuple(values))
    columns = "1 column" if len(values) == 1 else f"{len(values):,} columns"
    filled = (*values[:width], *[None] * (width - len(values)))
    return Row(number, line, filled, Problem(Fault.COLUMNS, f"{columns}, where {origin} has {width:,}"))
