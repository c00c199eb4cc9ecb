"""Writes an Excel workbook."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from datafiles.errors import DataFileError
from datafiles.writing.changes import Changes, as_text, header_of

MAX_ROWS = 1_048_575
"""Most rows below a header."""

MAX_COLUMNS = 16_384
MAX_CELL_UNITS = 32_767
"""Most characters of a cell, counted in UTF-16. Excel calls a file with a longer one damaged."""

CUT = " … (cut)"

_MAX_EXACT = 10**15
"""Excel has 15 digits of a number."""

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML cannot hold."""


def write_excel(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], changes: Changes
) -> int:
    """Write one sheet, in which strings are never formulas, links or numbers.

    Numbers with more than 15 digits, infinity, NaN, times with a time zone and times before 1900 are strings.
    """
    import xlsxwriter

    if len(columns) > MAX_COLUMNS:
        raise DataFileError(
            f"{path.name} would have {len(columns):,} columns; an Excel sheet has at most {MAX_COLUMNS:,}"
        )
    options = {
        "constant_memory": True,
        "tmpdir": str(path.parent),
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
    }
    count = 0
    with xlsxwriter.Workbook(path, options) as workbook:
        sheet = workbook.add_worksheet()
        sheet.freeze_panes(1, 0)  # the names of the columns stay in view
        _write_row(sheet, 0, header_of(columns, changes), changes)
        for count, row in enumerate(rows, start=1):
            if count > MAX_ROWS:
                raise DataFileError(
                    f"{path.name} would have more than {MAX_ROWS:,} rows, the limit of an Excel sheet"
                )
            _write_row(sheet, count, row, changes)
    return count


def _write_row(sheet: Any, number: int, values: Sequence[object], changes: Changes) -> None:
    for column, value in enumerate(values):
        if value is not None:
            _writer_of(value)(sheet, number, column, value, changes)


def _writer_of(value: object) -> "Callable[[Any, int, int, Any, Changes], None]":
    match value:
        case bool():
            return _write_bool
        case int() if abs(value) < _MAX_EXACT:
            return _write_number
        case float() if math.isfinite(value):
            return _write_number
        case datetime() if value.tzinfo is None and value.year >= 1900:
            return _write_time
        case date() if not isinstance(value, datetime) and value.year >= 1900:
            return _write_time
    return _write_text


def _write_bool(sheet: Any, row: int, column: int, value: bool, _: Changes) -> None:
    sheet.write_boolean(row, column, value)


def _write_number(sheet: Any, row: int, column: int, value: float, _: Changes) -> None:
    sheet.write_number(row, column, value)


def _write_time(sheet: Any, row: int, column: int, value: date, _: Changes) -> None:
    sheet.write_datetime(row, column, value)


def _write_text(sheet: Any, row: int, column: int, value: object, changes: Changes) -> None:
    text = _fitting(changes.encodable(as_text(value)), changes)
    if text.startswith("<r>") and text.endswith("</r>"):
        # xlsxwriter takes such a string for XML that it wrote itself, and would not escape it. It escapes the
        # pieces of a rich string, of which there must be three.
        sheet.write_rich_string(row, column, text[:1], text[1:2], text[2:])
    else:
        sheet.write_string(row, column, text)


def _fitting(text: str, changes: Changes) -> str:
    if not text.isprintable() and _CONTROLS.search(text):
        changes.count("control characters, which Excel cannot hold, were removed")
        text = _CONTROLS.sub("", text)
    if len(text) > MAX_CELL_UNITS or (2 * len(text) > MAX_CELL_UNITS and _units(text) > MAX_CELL_UNITS):
        changes.count(f"longer than {MAX_CELL_UNITS:,} characters, which is the limit of Excel, and cut")
        kept = text.encode("utf-16-le")[: 2 * (MAX_CELL_UNITS - len(CUT))]
        return kept.decode("utf-16-le", errors="ignore") + CUT
    return text


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
