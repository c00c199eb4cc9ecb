"""Print the figures of models that can give a text several labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli.console import harmless, out
from cli.evaluation_report import Evaluated, print_f1_of_models, print_line, print_tests_and_groups
from cli.tables import figures_table, print_table

if TYPE_CHECKING:
    from training_import.evaluation.comparison import McNemar
    from training_import.evaluation.evaluate import MultilabelReport
    from training_import.evaluation.multilabel import Averages, MultilabelEvaluation, MultilabelGroup

    Model = Evaluated[MultilabelReport, MultilabelGroup]

NONE = "–"
"""In place of a figure that these texts do not give."""

OF_BEST_THRESHOLDS = (
    "The best threshold of a label has the best F1 on these texts. On new texts its F1 is usually lower, "
    "because the threshold was chosen on the same texts that measure it; so measure it on other ones."
)


def print_multilabel_model(model: "Model", data: str) -> None:
    """Print all figures of one model; `data` is the name of the data set."""
    figures = model.report.evaluation
    time = f"{model.report.microseconds_per_text:.0f} µs per text"
    print_line(f"{model.tag} on {data}: {figures.rows:,} texts, {time}")
    print_line(
        f"A text has {figures.labels_per_text:.2f} labels on average, and "
        f"{figures.predicted_labels_per_text:.2f} are predicted."
    )
    low, high = figures.subset_accuracy_interval
    overall = figures_table([], ("exactly right", "95 % interval", "Hamming loss", "log loss", "ECE"))
    overall.add_row(
        f"{100 * figures.subset_accuracy:.2f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        f"{figures.hamming_loss:.4f}",
        f"{figures.log_loss:.4f}",
        f"{figures.ece:.4f}",
    )
    print_table(overall)
    print_table(_averages(figures))
    print_table(_by_label(figures))
    print_table(_rankings(figures))
    out.print()
    print_line(OF_BEST_THRESHOLDS)
    print_line("To use them, import the model again with this option:")
    out.print(f"--thresholds {_best_thresholds(figures)}")
    if model.groups:
        print_table(_groups(model.groups))


def print_multilabel_models(models: "Sequence[Model]", data: str, tests: "Sequence[McNemar]") -> None:
    """Print the figures of several models side by side, and the tests against the first model."""
    rows = models[0].report.evaluation.rows
    print_line(f"{len(models)} models on {data}: {rows:,} texts")
    overall = figures_table(["model"], ("exactly right", "micro F1", "macro F1", "Hamming loss", "log loss"))
    for number, model in enumerate(models, start=1):
        figures = model.report.evaluation
        overall.add_row(
            Text(harmless(f"{number} {model.tag}")),
            f"{100 * figures.subset_accuracy:.2f} %",
            f"{figures.micro.f1:.4f}",
            _f1(figures.macro),
            f"{figures.hamming_loss:.4f}",
            f"{figures.log_loss:.4f}",
        )
    print_table(overall)
    print_f1_of_models([model.report.evaluation.by_label for model in models], "label")
    out.print()
    print_line("A model is right about a text here if all labels of the text are exactly right.")
    print_tests_and_groups(models, rows, tests, _groups)


def _f1(averages: "Averages | None") -> str:
    return NONE if averages is None else f"{averages.f1:.4f}"


def _averages(figures: "MultilabelEvaluation") -> Table:
    table = figures_table(["mean of"], ("precision", "recall", "F1"))
    for name, means in (("pairs (micro)", figures.micro), ("labels (macro)", figures.macro)):
        values = (NONE,) * 3 if means is None else (means.precision, means.recall, means.f1)
        table.add_row(name, *(value if isinstance(value, str) else f"{value:.4f}" for value in values))
    return table


def _by_label(figures: "MultilabelEvaluation") -> Table:
    table = figures_table(["label"], ("texts", "threshold", "precision", "recall", "F1"))
    for row in figures.by_label:
        values = (f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}")
        table.add_row(Text(harmless(row.label)), f"{row.support:,}", f"{row.threshold:.6g}", *values)
    return table


def _rankings(figures: "MultilabelEvaluation") -> Table:
    """Return the figures that do not depend on the model's thresholds."""
    table = figures_table(["label"], ("average precision", "ROC AUC", "best threshold", "best F1"))
    for row in figures.by_label:
        best = (NONE, NONE) if row.best is None else (str(row.best.threshold), f"{row.best.f1:.4f}")
        areas = (NONE if one is None else f"{one:.4f}" for one in (row.average_precision, row.roc_auc))
        table.add_row(Text(harmless(row.label)), *areas, *best)
    return table


def _best_thresholds(figures: "MultilabelEvaluation") -> str:
    """Return the best thresholds as `import` takes them; a label that has none keeps its own."""
    return ",".join(
        str(row.threshold if row.best is None else row.best.threshold) for row in figures.by_label
    )


def _groups(groups: "Sequence[MultilabelGroup]") -> Table:
    table = figures_table(["group"], ("texts", "labels a text", "exactly right", "Hamming loss", "micro F1"))
    for row in groups:
        table.add_row(
            Text(harmless(row.group)),
            f"{row.texts:,}",
            f"{row.labels_per_text:.2f}",
            f"{100 * row.subset_accuracy:.2f} %",
            f"{row.hamming_loss:.4f}",
            f"{row.micro_f1:.4f}",
        )
    return table
