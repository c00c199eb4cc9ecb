"""Reads Excel workbooks (.xlsx)."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import IO, Any

from datafiles.columns import numbered_columns
from datafiles.errors import DataFileError, shown
from datafiles.source import Source
from datafiles.table import Content, Options, Row, fitted

MAX_ROWS = 1_048_576
"""Most rows of a sheet, with its header; the limit of Excel."""

MAX_UNPACKED_RATIO = 100
"""How many times its packed size a large part of a workbook may unpack to. The XML of most workbooks shrinks
to about a tenth. Apache POI has the same limit."""

_SMALL_PART_BYTES = 64 * 2**20

_Values = tuple[object, ...]


def read_excel(source: Source, options: Options, files: ExitStack) -> Content:
    """Read the values of the first visible sheet that has rows. A formula has the value that Excel stored.

    Values are str, int, float, bool, date, datetime, time, timedelta or None. openpyxl holds the distinct
    strings of the whole workbook in memory.
    """
    with _errors_named(source):
        stream = files.enter_context(source.open())
        _check_sizes(source, stream)
        sheets = _visible_sheets(source, stream, files)
        for sheet in sheets:
            rows = _numbered(source, sheet)
            first = next(rows, None)
            if first is not None:
                break
        else:
            raise DataFileError(f"{source.name} is empty")
    position, values = first
    if options.has_header:
        names = ["" if value is None else str(value) for value in values]
        content = _rows(source, rows, position, len(names), "the header")
    else:
        names = numbered_columns(len(values))
        content = _rows(source, chain([first], rows), position - 1, len(values), "the first row")
    return Content(names, content, source.share_read, notices=_say_sheet(sheet.title, len(sheets)))


def _say_sheet(title: str, sheets: int) -> tuple[str, ...]:
    return (f"The workbook has {sheets} sheets; only {shown(title)} is read.",) if sheets > 1 else ()


def _visible_sheets(source: Source, stream: IO[bytes], files: ExitStack) -> Sequence[Any]:
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise DataFileError(
            f"{source.name} cannot be read, because the package openpyxl is not installed"
        ) from error
    workbook = load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    files.callback(workbook.close)
    return [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]


def _numbered(source: Source, sheet: Any) -> Iterator[tuple[int, _Values]]:
    """Yield the rows that are not blank, up to their last value, with their position in the sheet, from 1."""
    from openpyxl.utils.escape import unescape

    sheet.reset_dimensions()  # what a file says of its size may be wrong
    for position, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if position > MAX_ROWS:
            raise DataFileError(f"{source.name} has a sheet with more than {MAX_ROWS:,} rows")
        width = len(cells)
        while width and cells[width - 1] is None:
            width -= 1
        if width:
            # Excel writes characters that XML cannot hold, and carriage returns, as _x000D_.
            yield (
                position,
                tuple(unescape(cell) if isinstance(cell, str) else cell for cell in cells[:width]),
            )


def _rows(
    source: Source, rows: Iterator[tuple[int, _Values]], before: int, width: int, origin: str
) -> Iterator[Row]:
    """Yield the rows with the numbers that they have after position `before`.

    Values that are missing at the end are blank cells, which is no problem.
    """
    with _errors_named(source):
        for position, values in rows:
            filled = values + (None,) * (width - len(values))
            yield fitted(position - before, position, filled, width, origin)


def _check_sizes(source: Source, stream: IO[bytes]) -> None:
    """Raise DataFileError if the workbook unpacks to too much; what its directory says cannot be exceeded."""
    with zipfile.ZipFile(stream) as archive:
        parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > source.limits.unpacked_bytes:
        raise DataFileError(
            f"{source.name} unpacks to {unpacked:,} bytes; at most {source.limits.unpacked_bytes:,} are read"
        )
    for part in parts:
        if part.file_size > max(_SMALL_PART_BYTES, MAX_UNPACKED_RATIO * part.compress_size):
            raise DataFileError(
                f"{source.name}: {shown(part.filename)} unpacks from {part.compress_size:,} to "
                f"{part.file_size:,} bytes; at most {MAX_UNPACKED_RATIO} times its size is read"
            )


@contextmanager
def _errors_named(source: Source) -> Iterator[None]:
    """Raise DataFileError for all that a damaged workbook can make openpyxl raise.

    An error of the XML parser is a SyntaxError.
    """
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataFileError(f"{source.name} is not an Excel workbook: {error}") from error
