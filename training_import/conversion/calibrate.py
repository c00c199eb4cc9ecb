"""Give a model that has only scores the probabilities that fit labelled texts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifier.pipeline import to_probabilities
from training_import.calibration import fit_sigmoids, fit_temperature
from training_import.conversion.converted import Converted, LabelSets, Thresholds, UnsupportedModel
from training_import.conversion.label_sets import classes_in_data, sets_of
from training_import.evaluation.metrics import label_matrix

MIN_CALIBRATION_TEXTS = 50

_ABOVE = 1 + 1e-12
"""scikit-learn predicts a label from a score above 0, and a threshold is the lowest probability of its label.
A text of unknown words can have exactly the score 0, so the threshold is its probability times this
factor, which is larger than the differences between processors."""


def calibrated(converted: Converted, texts: Sequence[str], labels: LabelSets) -> Converted:
    """Return the model with a calibration that fits labelled texts, and with an original that has it too.

    The predicted labels are the original's: a temperature leaves the order of the classes as it is, and if a
    text can have several labels, each threshold is just above the probability of the score 0, above which the
    original predicts the label. Raises UnsupportedModel if there are too few labelled texts, or if their
    labels are not those of the model.
    """
    if not labels:
        raise UnsupportedModel(
            f"the model, {converted.description}, gives scores but no probabilities; give labelled texts "
            "that it was not trained on, with --data and --label-column, to calibrate it"
        )
    truth = _truth(converted, labels)
    original, scores = converted.original, converted.original(texts)
    if converted.has_several_labels:
        calibration = fit_sigmoids(scores, truth)
        limits = to_probabilities(np.zeros((1, truth.shape[1])), calibration)[0]
        limits = np.minimum(limits * _ABOVE, 1.0)
        rights = ((to_probabilities(scores, calibration) >= limits) == truth).all(axis=1)
        measure = "exactly right"
        formula = "each probability is the sigmoid of the score times {0:g} plus a number for the label"
        same = "unless --thresholds sets others, the predicted labels"
    else:
        calibration, limits = fit_temperature(scores, truth.argmax(axis=1)), None
        rights = to_probabilities(scores, calibration).argmax(axis=1) == truth.argmax(axis=1)
        measure = "accuracy"
        formula = "the probabilities are the softmax of the scores times {0:g}"
        same = "the predicted labels"

    def with_probabilities(texts: Sequence[str]) -> NDArray[np.float64]:
        return to_probabilities(original(texts), calibration)

    note = (
        f"The original gives scores but no probabilities. They were calibrated on {len(labels):,} labelled "
        f"texts ({measure} {100 * rights.mean():.2f} %): {formula.format(calibration.scale)}, and "
        f"{same} are those of the original. If it was trained on these texts, its probabilities are "
        "too high."
    )
    return replace(
        converted,
        calibration=calibration,
        thresholds=_thresholds(converted, limits),
        original=with_probabilities,
        notes=(*converted.notes, note),
    )


def _thresholds(converted: Converted, limits: NDArray[np.float64] | None) -> Thresholds | None:
    """Return what the package says, or else the probabilities above which the original predicts a label."""
    if limits is None or converted.thresholds is not None or converted.threshold is not None:
        return converted.thresholds
    return tuple(limits.tolist())


def _truth(converted: Converted, labels: LabelSets) -> NDArray[np.bool_]:
    """Return which of the classes each of n texts has, shape (n, classes)."""
    classes = classes_in_data(converted, labels)
    truth = label_matrix(sets_of(labels), classes)
    counts = truth.sum(axis=0).tolist()
    if missing := [name for name, count in zip(classes, counts, strict=True) if not count]:
        raise UnsupportedModel(
            f"no labelled text has the label {missing[0]!r}; calibration needs texts of each of "
            f"{', '.join(map(repr, classes))}"
        )
    if len(labels) < MIN_CALIBRATION_TEXTS:
        raise UnsupportedModel(
            f"there are {len(labels)} labelled texts; calibration needs at least {MIN_CALIBRATION_TEXTS}"
        )
    return truth
