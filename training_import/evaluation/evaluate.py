"""Evaluate a model on labelled texts, through the same pipeline as the service."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    NO_CLASS,
    Evaluation,
    class_indices,
    evaluate_probabilities,
    without_neutral,
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


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    advance: Callable[[int], None] = lambda _: None,
    neutral_label: str | None = None,
) -> Report:
    """Predict all texts of a data set; `advance` receives the number of texts of each finished part.

    No class is right for the texts with the neutral label. Raises ClassifierError if this label is a class of
    the model, if another label is not one, or if no text has a class.
    """
    truth = _truth(dataset, classifier.labels, neutral_label)
    probabilities = np.empty((len(truth), len(classifier.labels)))
    begin = time.perf_counter()
    for start in range(0, len(truth), CHUNK):
        chunk = classifier.probabilities(dataset.texts[start : start + CHUNK])
        probabilities[start : start + CHUNK] = chunk
        advance(len(chunk))
    seconds = time.perf_counter() - begin
    predicted = classifier.decide(probabilities)
    labelled = truth != NO_CLASS
    evaluation = evaluate_probabilities(
        classifier.labels, truth[labelled], predicted[labelled], probabilities[labelled]
    )
    return Report(evaluation, 1e6 * seconds / len(truth), truth, predicted, probabilities)


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
