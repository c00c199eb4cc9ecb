"""Options that name files of texts, their columns, their encoding, and how many of their rows may be bad."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training_import.rows import FEW_BAD_ROWS

if TYPE_CHECKING:
    from training_import.label_sources import LabelSource

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
DEFAULT_LABEL_COLUMN = "label"
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        help="What is between the labels in that column, such as `|`; an empty value has none.",
        show_default=False,
    ),
]
LabelColumns = Annotated[
    str | None,
    typer.Option(
        help="Names of columns of 0 and 1, one for each label, with commas between them.",
        show_default=False,
    ),
]
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


def label_source(
    label_column: str, label_separator: str | None = None, label_columns: str | None = None
) -> "LabelSource":
    """Return where the labels of a row are, by the options of a command; refuses options that contradict."""
    from training_import.label_sources import ColumnPerLabel, LabelColumn, SeparatedLabels

    if label_columns is None and label_separator is None:
        return LabelColumn(label_column)
    if label_columns is None:
        if not label_separator:
            raise typer.BadParameter("--label-separator is empty; it must have at least one character")
        return SeparatedLabels(label_column, label_separator)
    if label_separator is not None:
        raise typer.BadParameter(
            "--label-separator and --label-columns are both given; the labels are in one column or have a "
            "column each"
        )
    if label_column != DEFAULT_LABEL_COLUMN:
        raise typer.BadParameter(
            "--label-column and --label-columns are both given; the labels are in one column or have a "
            "column each"
        )
    names = tuple(name.strip() for name in label_columns.split(","))
    if "" in names or len(set(names)) < len(names):
        raise typer.BadParameter(
            f"--label-columns is {label_columns!r}; it must be distinct names of columns with commas between "
            "them"
        )
    return ColumnPerLabel(names)
