"""The kinds of model that can be trained: one table, one file for each kind."""

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

    def load(self) -> Trainer:
        """Import the trainer."""
        trainer: Trainer = importlib.import_module(self.module).train
        return trainer


TRAINERS: Mapping[Kind, TrainerEntry] = MappingProxyType(
    {
        "linear": TrainerEntry("training_import.training.linear", max_tokens=10_000),
        "cnn": TrainerEntry("training_import.training.cnn", max_tokens=400),
    }
)
