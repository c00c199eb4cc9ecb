"""The kinds of model that can be trained: one table, and one module for each kind."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from training_import.dataset import MIN_ROWS_OF_A_CLASS
from training_import.training.material import DataSets, Material, fold_material, split_material
from training_import.training.task import Trainer

Kind = Literal["linear", "cnn", "encoder"]


@dataclass(frozen=True)
class TrainerEntry:
    """A line of the table."""

    module: str
    """The module with the function `train`, which is imported only when it is needed: TensorFlow is large."""
    marks_negation: bool
    """Whether negated tokens are marked. A network reads the words in their order, so it needs no marks."""
    reads_short_texts: bool
    """Whether it can make a model that is right on long texts and on short ones."""
    max_tokens: int = 10_000
    """Most tokens of a text that are read. A network is trained on texts padded to this length, so it bounds
    the time of training and of an answer. The default is the most that config.yaml allows."""
    needs_encoder: bool = False
    """Whether it trains on the embeddings of a sentence encoder, which has its own settings for texts."""
    split: Callable[[DataSets, int], Material] = split_material
    """Decides with a seed which texts are to train on, and which to choose and calibrate on."""
    min_rows_of_a_class: int = MIN_ROWS_OF_A_CLASS
    few_rows_of_a_class: int = 20
    """With fewer rows a class is hardly learned, which is worth a warning."""

    def load(self) -> Trainer:
        """Import the trainer."""
        trainer: Trainer = importlib.import_module(self.module).train
        return trainer


TRAINERS: Mapping[Kind, TrainerEntry] = MappingProxyType(
    {
        "linear": TrainerEntry(
            "training_import.training.linear", marks_negation=True, reads_short_texts=True
        ),
        "cnn": TrainerEntry(
            "training_import.training.cnn", marks_negation=False, reads_short_texts=False, max_tokens=400
        ),
        "encoder": TrainerEntry(
            "training_import.training.encoder",
            marks_negation=False,
            reads_short_texts=False,
            needs_encoder=True,
            split=fold_material,
            min_rows_of_a_class=2,
            few_rows_of_a_class=8,
        ),
    }
)
