"""Figures that say how good predictions are if a text can have several labels, or none."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from classifier.errors import ClassifierError
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    ReliabilityBin,
    class_places,
    expected_calibration_error,
    label_matrix,
    reliability_bins,
)
from training_import.label_sources import separator_in

_MAX_DIGITS = 17
"""A number with so many digits after the point is exact enough for any two probabilities."""


@dataclass(frozen=True)
class Averages:
    """Means of precision, recall and F1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class BestThreshold:
    """The threshold of a label that has the best F1 on some texts, and that F1 on the same texts."""

    threshold: float
    f1: float


@dataclass(frozen=True)
class LabelMetrics:
    """The figures of one label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """The number of texts that have the label."""
    threshold: float
    """The model's threshold, with which it was predicted."""
    average_precision: float | None
    """None if no text has the label."""
    roc_auc: float | None
    """None if no text has the label, or if all have it."""
    best: BestThreshold | None
    """None if no text has the label. Its F1 is too good, because it was chosen on these texts."""


@dataclass(frozen=True)
class MultilabelEvaluation:
    """The figures over n texts with any number of labels each."""

    labels: tuple[str, ...]
    rows: int
    subset_accuracy: float
    """The share of texts whose labels are exactly right."""
    hamming_loss: float
    """The share of all pairs of a text and a label that are predicted wrong."""
    log_loss: float
    """The mean over all pairs of a text and a label."""
    ece: float
    """Over all pairs: how far the probabilities of labels are from how often texts have these labels."""
    micro: Averages
    """Over all pairs alike."""
    macro: Averages | None
    """The mean of the labels that have texts; None if no text has a label."""
    labels_per_text: float
    predicted_labels_per_text: float
    by_label: tuple[LabelMetrics, ...]

    @property
    def subset_accuracy_interval(self) -> tuple[float, float]:
        """The interval that has the true subset accuracy with a confidence of 95 % (Wilson, 1927)."""
        hits = round(self.subset_accuracy * self.rows)
        interval = stats.binomtest(hits, self.rows).proportion_ci(0.95, "wilson")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class MultilabelGroup:
    """The figures over the texts of one group."""

    group: str
    texts: int
    labels_per_text: float
    subset_accuracy: float
    hamming_loss: float
    micro_f1: float


def label_truth(dataset: Dataset, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which classes n texts have, as an array (n, classes); a text with one label has one class.

    A label is also that of a class which files spell like it, as in `class_indices`. Raises ClassifierError
    for a label that is not a class.
    """
    unknown = set(dataset.classes).difference(class_places(classes))
    if unknown:
        raise _unknown(min(unknown), classes)
    return label_matrix(dataset.sets, classes)


def _unknown(label: str, classes: Sequence[str]) -> ClassifierError:
    found = f"label {label!r} is none of the classes {', '.join(classes)}"
    if label.startswith("["):
        return ClassifierError(
            f"{found}; if it is a list that was written as a text, save the lists as JSON or Parquet, or "
            "write the labels with a separator between them and add --label-separator"
        )
    separator = separator_in(label)
    if separator is None:
        return ClassifierError(found)
    return ClassifierError(f"{found}; if it is several labels, add --label-separator {separator!r}")


def evaluate_label_probabilities(
    labels: Sequence[str],
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    thresholds: Sequence[float],
) -> MultilabelEvaluation:
    """Compare predictions and probabilities with the truth; all three are (n, labels).

    `thresholds` are those of the labels with which they were predicted.
    """
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, predicted, zero_division=0.0
    )
    present = support > 0
    return MultilabelEvaluation(
        labels=tuple(labels),
        rows=len(truth),
        subset_accuracy=float((truth == predicted).all(axis=1).mean()),
        hamming_loss=float((truth != predicted).mean()),
        log_loss=float(metrics.log_loss(truth.ravel(), probabilities.ravel(), labels=[False, True])),
        ece=expected_calibration_error(label_reliability(truth, probabilities)),
        micro=_micro(truth, predicted),
        macro=_macro(precision[present], recall[present], f1[present]) if present.any() else None,
        labels_per_text=float(truth.sum(axis=1).mean()),
        predicted_labels_per_text=float(predicted.sum(axis=1).mean()),
        by_label=tuple(
            LabelMetrics(
                label=label,
                precision=float(precision[column]),
                recall=float(recall[column]),
                f1=float(f1[column]),
                support=int(support[column]),
                threshold=float(thresholds[column]),
                average_precision=_average_precision(truth[:, column], probabilities[:, column]),
                roc_auc=_roc_auc(truth[:, column], probabilities[:, column]),
                best=best_threshold(truth[:, column], probabilities[:, column]),
            )
            for column, label in enumerate(labels)
        ),
    )


def label_reliability(truth: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> list[ReliabilityBin]:
    """Return bins of all pairs of a text and a label by the probability of the label, without the empty ones.

    The accuracy of a bin is the share of its pairs in which the text has the label.
    """
    return reliability_bins(probabilities.ravel(), truth.ravel())


def best_threshold(has_label: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> BestThreshold | None:
    """Return the threshold of a label with the best F1 on n texts, or None if no text has the label.

    It is a number with few digits between two probabilities, so that it can be copied. Of several
    thresholds with the same F1 it is the highest.
    """
    if not has_label.any():
        return None
    precision, recall, found = metrics.precision_recall_curve(has_label, probabilities)
    both = precision + recall
    f1 = 2 * precision * recall / np.where(both > 0, both, 1)
    place = len(found) - 1 - int(f1[:-1][::-1].argmax())
    low = float(found[place - 1]) if place else 0.0
    return BestThreshold(_between(low, float(found[place])), float(f1[place]))


def _between(low: float, high: float) -> float:
    """Return a number above `low` and at most `high`, near their middle, with as few digits as possible."""
    for digits in range(1, _MAX_DIGITS + 1):
        number = round((low + high) / 2, digits)
        if low < number <= high:
            return number
    return high


def multilabel_groups(
    groups: Sequence[str], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> tuple[MultilabelGroup, ...]:
    """Compare predictions (n, labels) with the truth (n, labels) in each of the groups of n texts.

    The groups are in the order in which they first occur.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(groups):
        rows_of[name].append(row)
    return tuple(_one_group(name, truth[rows], predicted[rows]) for name, rows in rows_of.items())


def _one_group(name: str, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> MultilabelGroup:
    return MultilabelGroup(
        group=name,
        texts=len(truth),
        labels_per_text=float(truth.sum(axis=1).mean()),
        subset_accuracy=float((truth == predicted).all(axis=1).mean()),
        hamming_loss=float((truth != predicted).mean()),
        micro_f1=_micro(truth, predicted).f1,
    )


def _micro(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Averages:
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth.ravel(), predicted.ravel(), average="binary", zero_division=0.0
    )
    return Averages(float(precision), float(recall), float(f1))


def _macro(precision: NDArray[np.float64], recall: NDArray[np.float64], f1: NDArray[np.float64]) -> Averages:
    return Averages(float(precision.mean()), float(recall.mean()), float(f1.mean()))


def _average_precision(has_label: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float | None:
    if not has_label.any():
        return None
    return float(metrics.average_precision_score(has_label, probabilities))


def _roc_auc(has_label: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float | None:
    if not has_label.any() or has_label.all():
        return None
    return float(metrics.roc_auc_score(has_label, probabilities))
