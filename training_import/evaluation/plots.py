"""Draw how good a model is, as PNG files that stay readable with many classes and long names."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics

from training_import.evaluation.evaluate import MultilabelReport, Report
from training_import.evaluation.metrics import ECE_BINS, ReliabilityBin, reliability
from training_import.evaluation.multilabel import label_reliability

_R = TypeVar("_R", Report, MultilabelReport)

MAX_LABEL_CHARACTERS = 28
"""A longer name of a class ends with "…"."""
MAX_LEGEND_CHARACTERS = 44
MAX_COLOURED_CURVES = 6
"""With more classes, the ROC plot has names only for the lowest and the highest areas."""
THRESHOLD_STEPS = 101

_DPI = 120
_FONT_SIZE = 8
_CHARACTER = 0.075
"""The width of a character of this size in inches."""
_LINE = 0.14
_CELL = 0.48
"""The side of a cell in inches that a count fits into."""
_MAX_SIDE = 26.0
"""The longest side of a matrix in inches. With more classes, its cells are smaller and have no counts."""
_MIN_SIDE = 2.6
_DARK = 0.55


def write_plots(report: Report, folder: Path, subject: str) -> list[Path]:
    """Write confusion.png, reliability.png, roc.png and thresholds.png; returns their paths.

    They show only the texts that a class is right for. `subject` says on each plot which model and data it is
    from.
    """
    draws = {
        "confusion": confusion_plot,
        "reliability": reliability_plot,
        "roc": roc_plot,
        "thresholds": thresholds_plot,
    }
    return _write(draws, report.only_with_class(), folder, subject)


def write_multilabel_plots(report: MultilabelReport, folder: Path, subject: str) -> list[Path]:
    """Write reliability.png, roc.png and thresholds.png of a model with several labels; returns their paths.

    A confusion matrix has no meaning for it, because a text that lacks a label was not taken for another one.
    """
    draws = {
        "reliability": multilabel_reliability_plot,
        "roc": multilabel_roc_plot,
        "thresholds": multilabel_thresholds_plot,
    }
    return _write(draws, report, folder, subject)


def _write(
    draws: Mapping[str, Callable[[_R, str], Figure]], report: _R, folder: Path, subject: str
) -> list[Path]:
    """Draw each plot of a report and write it to a file of its name; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in draws.items():
        paths.append(folder / f"{name}.png")
        draw(report, subject).savefig(paths[-1], dpi=_DPI)
    return paths


def cut(text: str, most: int) -> str:
    """Return a text in one line for Matplotlib, cut after `most` characters with "…" at its end."""
    line = "".join(character if character.isprintable() else " " for character in text)
    short = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    return short.replace("$", r"\$")


def cut_apart(labels: Sequence[str], most: int) -> list[str]:
    """Return the cut names of all classes; if two are cut to the same, each begins with its number."""
    short = [cut(label, most) for label in labels]
    if len(set(short)) == len(short):
        return short
    return [cut(f"{number} {label}", most) for number, label in enumerate(labels, start=1)]


def _figure(width: float, height: float, title: str, subject: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    lines = [part for line in (title, subject) for part in textwrap.wrap(line, int(11 * width))]
    figure.suptitle("\n".join(cut(line, len(line)) for line in lines), fontsize=_FONT_SIZE + 2)
    return figure


def confusion_plot(report: Report, subject: str) -> Figure:
    """Draw the confusion matrix, coloured by row, with a count in each cell that is large enough."""
    figures = report.evaluation
    count = len(figures.labels)
    cell = min(max(_CELL, _MIN_SIDE / count), _MAX_SIDE / count)
    labels = cut_apart(figures.labels, MAX_LABEL_CHARACTERS)
    width = max(len(label) for label in labels) * _CHARACTER
    margin = width + 0.6
    side = cell * count
    figure = _figure(
        1.1 * side + margin + 0.8,
        side + margin + 0.6,
        f"Confusion of {figures.rows:,} texts, accuracy {100 * figures.accuracy:.2f} %",
        subject,
    )
    axes = figure.subplots()
    confusion = np.array(figures.confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if cell >= _CELL:
        _write_counts(axes, confusion, shares)
    step = math.ceil(_LINE / cell)
    ticks = range(0, count, step)
    axes.set_xticks(ticks, labels[::step], rotation=0 if width < cell else 90, fontsize=_FONT_SIZE)
    axes.set_yticks(ticks, labels[::step], fontsize=_FONT_SIZE)
    axes.set(xlabel="predicted", ylabel="truth")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, label="share of the true class")
    bar.ax.tick_params(labelsize=_FONT_SIZE)
    return figure


def _write_counts(axes: Axes, confusion: NDArray[np.intp], shares: NDArray[np.float64]) -> None:
    for (truth, predicted), count in np.ndenumerate(confusion):
        colour = "white" if shares[truth, predicted] > _DARK else "black" if count else "silver"
        size = _FONT_SIZE if count < 10_000 else _FONT_SIZE - 2
        axes.text(predicted, truth, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)


def reliability_plot(report: Report, subject: str) -> Figure:
    """Draw the accuracy of each bin of confidences, and below it the number of its texts."""
    bins = reliability(report.truth, report.predicted, report.probabilities)
    return _reliability(bins, report.evaluation.ece, ("confidence", "accuracy", "texts"), subject)


def multilabel_reliability_plot(report: MultilabelReport, subject: str) -> Figure:
    """Draw how often texts have labels of similar probabilities, and below it the number of these pairs."""
    bins = label_reliability(report.truth, report.probabilities)
    names = ("probability of a label", "share of texts with the label", "pairs of text and label")
    return _reliability(bins, report.evaluation.ece, names, subject)


def _reliability(
    bins: Sequence[ReliabilityBin], ece: float, axis_names: tuple[str, str, str], subject: str
) -> Figure:
    """Draw bins; the names are those of the lower axis, the upper plot and the lower plot."""
    confidence, accuracy, unit = axis_names
    figure = _figure(6.8, 6.6, f"Reliability, ECE {ece:.4f}", subject)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1.3])
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    upper.plot([b.confidence for b in bins], [b.accuracy for b in bins], marker="o", label="model")
    upper.set(ylabel=accuracy, xlim=(0, 1), ylim=(0, 1.02))
    counts = [b.count for b in bins]
    bars = lower.bar([b.low for b in bins], counts, 1 / ECE_BINS, align="edge", color="tab:blue", ec="white")
    rotation = 90 if max(counts) >= 10_000 else 0
    names = [f"{count:,}" for count in counts]
    lower.bar_label(bars, names, fontsize=_FONT_SIZE - 1, padding=2, rotation=rotation)
    lower.set(xlabel=confidence, ylabel=unit)
    lower.margins(y=0.6 if rotation else 0.2)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@dataclass(frozen=True)
class _Curve:
    label: str
    false_positive: NDArray[np.float64]
    true_positive: NDArray[np.float64]
    area: float


def roc_plot(report: Report, subject: str) -> Figure:
    """Draw the curve of each class against the rest, the lowest area first in the legend."""
    labels = report.evaluation.labels
    is_class = report.truth[:, None] == np.arange(len(labels))
    columns = [1] if len(labels) == 2 else range(len(labels))
    return _roc(_curves(labels, columns, is_class, report.probabilities), labels, "classes", subject)


def multilabel_roc_plot(report: MultilabelReport, subject: str) -> Figure:
    """Draw the curve of each label against the texts without it, the lowest area first in the legend."""
    labels = report.evaluation.labels
    curves = _curves(labels, range(len(labels)), report.truth, report.probabilities)
    return _roc(curves, labels, "labels", subject)


def _roc(found: "Sequence[_Curve]", labels: Sequence[str], unit: str, subject: str) -> Figure:
    curves = sorted(found, key=lambda curve: curve.area)
    named = curves
    if len(curves) > MAX_COLOURED_CURVES:
        half = MAX_COLOURED_CURVES // 2
        named = [*curves[:half], *curves[-half:]]
    names = dict(zip(labels, cut_apart(labels, MAX_LEGEND_CHARACTERS), strict=True))
    lines = len(named) + 3
    figure = _figure(6.4, 5.8 + 0.2 * lines, "ROC", subject)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="chance, area 0.5")
    others = curves[len(named) // 2 : len(curves) - len(named) // 2] if len(curves) > len(named) else []
    for place, curve in enumerate(others):
        label = f"{len(others)} other {unit}, areas in between" if place == 0 else None
        axes.plot(curve.false_positive, curve.true_positive, color="silver", linewidth=0.8, label=label)
    for curve in named:
        label = f"{names[curve.label]}, area {curve.area:.4f}"
        axes.plot(curve.false_positive, curve.true_positive, label=label)
    if len(curves) > 1:
        _draw_mean(axes, curves, unit)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    figure.legend(loc="outside lower center", fontsize=_FONT_SIZE + 1)
    return figure


def _curves(
    labels: Sequence[str],
    columns: Sequence[int],
    is_class: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
) -> list[_Curve]:
    """Return the curve of each column of arrays (n, labels) that some but not all texts have."""
    curves = []
    for column in columns:
        has_class = is_class[:, column]
        if has_class.any() and not has_class.all():
            false_positive, true_positive, _ = metrics.roc_curve(has_class, probabilities[:, column])
            area = float(metrics.auc(false_positive, true_positive))
            curves.append(_Curve(labels[column], false_positive, true_positive, area))
    return curves


def _draw_mean(axes: Axes, curves: Sequence[_Curve], unit: str) -> None:
    """Draw the mean of the curves, whose area is the mean of their areas."""
    grid = np.unique(np.concatenate([curve.false_positive for curve in curves]))
    mean = np.mean([np.interp(grid, curve.false_positive, curve.true_positive) for curve in curves], axis=0)
    area = np.mean([curve.area for curve in curves])
    label = f"mean of {len(curves)} {unit}, area {area:.4f}"
    axes.plot(
        np.concatenate([[0], grid]), np.concatenate([[0], mean]), color="black", linewidth=2, label=label
    )


def thresholds_plot(report: Report, subject: str) -> Figure:
    """Draw what a confidence threshold does: how many texts are still answered, and how well."""
    figure = _figure(6.4, 5.2, "Threshold curve", subject)
    axes = figure.subplots()
    confidence = report.probabilities[np.arange(len(report.probabilities)), report.predicted]
    correct = report.predicted == report.truth
    thresholds = np.linspace(0, 1, THRESHOLD_STEPS)
    answered = [confidence >= threshold for threshold in thresholds]
    axes.plot(thresholds, [mask.mean() for mask in answered], label="share of texts answered")
    accuracy = [correct[mask].mean() if mask.any() else np.nan for mask in answered]
    axes.plot(thresholds, accuracy, label="accuracy of those")
    axes.set(xlabel="confidence threshold", xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def multilabel_thresholds_plot(report: MultilabelReport, subject: str) -> Figure:
    """Draw precision, recall and F1 over all pairs, if all labels had the same threshold."""
    figure = _figure(6.4, 5.2, "One threshold for all labels", subject)
    axes = figure.subplots()
    thresholds = np.linspace(0, 1, THRESHOLD_STEPS)
    found = [report.probabilities >= threshold for threshold in thresholds]
    right = np.array([(predicted & report.truth).sum() for predicted in found])
    predicted, true = np.array([mask.sum() for mask in found]), report.truth.sum()
    axes.plot(thresholds, _share(right, predicted), label="precision")
    axes.plot(thresholds, _share(right, np.full(len(right), true)), label="recall")
    axes.plot(thresholds, _share(2 * right, predicted + true), label="F1")
    axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _share(part: NDArray[np.intp], whole: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return quotients (n), with a gap where the whole is 0."""
    shares = np.full(len(part), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
