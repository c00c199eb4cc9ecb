"""Let rare classes count as much as frequent ones."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ClassWeight = Literal["balanced"]
"""How much the texts of each class count; without it, each text counts 1."""


def text_weights(
    class_weight: ClassWeight | None, truth: NDArray[np.intp], classes: int
) -> NDArray[np.float64] | None:
    """Return how much each of n texts counts; None if all count the same. `truth` (n) has their classes.

    A balanced text counts n / (classes * number of the texts of its class), as in scikit-learn.
    """
    if class_weight is None:
        return None
    counts = np.maximum(np.bincount(truth, minlength=classes), 1)
    weights: NDArray[np.float64] = (len(truth) / (classes * counts))[truth]
    return weights
