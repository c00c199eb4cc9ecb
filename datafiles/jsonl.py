"""Reads JSONL: one JSON object a line."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from datafiles.errors import DataFileError, shown
from datafiles.source import Source
from datafiles.table import Content, Fault, Options, Problem, Row
from datafiles.text import Lines, text_of


def read_jsonl(source: Source, options: Options, files: ExitStack) -> Content:
    """Read objects as rows. The columns are the keys of all of them, in the order in which they occur.

    The file is read once for the keys, because a key may occur for the first time in the last line. The value
    of a key that a row lacks is None, as for null.
    """
    text = text_of(source, options.encoding)
    with ExitStack() as passes:
        keys = _keys(source, text.lines(passes, newline="\n"))
    rows = _rows(text.lines(files, newline="\n"), keys)
    return Content(keys, rows, source.share_read, text.encoding, notices=text.notices)


def _keys(source: Source, lines: Lines) -> Sequence[str]:
    keys: dict[str, None] = {}
    is_empty = True
    for line in lines:
        lines.begin_row()
        is_empty = is_empty and not line.strip()
        row, _ = parsed(line)
        keys.update(dict.fromkeys(row))
        if len(keys) > source.limits.columns:
            raise DataFileError(
                f"{source.name} line {lines.number}: up to here, the objects have more than "
                f"{source.limits.columns:,} keys, which is the limit"
            )
    if is_empty:
        raise DataFileError(f"{source.name} is empty")
    return list(keys)


def _rows(lines: Lines, keys: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        lines.begin_row()
        if line.strip():
            row, problem = parsed(line)
            yield Row(number, number, tuple(map(row.get, keys)), problem)


def parsed(line: str) -> tuple[dict[str, object], Problem | None]:
    """Return the object of a line, or an empty one and why there is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, Problem(Fault.JSON, f"not JSON: {error}")
    if not isinstance(row, dict):
        return {}, Problem(Fault.JSON, f"{shown(line.strip())} is not an object")
    return row, None
