"""The task that a trainer receives, and the model that it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes import RuntimeSettings, Scores
from classifier.text import TextSettings
from training_import.sentence_encoder import SentenceEncoder
from training_import.training.class_weights import ClassWeight


class Progress(Protocol):
    """Receives what a training does."""

    def __call__(self, step: str, share: float | None = None) -> None:
        """Receive the name of the running step and, if it is known, how much of it is done (0 to 1)."""
        ...


CHOSEN_ON_HELD_OUT_TEXTS = "a held-out fifth of the training texts"

NOTHING_TO_LEARN = "no word occurs twice in the training texts, so there is nothing to learn"


@dataclass(frozen=True)
class TrainingTask:
    """The n texts that a trainer receives, with their classes."""

    texts: Sequence[str]
    truth: NDArray[np.intp]
    """The index of each text's class (n)."""
    classes: int
    train_rows: NDArray[np.intp]
    """The indices of the texts to train on."""
    held_out_rows: NDArray[np.intp]
    """The indices of the texts to choose and calibrate on."""
    is_short: NDArray[np.bool_]
    """Which texts (n) are the short ones that a model of long texts also has to be right on."""
    is_phrase: NDArray[np.bool_]
    """Which of those (n) are written for the training, so that they do not show how words are used."""
    text_settings: TextSettings
    seed: int
    class_weight: ClassWeight | None = None
    encoder: SentenceEncoder | None = None
    """The encoder of a model of kind 'encoder'; None for the other kinds."""


@dataclass(frozen=True)
class Rounding:
    """The rounding of weights that are stored in a smaller type than they were trained in."""

    dtype: str
    exact_scores: Scores
    """The scores of the held-out texts (held out, classes) with the weights as they were trained."""


@dataclass(frozen=True)
class Fitted:
    """The model that a trainer returns, not yet calibrated."""

    model: RuntimeSettings
    vocabulary: tuple[str, ...]
    weights: Mapping[str, bytes]
    """The content of each weight file, by its name."""
    held_out_scores: Scores
    """The scores of the held-out texts (held out, classes), by a model that was not trained on them."""
    held_out_unknown_share: NDArray[np.float64]
    """The share of each held-out text's tokens (held out) that this other model does not know."""
    choices: Mapping[str, str]
    """The options that were compared on the held-out texts, with their results; for the model card."""
    versions: Mapping[str, str]
    """The versions of the libraries."""
    rounding: Rounding | None = None
    """None if the weights are stored as they were trained."""
    chosen_on: str = CHOSEN_ON_HELD_OUT_TEXTS
    """The texts that the options were compared on; for the model card."""
    words: Sequence[str] = ()
    """Words for golden cases, if the model has no vocabulary."""
    notes: tuple[str, ...] = ()
    """What was decided for the user, one sentence each; for the screen and the model card."""


class Trainer(Protocol):
    """Trains one kind of model."""

    def __call__(self, task: TrainingTask, progress: Progress) -> Fitted:
        """Train on the texts of the task; raises ClassifierError if there is nothing to learn."""
        ...
