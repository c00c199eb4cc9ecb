"""Compare the probabilities of an imported model with those of the original."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Artifact
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from training_import.conversion.converted import UnsupportedModel

MAX_SHOWN_CHARACTERS = 300

ORIGINAL = "the original"


@dataclass(frozen=True)
class Comparison:
    """How far the imported model's probabilities are from those of the original."""

    compared_with: str
    texts: int
    real: int
    """How many of the texts are real; the others are made from the vocabulary."""
    largest: float
    """The largest difference between two probabilities."""
    tolerance: float
    """The difference that is allowed; 1 if weights are stored in a smaller type, for which labels decide."""
    expected: NDArray[np.float64] = field(repr=False)
    """The probabilities to compare with (texts, classes)."""
    imported: NDArray[np.float64] = field(repr=False)
    """Those of the imported model."""


def compare(
    artifact: Artifact,
    expected: NDArray[np.float64],
    texts: Sequence[str],
    tolerance: float,
    compared_with: str = ORIGINAL,
    real: int = 0,
) -> Comparison:
    """Compare the artifact's probabilities with `expected` (texts, classes); the first `real` texts are real.

    Raises UnsupportedModel if a difference is above `tolerance`, with the text for which it is largest.
    `compared_with` is what the message calls the other side.
    """
    try:
        imported = Classifier(artifact).probabilities(texts)
    except ClassifierError:
        raise
    except Exception as error:  # onnxruntime has a class for each kind of fault
        raise UnsupportedModel(f"the imported model cannot score the texts: {error}") from error
    if expected.shape != imported.shape:
        raise UnsupportedModel(
            f"{compared_with} gives probabilities of shape {expected.shape}, the imported model of "
            f"{imported.shape}"
        )
    differences = np.nan_to_num(np.abs(imported - expected), nan=math.inf)
    text, class_ = divmod(int(differences.argmax()), differences.shape[1])
    largest = float(differences[text, class_])
    if largest > tolerance:
        label, shown = artifact.manifest.labels[class_], texts[text][:MAX_SHOWN_CHARACTERS]
        raise UnsupportedModel(
            f"the imported model differs from {compared_with} by {largest:.3g} where {tolerance:g} is "
            f"allowed: for the text {shown!r} the probability of {label!r} is "
            f"{imported[text, class_]:.8f} instead of {expected[text, class_]:.8f}. It was the worst of "
            f"{len(texts)} texts"
        )
    return Comparison(compared_with, len(texts), real, largest, tolerance, expected, imported)
