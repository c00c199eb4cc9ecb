"""Scores to honest probabilities, fitted on texts that the model did not learn from."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from classifier.artifact import Calibration
from classifier.pipeline import probabilities
from classifier.runtime import Scores


def fit_calibration(scores: Scores, truth: NDArray[np.intp]) -> Calibration:
    """The calibration with the least log loss: Platt's two parameters for two classes, else a temperature.

    `scores` is (n, classes), `truth` (n) the index of each text's class.
    """
    classes = scores.shape[1]

    def build(parameters: NDArray[np.float64]) -> Calibration:
        scale = float(np.exp(parameters[0]))
        if classes == 2:
            return Calibration(method="platt", scale=scale, bias=(0.0, float(parameters[1])))
        return Calibration(method="temperature", scale=scale)

    def loss(parameters: NDArray[np.float64]) -> float:
        table = probabilities(scores, build(parameters))
        return float(-np.log(np.maximum(table[np.arange(len(truth)), truth], 1e-12)).mean())

    start = np.zeros(2 if classes == 2 else 1)
    best = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    found = build(best.x)
    # Four digits say all that the held-out texts can tell, and are the same on every processor.
    bias = None if found.bias is None else tuple(round(value, 4) for value in found.bias)
    return found.model_copy(update={"scale": float(f"{found.scale:.4g}"), "bias": bias})
