"""Fit the calibration, which turns scores into probabilities, on texts that were not trained on."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes import Scores


def fit_calibration(scores: Scores, truth: NDArray[np.intp]) -> Calibration:
    """Find the calibration with the least log loss: Platt's for two classes, else a temperature.

    `scores` is (n, classes), and `truth` (n) is the index of each text's class.
    """
    classes = scores.shape[1]
    targets = _targets(truth, classes)

    def build(parameters: NDArray[np.float64]) -> Calibration:
        scale = float(np.exp(parameters[0]))
        if classes == 2:
            return Calibration(method="platt", scale=scale, bias=(0.0, float(parameters[1])))
        return Calibration(method="temperature", scale=scale)

    def loss(parameters: NDArray[np.float64]) -> float:
        probabilities = to_probabilities(scores, build(parameters))
        return float(-(targets * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1).mean())

    start = np.zeros(2 if classes == 2 else 1)
    best = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    found = build(best.x)
    # The held-out texts do not determine more than four digits, and four are the same on every processor.
    bias = None if found.bias is None else tuple(round(value, 4) for value in found.bias)
    return found.model_copy(update={"scale": float(f"{found.scale:.4g}"), "bias": bias})


def _targets(truth: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    """Return the probabilities (n, classes) to fit to, which are slightly less than certain (Platt, 1999).

    With ones and zeros instead, scores that happen to separate the held-out texts would need an infinite
    scale, and every answer would be certain. The more texts a class has, the closer its target is to 1.
    """
    rows = np.bincount(truth, minlength=classes)
    certain = (rows + 1) / (rows + 2)
    targets = np.repeat(((1 - certain) / (classes - 1))[truth][:, None], classes, axis=1)
    targets[np.arange(len(truth)), truth] = certain[truth]
    return targets
