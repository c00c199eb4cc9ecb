"""Evaluate a model on labelled texts, through the same pipeline as the service."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn import metrics

from classifier.pipeline import Classifier
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    Evaluation,
    class_indices,
    evaluate_probabilities,
    reliability,
)

CHUNK = 256
THRESHOLD_STEPS = 101


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`; every array has one entry or row for each of n texts."""

    evaluation: Evaluation
    microseconds_per_text: float
    """Microseconds for a text in batches, on this machine."""
    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    def as_json(self) -> dict[str, object]:
        """Return the figures over all texts, without those of single texts."""
        return asdict(self.evaluation) | {"microseconds_per_text": round(self.microseconds_per_text, 1)}


def evaluate(
    classifier: Classifier, dataset: Dataset, advance: Callable[[int], None] = lambda _: None
) -> Report:
    """Predict all texts of a data set; `advance` receives the number of texts of each finished part."""
    truth = class_indices(dataset.labels, classifier.labels)
    probabilities = np.empty((len(truth), len(classifier.labels)))
    begin = time.perf_counter()
    for start in range(0, len(truth), CHUNK):
        chunk = classifier.probabilities(dataset.texts[start : start + CHUNK])
        probabilities[start : start + CHUNK] = chunk
        advance(len(chunk))
    seconds = time.perf_counter() - begin
    predicted = classifier.decide(probabilities)
    evaluation = evaluate_probabilities(classifier.labels, truth, predicted, probabilities)
    return Report(evaluation, 1e6 * seconds / len(truth), truth, predicted, probabilities)


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Write confusion.png, reliability.png, roc.png and thresholds.png; returns their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in {
        "confusion": _draw_confusion,
        "reliability": _draw_reliability,
        "roc": _draw_roc,
        "thresholds": _draw_thresholds,
    }.items():
        figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
        draw(axes, report)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
        plt.close(figure)
    return paths


def _draw_confusion(axes: Axes, report: Report) -> None:
    figures = report.evaluation
    metrics.ConfusionMatrixDisplay(np.array(figures.confusion), display_labels=figures.labels).plot(
        ax=axes, cmap="Blues", colorbar=False, xticks_rotation=30 if len(figures.labels) > 2 else 0
    )
    axes.set_title(f"Confusion of {figures.rows:,} texts, accuracy {100 * figures.accuracy:.2f} %")


def _draw_reliability(axes: Axes, report: Report) -> None:
    bins = reliability(report.truth, report.predicted, report.probabilities)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    confidence, accuracy = [b.confidence for b in bins], [b.accuracy for b in bins]
    axes.plot(confidence, accuracy, marker="o", label=f"model, ECE {report.evaluation.ece:.4f}")
    axes.set(xlabel="confidence", ylabel="accuracy", title="Reliability", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")


def _draw_roc(axes: Axes, report: Report) -> None:
    labels = report.evaluation.labels
    for column in [1] if len(labels) == 2 else range(len(labels)):
        is_class = report.truth == column
        if is_class.any() and not is_class.all():
            false_positive, true_positive, _ = metrics.roc_curve(is_class, report.probabilities[:, column])
            area = metrics.auc(false_positive, true_positive)
            axes.plot(false_positive, true_positive, label=f"{labels[column]}, area {area:.4f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes.legend(loc="lower right")


def _draw_thresholds(axes: Axes, report: Report) -> None:
    """Draw what a confidence threshold does: how many texts are still answered, and how well."""
    confidence = report.probabilities[np.arange(len(report.probabilities)), report.predicted]
    correct = report.predicted == report.truth
    thresholds = np.linspace(0, 1, THRESHOLD_STEPS)
    answered = [confidence >= threshold for threshold in thresholds]
    axes.plot(thresholds, [mask.mean() for mask in answered], label="share of texts answered")
    accuracy = [correct[mask].mean() if mask.any() else np.nan for mask in answered]
    axes.plot(thresholds, accuracy, label="accuracy of those")
    axes.set(xlabel="confidence threshold", title="Threshold curve", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left")
