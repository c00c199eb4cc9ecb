"""Evaluate a model on labelled texts, through the same pipeline as the service."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, decide_labels
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    NO_CLASS,
    Evaluation,
    class_indices,
    evaluate_probabilities,
    without_neutral,
)
from training_import.evaluation.multilabel import (
    MultilabelEvaluation,
    evaluate_label_probabilities,
    label_truth,
)

CHUNK = 256


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`; every array has one entry or row for each of n texts."""

    evaluation: Evaluation
    """The figures over the texts that a class is right for."""
    microseconds_per_text: float
    """Microseconds for a text in batches, on this machine."""
    truth: NDArray[np.intp]
    """The index of the right class, or NO_CLASS."""
    predicted: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    @property
    def has_class(self) -> NDArray[np.bool_]:
        """Which texts (n) a class is right for."""
        has_class: NDArray[np.bool_] = self.truth != NO_CLASS
        return has_class

    def only_with_class(self) -> "Report":
        """Return the same report without the texts that no class is right for."""
        kept = self.has_class
        return replace(
            self,
            truth=self.truth[kept],
            predicted=self.predicted[kept],
            probabilities=self.probabilities[kept],
        )

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the prediction is right, for each text that a class is right for."""
        is_right: NDArray[np.bool_] = (self.predicted == self.truth)[self.has_class]
        return is_right

    def as_json(self) -> dict[str, object]:
        """Return the figures over all texts, without those of single texts."""
        figures = self.evaluation
        return asdict(figures) | {
            "accuracy_interval": figures.accuracy_interval,
            "macro_f1": figures.macro_f1,
            "microseconds_per_text": round(self.microseconds_per_text, 1),
        }


@dataclass(frozen=True)
class MultilabelReport:
    """The result of `evaluate_multilabel`; every array is (n, labels) for n texts."""

    evaluation: MultilabelEvaluation
    microseconds_per_text: float
    """Microseconds for a text in batches, on this machine."""
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    probabilities: NDArray[np.float64]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether all labels of a text are exactly right, for each text (n)."""
        is_right: NDArray[np.bool_] = (self.predicted == self.truth).all(axis=1)
        return is_right

    def as_json(self) -> dict[str, object]:
        """Return the figures over all texts, without those of single texts."""
        figures = self.evaluation
        return asdict(figures) | {
            "subset_accuracy_interval": figures.subset_accuracy_interval,
            "microseconds_per_text": round(self.microseconds_per_text, 1),
        }


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    advance: Callable[[int], None] = lambda _: None,
    neutral_label: str | None = None,
) -> Report:
    """Predict all texts of a data set; `advance` receives the number of texts of each finished part.

    No class is right for the texts with the neutral label. Raises ClassifierError if this label is a class of
    the model, if another label is not one, if no text has a class, or if a text has several labels.
    """
    dataset.check_one_label(f"{classifier.manifest.name} is a model that gives each text exactly one")
    truth = _truth(dataset, classifier.labels, neutral_label)
    probabilities, microseconds = _probabilities(classifier, dataset.texts, advance)
    predicted = classifier.decide(probabilities)
    labelled = truth != NO_CLASS
    evaluation = evaluate_probabilities(
        classifier.labels, truth[labelled], predicted[labelled], probabilities[labelled]
    )
    return Report(evaluation, microseconds, truth, predicted, probabilities)


def evaluate_multilabel(
    classifier: Classifier, dataset: Dataset, advance: Callable[[int], None] = lambda _: None
) -> MultilabelReport:
    """Predict the labels of all texts with a model that gives a text several; see `evaluate`.

    A text with one label has a set of one. Raises ClassifierError if a label is not one of the model's.
    """
    truth = label_truth(dataset, classifier.labels)
    probabilities, microseconds = _probabilities(classifier, dataset.texts, advance)
    predicted = decide_labels(classifier.manifest, probabilities)
    evaluation = evaluate_label_probabilities(
        classifier.labels, truth, predicted, probabilities, classifier.manifest.label_thresholds
    )
    return MultilabelReport(evaluation, microseconds, truth, predicted, probabilities)


def _probabilities(
    classifier: Classifier, texts: Sequence[str], advance: Callable[[int], None]
) -> tuple[NDArray[np.float64], float]:
    """Return the probabilities (n, classes) of n texts, and how many microseconds each took."""
    probabilities = np.empty((len(texts), len(classifier.labels)))
    begin = time.perf_counter()
    for start in range(0, len(texts), CHUNK):
        chunk = classifier.probabilities(texts[start : start + CHUNK])
        probabilities[start : start + CHUNK] = chunk
        advance(len(chunk))
    seconds = time.perf_counter() - begin
    return probabilities, 1e6 * seconds / len(texts)


def _truth(dataset: Dataset, classes: Sequence[str], neutral_label: str | None) -> NDArray[np.intp]:
    if neutral_label in classes:
        raise ClassifierError(
            f"the neutral label {neutral_label!r} is one of the classes {', '.join(classes)}; it must be "
            "another one"
        )
    truth = class_indices(without_neutral(dataset.labels, neutral_label), classes)
    if (truth == NO_CLASS).all():
        raise ClassifierError(
            f"{dataset.name} has only the neutral label {neutral_label!r}; "
            f"at least one text needs one of the classes {', '.join(classes)}"
        )
    return truth
