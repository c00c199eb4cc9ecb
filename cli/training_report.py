"""Print what a training was given, how good the model is, and what to know before trusting it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli.console import fitted, harmless, out
from cli.reading import print_files, print_reading
from cli.tables import figures_table, print_table

if TYPE_CHECKING:
    from training_import.dataset import Dataset
    from training_import.evaluation.metrics import Evaluation
    from training_import.training.material import DataSets
    from training_import.training.train import Trained

MAX_LABEL_CHARACTERS = 96
"""Most characters of a label that are shown."""


def print_training(tag: str, data: "DataSets", trained: "Trained", folder: Path) -> None:
    """Print the report of a training, whose model is in a folder of the store."""
    out.print(tag)
    for dataset in (data.main, data.short, data.phrases, data.test):
        if dataset is not None:
            print_files(out, dataset)
            print_reading(out, dataset)
    held_out, *_ = trained.evaluations.values()
    print_table(_by_class(data.main, held_out))
    print_table(_figures(trained))
    out.print()
    for note in trained.notes:
        out.print(Text(harmless(note)), soft_wrap=False)
    for warning in trained.warnings:
        out.print(Text(harmless(f"warning: {warning}"), "yellow"), soft_wrap=False)
    out.print(f"model card: {folder / 'MODEL_CARD.md'}")


def _by_class(data: "Dataset", held_out: "Evaluation") -> Table:
    table = figures_table(["class"], ("rows", "share", "held out", "precision", "recall", "F1"))
    rows = Counter(data.labels)
    for figures in held_out.by_class:
        count = rows[figures.label]
        table.add_row(
            Text(harmless(fitted(figures.label, MAX_LABEL_CHARACTERS))),
            f"{count:,}",
            f"{100 * count / len(data.labels):.1f} %",
            f"{figures.support:,}",
            *(f"{value:.2f}" for value in (figures.precision, figures.recall, figures.f1)),
        )
    return table


def _figures(trained: "Trained") -> Table:
    table = figures_table([""], ("texts", "accuracy", "95 % interval", "baseline", "ECE"))
    for title, figures in trained.evaluations.items():
        low, high = figures.accuracy_interval
        table.add_row(
            title,
            f"{figures.rows:,}",
            f"{100 * figures.accuracy:.2f} %",
            f"{100 * low:.1f} to {100 * high:.1f} %",
            f"{100 * figures.baseline:.1f} %",
            f"{figures.ece:.4f}",
        )
    return table
