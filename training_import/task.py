"""What a trainer gets and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes import RuntimeSettings, Scores
from classifier.text import TextSettings

Progress = Callable[[str], None]
"""Called with what begins now."""

NOTHING_TO_LEARN = "no word stands twice in the texts to learn from, so there is nothing to learn"


@dataclass(frozen=True)
class Task:
    """What a trainer gets: n texts, their classes, and which of them to hold out."""

    texts: Sequence[str]
    truth: NDArray[np.intp]
    """(n) the index of each text's class."""
    classes: int
    learn: NDArray[np.intp]
    """Rows to learn from."""
    held_out: NDArray[np.intp]
    """Rows to choose and calibrate on."""
    text_settings: TextSettings
    seed: int


@dataclass(frozen=True)
class Rounding:
    """Weights that are stored in a smaller type than they were trained in."""

    dtype: str
    exact_scores: Scores
    """The scores of the held-out texts (held out, classes) with the weights as they were trained."""


@dataclass(frozen=True)
class Fitted:
    """What a trainer gives: a model without calibration."""

    model: RuntimeSettings
    vocabulary: tuple[str, ...]
    weights: Mapping[str, bytes]
    """The content of each weight file, by its name."""
    held_out_scores: Scores
    """(held out, classes), of a model that has not learned from them."""
    choices: Mapping[str, str]
    """What was chosen on the held-out texts, for the model card."""
    versions: Mapping[str, str]
    rounding: Rounding | None = None
    """None if the weights are stored as they were trained."""


class Trainer(Protocol):
    """Trains one kind of model."""

    def __call__(self, task: Task, progress: Progress) -> Fitted:
        """Learn from the task's texts."""
        ...
