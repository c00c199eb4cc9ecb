"""The kinds of model that can be trained: one table, and one module for each kind."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from training_import.training.task import Trainer

Kind = Literal["linear", "cnn"]


@dataclass(frozen=True)
class TrainerEntry:
    """A line of the table."""

    module: str
    """The module with the function `train`, which is imported only when it is needed: TensorFlow is large."""
    max_tokens: int
    """Most tokens of a text that are read. A network is trained on texts padded to this length, so it bounds
    the time of training and of an answer."""
    marks_negation: bool
    """Whether negated tokens are marked. A network reads the words in their order, so it needs no marks."""
    reads_short_texts: bool
    """Whether it can make a model that is right on long texts and on short ones."""

    def load(self) -> Trainer:
        """Import the trainer."""
        trainer: Trainer = importlib.import_module(self.module).train
        return trainer


TRAINERS: Mapping[Kind, TrainerEntry] = MappingProxyType(
    {
        "linear": TrainerEntry(
            "training_import.training.linear", max_tokens=10_000, marks_negation=True, reads_short_texts=True
        ),
        "cnn": TrainerEntry(
            "training_import.training.cnn", max_tokens=400, marks_negation=False, reads_short_texts=False
        ),
    }
)
