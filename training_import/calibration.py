"""Fit the calibration, which turns scores into probabilities, on texts that were not trained on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes import Scores

_SMALLEST_SCALE = 1e-6
"""A factor below zero would turn the order of the texts round."""


def fit_calibration(
    scores: Scores, truth: NDArray[np.intp], weights: NDArray[np.float64] | None = None
) -> Calibration:
    """Find the calibration with the least log loss: Platt's for two classes, else a temperature.

    `scores` is (n, classes), `truth` (n) is the index of each text's class, and `weights` (n) is how much
    each text counts; without it, each counts 1.
    """
    if scores.shape[1] > 2:
        return fit_temperature(scores, truth, weights)

    def build(parameters: NDArray[np.float64]) -> Calibration:
        return Calibration(method="platt", scale=_scale(parameters), bias=(0.0, float(parameters[1])))

    found = _fit(build, 2, scores, truth, weights)
    bias = None if found.bias is None else tuple(round(value, 4) for value in found.bias)
    return found.model_copy(update={"bias": bias})


def fit_temperature(
    scores: Scores, truth: NDArray[np.intp], weights: NDArray[np.float64] | None = None
) -> Calibration:
    """Find the temperature with the least log loss; see `fit_calibration`."""

    def build(parameters: NDArray[np.float64]) -> Calibration:
        return Calibration(method="temperature", scale=_scale(parameters))

    return _fit(build, 1, scores, truth, weights)


def fit_sigmoids(scores: Scores, truth: NDArray[np.bool_]) -> Calibration:
    """Find one factor for all scores and a summand for each label, with the least log loss of all labels.

    `scores` and `truth`, whether a text has a label, are (n, labels). The loss is convex, and as in
    `fit_calibration`, what to fit to is slightly less than certain.
    """
    n, labels = scores.shape
    having = truth.sum(axis=0)
    targets = np.where(truth, (having + 1) / (having + 2), 1 / (n - having + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = scores * parameters[0] + parameters[1:]
        losses = np.logaddexp(0, logits) - targets * logits
        errors = special.expit(logits) - targets
        return float(losses.mean()), np.append((errors * scores).sum(), errors.sum(axis=0)) / errors.size

    start = np.append(1.0, np.zeros(labels))
    bounds = [(_SMALLEST_SCALE, None), *[(None, None)] * labels]
    best = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    return Calibration(
        method="platt",
        activation="sigmoid",
        scale=float(f"{best.x[0]:.4g}"),
        bias=tuple(round(float(value), 4) for value in best.x[1:]),
    )


def _scale(parameters: NDArray[np.float64]) -> float:
    return float(np.exp(parameters[0]))


def _fit(
    build: Callable[[NDArray[np.float64]], Calibration],
    size: int,
    scores: Scores,
    truth: NDArray[np.intp],
    weights: NDArray[np.float64] | None,
) -> Calibration:
    targets = _targets(truth, scores.shape[1])

    def loss(parameters: NDArray[np.float64]) -> float:
        probabilities = to_probabilities(scores, build(parameters))
        losses = -(targets * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1)
        return float(np.average(losses, weights=weights))

    options = {"xatol": 1e-6, "fatol": 1e-9}
    best = optimize.minimize(loss, np.zeros(size), method="Nelder-Mead", options=options)
    found = build(best.x)
    # The held-out texts do not determine more than four digits, and four are the same on every processor.
    return found.model_copy(update={"scale": float(f"{found.scale:.4g}")})


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
