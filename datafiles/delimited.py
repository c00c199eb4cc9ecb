"""Reads rows of text: CSV, TSV, and one text a line."""

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import NamedTuple

from datafiles.columns import numbered_columns
from datafiles.errors import DataFileError
from datafiles.source import Source
from datafiles.table import Content, Fault, Options, Problem, Row, fitted
from datafiles.text import Lines, TextFile, text_of

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""The delimiters of CSV that are found out, with their names."""

_SAMPLE_CHARACTERS = 64 * 1024
_SAMPLE_ROWS = 100


def read_csv(source: Source, options: Options, files: ExitStack) -> Content:
    """Read CSV: quotes are doubled, and a quoted cell may have line breaks."""
    text = text_of(source, options.encoding)
    delimiter = _find_delimiter(text) if options.delimiter is None else options.delimiter
    notices = text.notices
    if options.delimiter is None and delimiter != ",":
        notices += (f"The columns are separated by {DELIMITERS[delimiter]}.",)
    return _delimited(text, delimiter, notices, options, files)


def read_tsv(source: Source, options: Options, files: ExitStack) -> Content:
    """Read tab-separated values, with the quotes of CSV."""
    text = text_of(source, options.encoding)
    delimiter = "\t" if options.delimiter is None else options.delimiter
    return _delimited(text, delimiter, text.notices, options, files)


def read_lines(source: Source, options: Options, files: ExitStack) -> Content:
    """Read one text a line, without a header; if the options name a delimiter, read CSV."""
    if options.delimiter is not None:
        return read_csv(source, options, files)
    text = text_of(source, options.encoding)
    lines = text.lines(files, newline=None)
    return Content(["text"], _texts(lines), source.share_read, text.encoding, notices=text.notices)


def _texts(lines: Lines) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        lines.begin_row()
        if line.strip():
            yield Row(number, number, (line.removesuffix("\n"),))


def _delimited(
    text: TextFile, delimiter: str, notices: tuple[str, ...], options: Options, files: ExitStack
) -> Content:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataFileError(
            f"{text.source.name}: the delimiter is {delimiter!r}; it must be one character that is neither a "
            "quote nor a line break"
        )
    # The bound of a row is that of Lines. This one is for the whole process, and no row can exceed it.
    csv.field_size_limit(2**31 - 1)
    lines = text.lines(files, newline="")
    records = _records(csv.reader(lines, delimiter=delimiter, strict=True), lines)
    first = next((record for record in records if record.values or record.problem), None)
    if first is None:
        raise DataFileError(f"{text.source.name} is empty")
    if first.problem is not None:
        raise DataFileError(f"{text.source.name} line {first.line}: {first.problem.sentence}")
    rest: Iterator[_Record]
    if options.has_header:
        names, origin, rest = first.values, "the header", records
    else:
        names, origin, rest = numbered_columns(len(first.values)), "the first row", chain([first], records)
    rows = _rows(rest, len(names), origin)
    return Content(names, rows, text.source.share_read, text.encoding, delimiter, notices)


class _Record(NamedTuple):
    """The cells of a row, and the line with which it begins; a blank line has no cells."""

    line: int
    values: list[str]
    problem: Problem | None = None


def _records(cells: Iterator[list[str]], lines: Lines) -> Iterator[_Record]:
    """Yield the records of CSV. One with wrong quotes is its first line; the next line begins another one.

    So a quote that is never closed costs one row, and not all rows up to the next quote.
    """
    while True:
        lines.begin_row()
        try:
            values = next(cells)
        except StopIteration:
            return
        except csv.Error as error:
            sentence = f"the quotes in line {lines.first} are not balanced ({error})"
            yield _Record(lines.first, [], Problem(Fault.QUOTES, sentence))
            lines.end_row_after_first_line()
        else:
            yield _Record(lines.first, values)


def _rows(records: Iterator[_Record], width: int, origin: str) -> Iterator[Row]:
    for number, (line, values, problem) in enumerate(records, start=1):
        if problem is not None:
            yield Row(number, line, (None,) * width, problem)
        elif values:
            yield fitted(number, line, values, width, origin)


def _find_delimiter(text: TextFile) -> str:
    """Return the delimiter that gives most of the first rows as many columns as the very first one.

    The first row must have at least two columns. If several delimiters fit equally well, the one with more
    columns is returned; if none fits, the comma.
    """
    sample = text.beginning(_SAMPLE_CHARACTERS)
    best, found = (0.5, 1), ","
    for delimiter in DELIMITERS:
        widths = _widths(sample, delimiter)
        if not widths or widths[0] < 2:
            continue
        fit = (widths.count(widths[0]) / len(widths), widths[0])
        if fit > best:
            best, found = fit, delimiter
    return found


def _widths(sample: str, delimiter: str) -> list[int]:
    """Return the number of columns of the first rows that are not blank."""
    rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    widths = [len(row) for row, _ in zip(filter(None, rows), range(_SAMPLE_ROWS + 1), strict=False)]
    is_cut = len(widths) > _SAMPLE_ROWS or len(sample) == _SAMPLE_CHARACTERS
    return widths[:-1] if is_cut and len(widths) > 1 else widths
