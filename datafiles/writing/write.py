"""Writes a table into a file."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from datafiles.writing.changes import Changes
from datafiles.writing.to_csv import write_csv
from datafiles.writing.to_excel import write_excel
from datafiles.writing.to_parquet import write_parquet

WriterKind = Literal["csv", "semicolon csv", "parquet", "xlsx"]

_Writer = Callable[[Path, Sequence[str], Iterable[Sequence[object]], Changes], int]
"""Writes a file in place and returns the number of its rows, without the header."""

WRITERS: Mapping[WriterKind, _Writer] = {
    "csv": partial(write_csv, delimiter=","),
    "semicolon csv": partial(write_csv, delimiter=";"),
    "parquet": write_parquet,
    "xlsx": write_excel,
}


@dataclass(frozen=True)
class Written:
    """What was written."""

    rows: int
    notices: tuple[str, ...]
    """One sentence for each way in which cells were changed, because the kind of file cannot hold them."""


def write_table(
    path: Path,
    kind: WriterKind,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> Written:
    """Write rows with one value per column, one after the other; the memory need not hold them all.

    The file appears under its name when it is complete, and replaces one that has this name. Raises
    DataFileError if the kind of file cannot hold the table; then nothing is changed.
    """
    changes = Changes()
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        written = WRITERS[kind](unfinished, columns, rows, changes)
        unfinished.replace(path)
    return Written(written, changes.notices())
