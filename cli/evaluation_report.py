"""Print the figures of one evaluated model, or of several next to each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from cli.console import harmless, out
from cli.tables import figures_table, print_table

if TYPE_CHECKING:
    from training_import.evaluation.comparison import McNemar
    from training_import.evaluation.evaluate import Report
    from training_import.evaluation.groups import GroupMetrics
    from training_import.evaluation.metrics import ClassMetrics, Evaluation
    from training_import.evaluation.multilabel import LabelMetrics

MAX_SHOWN_CONFUSIONS = 15
_MATRIX_HEADING = "truth / predicted as"
_GAP = 3
"""The cells between two columns of a table."""
_MIN_LABEL_WIDTH = 20
"""The fewest cells for the names of classes next to the figures of several models."""

R_co = TypeVar("R_co", covariant=True)
"""The report of a model."""
G_co = TypeVar("G_co", covariant=True)
"""The figures of a group."""


@dataclass(frozen=True)
class Evaluated(Generic[R_co, G_co]):
    """The figures of one model."""

    tag: str
    report: R_co
    groups: Sequence[G_co]
    """Empty if the texts have no groups."""
    knows_data: bool
    """Whether the model was trained on these texts."""


def print_model(model: "Evaluated[Report, GroupMetrics]", data: str) -> None:
    """Print all figures of one model; `data` is the name of the data set."""
    figures = model.report.evaluation
    time = f"{model.report.microseconds_per_text:.0f} µs per text"
    print_line(f"{model.tag} on {data}: {figures.rows:,} texts, {time}")
    overall = figures_table([], ("accuracy", "95 % interval", "macro F1", "ROC AUC", "log loss", "ECE"))
    accuracy, interval, macro_f1, log_loss, ece = _overall(figures)
    overall.add_row(accuracy, interval, macro_f1, f"{figures.roc_auc:.4f}", log_loss, ece)
    print_table(overall)
    print_table(_by_class(figures))
    if _matrix_width(figures) <= out.width:
        print_table(_matrix(figures))
    else:
        _print_confusions(figures)
    if model.groups:
        print_table(_groups(model.groups))


def print_models(
    models: "Sequence[Evaluated[Report, GroupMetrics]]", data: str, tests: "Sequence[McNemar]"
) -> None:
    """Print the figures of several models side by side, and the tests against the first model."""
    rows = models[0].report.evaluation.rows
    print_line(f"{len(models)} models on {data}: {rows:,} texts")
    overall = figures_table(["model"], ("accuracy", "95 % interval", "macro F1", "log loss", "ECE"))
    for number, model in enumerate(models, start=1):
        overall.add_row(Text(harmless(f"{number} {model.tag}")), *_overall(model.report.evaluation))
    print_table(overall)
    print_f1_of_models([model.report.evaluation.by_class for model in models], "class")
    out.print()
    print_tests_and_groups(models, rows, tests, _groups)


def print_tests_and_groups(
    models: "Sequence[Evaluated[R_co, G_co]]",
    rows: int,
    tests: "Sequence[McNemar]",
    table_of: "Callable[[Sequence[G_co]], Table]",
) -> None:
    """Print the tests of several models against the first one, and then the groups of each model.

    `rows` is the number of texts.
    """
    for model, test in zip(models[1:], tests, strict=True):
        print_line(comparison_sentence(models[0].tag, model.tag, rows, test))
    for model in models:
        if model.groups:
            out.print()
            print_line(model.tag)
            print_table(table_of(model.groups))


def comparison_sentence(first: str, second: str, rows: int, test: "McNemar") -> str:
    """Return what McNemar's test says about two models on the same texts."""
    p_value = "p < 0.0001" if test.p_value < 0.0001 else f"p = {test.p_value:.4f}"
    if test.is_significant:
        better = first if test.only_first > test.only_second else second
        verdict = f"The difference is more than chance: {better} is right more often."
    else:
        verdict = "The difference may be chance."
    return (
        f"Of {rows:,} texts, {first} alone is right about {test.only_first:,} (b), and {second} alone about "
        f"{test.only_second:,} (c). McNemar's exact test: {p_value}. {verdict}"
    )


def _overall(figures: "Evaluation") -> tuple[str, str, str, str, str]:
    """Return accuracy, its interval, macro F1, log loss and ECE as they are printed."""
    low, high = figures.accuracy_interval
    return (
        f"{100 * figures.accuracy:.2f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        f"{figures.macro_f1:.4f}",
        f"{figures.log_loss:.4f}",
        f"{figures.ece:.4f}",
    )


def _by_class(figures: "Evaluation") -> Table:
    table = figures_table(["class"], ("precision", "recall", "F1", "texts"))
    for row in figures.by_class:
        values = (f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}", f"{row.support:,}")
        table.add_row(Text(harmless(row.label)), *values)
    return table


def _matrix_width(figures: "Evaluation") -> int:
    """Return how many cells the confusion matrix needs with the whole names of the classes."""
    columns = zip(*figures.confusion, strict=True)
    first = max(cell_len(harmless(name)) for name in (_MATRIX_HEADING, *figures.labels))
    others = (
        max(cell_len(harmless(label)), *(len(f"{count:,}") for count in column))
        for label, column in zip(figures.labels, columns, strict=True)
    )
    return first + sum(_GAP + width for width in others)


def _matrix(figures: "Evaluation") -> Table:
    table = figures_table([_MATRIX_HEADING], figures.labels)
    for label, counts in zip(figures.labels, figures.confusion, strict=True):
        table.add_row(Text(harmless(label)), *(f"{count:,}" for count in counts))
    return table


def _print_confusions(figures: "Evaluation") -> None:
    confusions = figures.confusions
    shown = confusions[:MAX_SHOWN_CONFUSIONS]
    out.print()
    print_line(_confusions_sentence(figures, len(shown)))
    table = figures_table(("truth", "predicted as"), ("texts", "of the class"))
    for one in shown:
        table.add_row(
            Text(harmless(one.truth)),
            Text(harmless(one.predicted)),
            f"{one.count:,}",
            f"{100 * one.share:.1f} %",
        )
    if shown:
        print_table(table)


def _confusions_sentence(figures: "Evaluation", shown: int) -> str:
    counts = [one.count for one in figures.confusions]
    whole = "--plots draws the whole confusion matrix, and --json prints it."
    if not counts:
        return f"No text was predicted as another class. {whole}"
    if shown == len(counts):
        return f"All {sum(counts):,} mistakes by their pair of classes. {whole}"
    return (
        f"The {shown} most frequent of {len(counts):,} pairs of confused classes, with "
        f"{sum(counts[:shown]):,} of {sum(counts):,} mistakes. {whole}"
    )


def print_f1_of_models(models: "Sequence[Sequence[ClassMetrics | LabelMetrics]]", what: str) -> None:
    """Print the F1 of each class for each model, or say where it is if it does not fit.

    Each model is the figures of its classes, and `what` is what a class is called.
    """
    headings = [f"F1 of {number}" for number in range(1, len(models) + 1)]
    texts = max(len("texts"), *(len(f"{row.support:,}") for row in models[0]))
    if _MIN_LABEL_WIDTH + _GAP + texts + sum(_GAP + len(heading) for heading in headings) > out.width:
        out.print()
        print_line(f"The F1 of each {what} for {len(models)} models does not fit here; --json prints it.")
        return
    table = figures_table([what], ("texts", *headings))
    f1_of = [{row.label: row.f1 for row in rows} for rows in models]
    for row in models[0]:
        values = (f"{f1[row.label]:.4f}" for f1 in f1_of)
        table.add_row(Text(harmless(row.label)), f"{row.support:,}", *values)
    print_table(table)


def _groups(groups: "Sequence[GroupMetrics]") -> Table:
    from training_import.evaluation.groups import CONFIDENT

    table = figures_table(["group"], ("texts", "labelled", "accuracy", "confidence", f"above {CONFIDENT:g}"))
    for row in groups:
        table.add_row(
            Text(harmless(row.group)),
            f"{row.texts:,}",
            f"{row.labelled:,}",
            "–" if row.accuracy is None else f"{100 * row.accuracy:.2f} %",
            f"{row.mean_confidence:.4f}",
            f"{100 * row.confident_share:.2f} %",
        )
    return table


def print_line(line: str) -> None:
    """Print a line, which is wrapped at the width of the screen."""
    out.print(Text(harmless(line)), soft_wrap=False)
