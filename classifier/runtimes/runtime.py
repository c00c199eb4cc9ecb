"""What every kind of model provides: texts in, class scores out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from classifier.text import TextSettings

Scores = NDArray[np.float64]
"""Class scores of n texts, shape (n, classes): what a softmax turns into probabilities."""

TEXT_COST = 100
"""What a text costs besides its own bytes, in bytes."""


class RuntimeSettings(BaseModel):
    """The settings of one kind of model: the field `model` of an artifact's manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """The name of the kind in the table of runtimes."""


class Batch(Protocol):
    """n texts as the input of a runtime, with the counts that the warnings in an answer are made from."""

    @property
    def known(self) -> NDArray[np.int64]:
        """How many tokens of each text (n) the model reads and knows."""
        ...

    @property
    def unknown(self) -> NDArray[np.int64]:
        """How many tokens of each text (n) the model reads or drops because it does not know them."""
        ...

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Which texts (n) are longer than what the model reads."""
        ...


AnyBatch = TypeVar("AnyBatch", bound=Batch)


class Runtime(Protocol[AnyBatch]):
    """A model that is ready to score texts. A text's scores never depend on the other texts of its batch.

    A runtime owns everything that is particular to its kind of model. `classifier.runtimes.RUNTIMES` lists
    the kinds.
    """

    settings_type: ClassVar[type[RuntimeSettings]]
    max_bytes: ClassVar[Mapping[str, int]]
    """The weight files of the kind, with the largest size of each in bytes."""
    lock_file: ClassVar[str]
    """The locked packages that an image needs to serve the kind, relative to the root of the project."""
    gpu_lock_file: ClassVar[str | None]
    """The same for serving on a GPU; None if a GPU does not make the kind faster."""
    releases_gil: ClassVar[bool]
    """Whether other threads can run while this one scores."""
    device: str
    """What the model runs on: "cpu" or "cuda"."""

    @classmethod
    def check(cls, settings: Any, labels: Sequence[str], text: TextSettings) -> None:
        """Raise ValueError if the settings do not fit the labels or the text settings of the manifest."""
        ...

    @classmethod
    def load(
        cls,
        settings: Any,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
    ) -> Self:
        """Make a runtime from the parts of an artifact; `weights` has the content of each weight file.

        Raises ArtifactError, which names the file and what is wrong with it.
        """
        ...

    def cost(self, text: str) -> int:
        """The size of a text in a batch, in a unit that the runtime chooses; never less than 1.

        The time of a batch must be roughly a linear function of the sum of its texts' costs.
        """
        ...

    def encode(self, texts: Sequence[str]) -> AnyBatch:
        """Turn n texts into the input of the model."""
        ...

    def score(self, batch: AnyBatch) -> Scores:
        """Score n texts; returns shape (n, classes)."""
        ...

    def describe(self) -> str:
        """Say what a text costs, for the model card: a clause that follows "The longest has 400 tokens; "."""
        ...


def bytes_cost(text: str) -> int:
    """The cost of a text for a runtime whose time grows with the text's bytes: UTF-8 bytes plus `TEXT_COST`.

    A character outside ASCII takes several times as long as an ASCII one, roughly in proportion to its bytes.
    A lone surrogate counts as three bytes.
    """
    return TEXT_COST + (len(text) if text.isascii() else len(text.encode(errors="surrogatepass")))
