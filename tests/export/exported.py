"""What the tests of the exporter ask for: how many texts, how many tokens, and what comes back."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS = 64
TEXTS = 200

Answers = tuple[Path, NDArray[np.float64]]
"""The folder of an export, and what transformers gives for the texts."""
