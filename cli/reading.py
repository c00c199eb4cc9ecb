"""Print how files of texts were read."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli.console import harmless

if TYPE_CHECKING:
    from training_import.dataset import Dataset
    from training_import.rows import Skipped

INDENT = 2


def print_files(console: Console, dataset: "Dataset") -> None:
    """Print how many texts a data set has, and what was found out about its files."""
    from datafiles import DELIMITERS

    reading = dataset.reading
    if reading is None:
        _print(console, f"{dataset.name}: {len(dataset.texts):,} texts")
        return
    _print(console, f"{dataset.name}: {len(dataset.texts):,} texts of {reading.rows:,} rows")
    kinds = Counter((file.kind, file.encoding, file.delimiter) for file in reading.files)
    for (kind, encoding, delimiter), count in kinds.items():
        facts = [
            f"{count:,} {kind} files" if count > 1 else kind,
            *([f"encoding {encoding}"] if encoding else []),
            *([f"columns separated by {DELIMITERS.get(delimiter, repr(delimiter))}"] if delimiter else []),
        ]
        _print(console, ", ".join(facts), INDENT)


def print_reading(console: Console, dataset: "Dataset") -> None:
    """Print what was decided about the files of a data set, and which of their rows were skipped."""
    reading = dataset.reading
    if reading is None:
        return
    for notice in reading.notices:
        _print(console, notice, INDENT)
    print_skipped(console, dataset.name, reading.skipped, reading.has_several_files)


def print_skipped(console: Console, name: str, skipped: "Skipped", several_files: bool) -> None:
    """Print how many rows were skipped for each reason, and what is wrong with the first of them."""
    if not skipped.total:
        return
    rows = "1 row is" if skipped.total == 1 else f"{skipped.total:,} rows are"
    _print(console, f"{name}: {rows} skipped: {skipped.reasons()}")
    for bad in skipped.first:
        _print(console, f"{bad.place.shown(several_files)}: {bad.sentence}", INDENT)


def _print(console: Console, line: str, indent: int = 0) -> None:
    console.print(Padding(Text(harmless(line)), (0, 0, 0, indent), expand=False), soft_wrap=False)
