"""Writes CSV that a spreadsheet opens without harm."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from datafiles.writing.changes import Changes, as_text, header_of

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet may run as a formula (OWASP, "CSV Injection"). The last four are wide
forms of the first four, which an Asian edition may take for them."""

_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    changes: Changes,
    delimiter: str,
) -> int:
    """Write CSV in UTF-8 with a byte order mark, without which Excel reads it in another encoding.

    With a semicolon between the columns, numbers have a decimal comma: spreadsheets that use one also use
    the other. All strings are in quotes, so that no reader takes a semicolon in them for the delimiter. A
    string that a spreadsheet may run as a formula gets a "'" before it, unless it is a number.
    """
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, delimiter=delimiter)
        has_comma = delimiter == ";"
        writer.writerow([_harmless(name, changes) for name in header_of(columns, changes)])
        for row in rows:
            writer.writerow([_cell(value, changes, has_comma) for value in row])
            count += 1
    return count


def _cell(value: object, changes: Changes, has_comma: bool) -> object:
    if has_comma and isinstance(value, float):
        return repr(value).replace(".", ",")
    if value is None or isinstance(value, bool | int | float):
        return value
    return _harmless(changes.encodable(as_text(value)), changes)


def _harmless(text: str, changes: Changes) -> str:
    if not text.startswith(_FORMULA_STARTS) or _NUMBER.fullmatch(text):
        return text
    changes.count("a spreadsheet could take the text for a formula, so it has a ' before it")
    return f"'{text}"
