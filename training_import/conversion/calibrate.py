"""Give a model that has only scores the probabilities that fit labelled texts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifier.pipeline import to_probabilities
from training_import.calibration import fit_temperature
from training_import.conversion.converted import ClassLabels, Converted, UnsupportedModel
from training_import.evaluation.metrics import class_indices
from training_import.labels import spell_label

MIN_CALIBRATION_TEXTS = 50


def calibrated(converted: Converted, texts: Sequence[str], labels: Sequence[str]) -> Converted:
    """Return the model with a temperature that fits labelled texts, and with an original that has it too.

    A temperature leaves the order of the classes as it is, so the predicted labels are the original's. Raises
    UnsupportedModel if there are too few labelled texts, or if their labels are not those of the model.
    """
    if not labels:
        raise UnsupportedModel(
            f"the model, {converted.description}, gives scores but no probabilities; give labelled texts "
            "that it was not trained on, with --data and --label-column, to calibrate it"
        )
    truth = _truth(_classes_in_data(converted.labels, labels), labels)
    original, scores = converted.original, converted.original(texts)
    calibration = fit_temperature(scores, truth)
    probabilities = to_probabilities(scores, calibration)
    accuracy = (probabilities.argmax(axis=1) == truth).mean()

    def with_probabilities(texts: Sequence[str]) -> NDArray[np.float64]:
        return to_probabilities(original(texts), calibration)

    note = (
        f"The original gives scores but no probabilities. They were calibrated on {len(labels):,} labelled "
        f"texts (accuracy {100 * accuracy:.2f} %): the probabilities are the softmax of the scores times "
        f"{calibration.scale:g}, and the predicted labels are those of the original. If it was trained on "
        "these texts, its probabilities are too high."
    )
    return replace(
        converted, calibration=calibration, original=with_probabilities, notes=(*converted.notes, note)
    )


def _classes_in_data(classes: ClassLabels, labels: Sequence[str]) -> tuple[str, ...]:
    """Return what labelled texts call the classes: their names, or what the model itself calls them.

    The model's own numbers or names are only taken if none of them is also the name of a class, because then
    it would not be certain which class is meant.
    """
    own = tuple(spell_label(name) or name for name in classes.own)
    is_certain = set(own).isdisjoint(classes.names)
    return own if is_certain and set(labels) <= set(own) else classes.names


def _truth(classes: Sequence[str], labels: Sequence[str]) -> NDArray[np.intp]:
    counts = Counter(labels)
    shown = ", ".join(map(repr, classes))
    if unknown := [label for label in counts if label not in classes]:
        raise UnsupportedModel(
            f"the labelled texts have the label {unknown[0]!r}; the model's labels are {shown}, and the "
            "column of --label-column must have these"
        )
    if missing := [label for label in classes if label not in counts]:
        raise UnsupportedModel(
            f"no labelled text has the label {missing[0]!r}; calibration needs texts of each of {shown}"
        )
    if len(labels) < MIN_CALIBRATION_TEXTS:
        raise UnsupportedModel(
            f"there are {len(labels)} labelled texts; calibration needs at least {MIN_CALIBRATION_TEXTS}"
        )
    return class_indices(labels, classes)
