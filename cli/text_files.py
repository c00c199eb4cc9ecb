"""Options that name files of texts, their columns, their encoding, and how many of their rows may be bad."""

from pathlib import Path
from typing import Annotated

import typer

from training_import.rows import FEW_BAD_ROWS

FILES = "as CSV, TSV, JSON, JSONL, Parquet or Excel; repeat it, or quote a pattern such as 'part-*.csv'."
"""What the help says of an option for files of texts. Several files are one data set."""


def share(value: str | float) -> float:
    """Return a share from 0 to 1, which may also be given in percent."""
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"{text!r} is not a share such as 1% or 0.01, from 0 to 100%")
    return number


Data = Annotated[
    list[Path], typer.Option(help=f"Labelled texts, {FILES}", metavar="FILE", show_default=False)
]
TextColumnName = Annotated[str, typer.Option(help="Name of the column with the texts.")]
LabelColumnName = Annotated[str, typer.Option(help="Name of the column with the labels.")]
Encoding = Annotated[
    str | None,
    typer.Option(help="Encoding of the file, if it is not UTF-8, UTF-16 or cp1252.", show_default=False),
]
MaxBadRows = Annotated[
    float,
    typer.Option(
        parser=share,
        metavar="SHARE",
        help="Largest share of bad rows that are skipped, as 1% or 0.01. "
        f"{FEW_BAD_ROWS} bad rows are skipped in any case, unless it is 0.",
    ),
]
