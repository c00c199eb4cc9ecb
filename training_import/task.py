"""What a trainer gets and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.runtime import LinearSettings, OnnxSettings, Scores
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
class Fitted:
    """What a trainer gives: a model without calibration."""

    model: LinearSettings | OnnxSettings
    vocabulary: tuple[str, ...]
    held_out_scores: Scores
    """(held out, classes), of a model that has not learned from them."""
    choices: Mapping[str, str]
    """What was chosen on the held-out texts, for the model card."""
    versions: Mapping[str, str]
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    network: bytes = b""
    exact_scores: Scores | None = None
    """As `held_out_scores`, before the weights were stored in a smaller type; None if they were not."""


class Trainer(Protocol):
    """Trains one kind of model."""

    def __call__(self, task: Task, progress: Progress) -> Fitted:
        """Learn from the task's texts."""
        ...
