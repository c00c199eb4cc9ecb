"""The score that an explanation explains: one number for one label of a text."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Manifest
from classifier.errors import UnknownLabel
from classifier.explain.explanation import Comparison
from classifier.pipeline import Classifier, Prediction
from classifier.runtimes import Scores


@dataclass(frozen=True, slots=True)
class Target:
    """A label, and how its score is made from the scores of all classes."""

    label: str
    compared_with: Comparison
    weights: NDArray[np.float64]
    """The weight of the score of each class (classes)."""

    @classmethod
    def of(cls, manifest: Manifest, label: str) -> Self:
        """The target of a label of a model; raises UnknownLabel.

        If a text can have several labels, or if there are three or more labels that are scored against the
        rest, it is the label's own score.
        Otherwise it is the difference between the label's score and the mean of the others. For two labels
        that is the difference of their scores, whichever way the scores become probabilities.
        """
        if label not in manifest.labels:
            raise UnknownLabel(label, manifest.labels)
        is_against_rest = manifest.calibration.activation == "one-vs-rest"
        others = len(manifest.labels) - 1
        if manifest.has_several_labels:
            compared_with, weight = Comparison.ABSENCE, 0.0
        elif others == 1:
            compared_with, weight = Comparison.OTHER_LABEL, -1.0
        elif is_against_rest:
            compared_with, weight = Comparison.REST, 0.0
        else:
            compared_with, weight = Comparison.MEAN, -1 / others
        weights = np.full(len(manifest.labels), weight)
        weights[manifest.labels.index(label)] = 1
        return cls(label, compared_with, weights)

    def score(self, scores: Scores) -> NDArray[np.float64]:
        """The score of the label for each of n texts; `scores` is (n, classes)."""
        return scores @ self.weights

    def score_of(self, prediction: Prediction) -> float:
        """The score of the label for a text that the classifier has run."""
        if prediction.run is None:
            raise ValueError("the prediction does not come from a run of the model")
        return float(prediction.run.scores[prediction.row] @ self.weights)

    def calibration(self, classifier: Classifier) -> tuple[float, float]:
        """The factor and the summand that turn the score into calibrated log-odds."""
        calibration = classifier.manifest.calibration
        bias = 0.0 if calibration.bias is None else float(self.weights @ calibration.bias)
        return calibration.scale, bias
