"""The features of texts whose distributions are compared."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """The features of n texts."""

    characters: NDArray[np.float64]
    """The length of each text (n)."""
    unknown_share: NDArray[np.float64]
    """The share of each text's tokens (n) that the model does not know."""
    confidence: NDArray[np.float64]
    """The probability of each text's predicted class (n)."""
    label: NDArray[np.intp]
    """The index of each text's predicted class (n)."""


FEATURES = tuple(field.name for field in fields(TextFeatures))
"""The names of the features."""


def unknown_shares(known: NDArray[np.int64], unknown: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of unknown tokens of each text (n); 0 for a text without tokens."""
    shares: NDArray[np.float64] = unknown / np.maximum(known + unknown, 1)
    return shares
