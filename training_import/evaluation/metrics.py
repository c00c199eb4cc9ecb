"""Figures that say how good predictions are, for the model card and for `evaluate`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from classifier.artifact import Calibration
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, to_probabilities
from classifier.runtimes import Scores
from training_import.dataset import Dataset
from training_import.labels import spell_label

ECE_BINS = 15

NO_CLASS = -1
"""In place of the index of a class, for a text that no class is right for."""


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class, and the number of its texts."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confusion:
    """The texts of one class that were predicted as one other class."""

    truth: str
    predicted: str
    count: int
    share: float
    """The share of all texts of the true class."""


@dataclass(frozen=True)
class Evaluation:
    """The figures over n labelled texts."""

    labels: tuple[str, ...]
    rows: int
    accuracy: float
    log_loss: float
    roc_auc: float
    """For more than two classes: the mean of the areas of each class against the rest."""
    ece: float
    by_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """confusion[i][j] is the number of texts of class i that were predicted as class j."""

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The interval that has the true accuracy with a confidence of 95 % (Wilson, 1927)."""
        hits = sum(row[place] for place, row in enumerate(self.confusion))
        interval = stats.binomtest(hits, self.rows).proportion_ci(0.95, "wilson")
        return float(interval.low), float(interval.high)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have texts."""
        return float(np.mean([row.f1 for row in self.by_class if row.support]))

    @property
    def confusions(self) -> tuple["Confusion", ...]:
        """Each pair of classes that was confused, the most frequent first."""
        found = [
            Confusion(truth.label, predicted, count, count / truth.support)
            for truth, counts in zip(self.by_class, self.confusion, strict=True)
            for predicted, count in zip(self.labels, counts, strict=True)
            if count and predicted != truth.label
        ]
        return tuple(sorted(found, key=lambda one: (-one.count, one.truth, one.predicted)))

    @property
    def baseline(self) -> float:
        """The accuracy of the same answer to all texts: their most frequent class."""
        return max(row.support for row in self.by_class) / self.rows

    @property
    def is_above_baseline(self) -> bool:
        """Whether the model is certainly better than the same answer to all texts."""
        return self.accuracy_interval[0] > self.baseline

    def headline(self, prefix: str) -> dict[str, float]:
        """Return the figures for a manifest, rounded to six digits."""
        names = ("accuracy", "log_loss", "roc_auc", "ece")
        return {f"{prefix}_{name}": round(float(getattr(self, name)), 6) for name in names}


@dataclass(frozen=True)
class ReliabilityBin:
    """The texts whose confidence is in one bin."""

    low: float
    """Where the bin begins; it is 1 / ECE_BINS wide."""
    confidence: float
    accuracy: float
    count: int


def reliability(
    truth: NDArray[np.intp], predicted: NDArray[np.intp], probabilities: NDArray[np.float64]
) -> list[ReliabilityBin]:
    """Return bins of equal width over the confidence of the predicted class, without the empty ones."""
    confidence = probabilities[np.arange(len(probabilities)), predicted]
    return reliability_bins(confidence, predicted == truth)


def reliability_bins(confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Return bins of equal width over n confidences in what is right or wrong, without the empty ones."""
    places = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    bins = []
    for place in range(ECE_BINS):
        inside = places == place
        if inside.any():
            bins.append(
                ReliabilityBin(
                    low=place / ECE_BINS,
                    confidence=float(confidence[inside].mean()),
                    accuracy=float(is_right[inside].mean()),
                    count=int(inside.sum()),
                )
            )
    return bins


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the mean gap between confidence and accuracy, weighted by bin size (Guo et al., ICML 2017)."""
    total = sum(bin_.count for bin_ in bins)
    return sum(bin_.count * abs(bin_.confidence - bin_.accuracy) for bin_ in bins) / total


def evaluate_probabilities(
    labels: Sequence[str],
    truth: NDArray[np.intp],
    predicted: NDArray[np.intp],
    probabilities: NDArray[np.float64],
) -> Evaluation:
    """Compare predictions (n) and probabilities (n, classes) with the truth (n)."""
    classes = np.arange(len(labels))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=classes, zero_division=0.0
    )
    is_class = truth[:, None] == classes
    present = is_class.any(axis=0) & ~is_class.all(axis=0)
    columns = classes[present][-1:] if len(labels) == 2 else classes[present]
    areas = [metrics.roc_auc_score(is_class[:, column], probabilities[:, column]) for column in columns]
    return Evaluation(
        labels=tuple(labels),
        rows=len(truth),
        accuracy=float((truth == predicted).mean()),
        log_loss=float(metrics.log_loss(truth, probabilities, labels=classes)),
        roc_auc=float(np.mean(areas)) if areas else float("nan"),
        ece=expected_calibration_error(reliability(truth, predicted, probabilities)),
        by_class=tuple(
            ClassMetrics(label, float(p), float(r), float(f), int(s))
            for label, p, r, f, s in zip(labels, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(
            tuple(int(count) for count in row)
            for row in metrics.confusion_matrix(truth, predicted, labels=classes)
        ),
    )


def class_indices(labels: Sequence[str | None], classes: Sequence[str]) -> NDArray[np.intp]:
    """Return the index of each label (n), or NO_CLASS for None.

    A label is also that of a class which files spell like it: "1" for the class "1.0" of an imported model.
    Raises ClassifierError for a label that is not a class.
    """
    places = class_places(classes)
    unknown = sorted({label for label in labels if label is not None}.difference(places))
    if unknown:
        raise ClassifierError(f"label {unknown[0]!r} is none of the classes {', '.join(classes)}")
    return np.array([places.get(label, NO_CLASS) for label in labels], np.intp)


def class_places(classes: Sequence[str]) -> dict[str | None, int]:
    """Return the index of each class by its name, and by the spelling of files if no other class has it."""
    spelled = [spell_label(label) for label in classes]
    return {label: i for i, label in enumerate(spelled) if spelled.count(label) == 1} | {
        label: i for i, label in enumerate(classes)
    }


def label_matrix(label_sets: Sequence[Iterable[str]], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which classes each of n texts has, shape (n, classes); labels that are no class are left out."""
    places = class_places(classes)
    found = np.zeros((len(label_sets), len(classes)), bool)
    for row, labels in enumerate(label_sets):
        found[row, [places[label] for label in labels if label in places]] = True
    return found


def without_neutral(labels: Sequence[str], neutral_label: str | None) -> list[str | None]:
    """Return the same labels (n) with None for each neutral one, for which no class is right."""
    return [None if label == neutral_label else label for label in labels]


def evaluate_scores(
    labels: Sequence[str], truth: NDArray[np.intp], scores: Scores, calibration: Calibration
) -> Evaluation:
    """Evaluate scores (n, classes), where the most probable class of each text is predicted."""
    probabilities = to_probabilities(scores, calibration)
    return evaluate_probabilities(labels, truth, probabilities.argmax(axis=1), probabilities)


def evaluate_classifier(classifier: Classifier, dataset: Dataset) -> Evaluation:
    """Evaluate a model as it is served, with its threshold."""
    truth = class_indices(dataset.labels, classifier.labels)
    probabilities = classifier.probabilities(dataset.texts)
    return evaluate_probabilities(classifier.labels, truth, classifier.decide(probabilities), probabilities)
