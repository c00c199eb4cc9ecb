"""What every kind of model provides: texts in, class scores out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from classifier.text import TextSettings

Scores = NDArray[np.float64]
"""Class scores of n texts, shape (n, classes): what a softmax turns into probabilities."""

GOLDEN_TOLERANCE = 1e-4
"""How far a probability may be from its golden case. Processors differ in the last digits of a network."""

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


@dataclass(frozen=True, slots=True)
class Scored:
    """What a runtime finds in n texts."""

    scores: Scores
    is_doubtful: NDArray[np.bool_]
    """Which texts (n) tell the model too little. Their scores have been scaled down."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The scores of a text as a sum of m terms, each of which belongs to an n-gram of its tokens.

    The scores are `bias` plus the sum of `values` over the terms. The n-grams occur k times in all, and the
    occurrences of one n-gram are neighbours, in the order of the text.
    """

    places: NDArray[np.int64]
    """The places of the tokens (n, 2); see `Runtime.places`."""
    bias: NDArray[np.float64]
    """The part of the scores that comes from no token (classes). It can depend on the length of the text."""
    values: NDArray[np.float64]
    """What each term adds to the scores, shape (m, classes)."""
    counts: NDArray[np.int64]
    """How often the n-gram of each term occurs (m); the sum is k."""
    first: NDArray[np.int64]
    """The index of the first token of each occurrence (k)."""
    length: NDArray[np.int64]
    """How many tokens each occurrence has (k)."""


WeightedNgram = tuple[str, float]
"""The tokens of an n-gram with spaces between them, and what one occurrence of it adds to a score."""

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
    golden_tolerance: float
    """How far a probability may be from its golden case."""

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
        threads: int = 0,
    ) -> Self:
        """Make a runtime from the parts of an artifact; `weights` has the content of each weight file.

        A run of the model uses `threads` threads, if the kind of model can use several; 0 lets it choose.

        Raises ArtifactError, which names the file and what is wrong with it.
        """
        ...

    @classmethod
    def strongest(
        cls,
        settings: Any,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        targets: NDArray[np.float64],
        count: int,
        for_short_texts: bool = False,
    ) -> list[list[WeightedNgram]] | None:
        """Return the `count` n-grams that raise each of k scores most, strongest first.

        `targets` has the weight of each class in each of the scores, shape (k, classes). N-grams with stop
        words are left out, because texts lose these. `load` must accept the parts of the artifact. None if
        the model has no weights of n-grams, or none of its own for short texts.
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

    def score(self, batch: AnyBatch) -> Scored:
        """Score n texts."""
        ...

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens that the model reads, in their order, shape (n, 2).

        A place is a start and an end in the text, in characters, before it is cleaned.
        """
        ...

    def contributions(self, text: str, batch: AnyBatch, row: int) -> Terms | None:
        """Return the scores of a text as a sum over n-grams of its tokens.

        It is the text with the index `row` in `batch`. If this was scored, nothing is looked up again.
        None if the scores are not such a sum, which is so for every text or for none.
        """
        ...

    def describe(self) -> str:
        """Say what a text costs, for the model card: a clause that follows "The longest has 400 tokens; "."""
        ...


def column_count(classes: int, weights: NDArray[np.generic] | None = None) -> int:
    """Return how many columns the weights of a linear model, shape (n, columns), must have.

    It is one for each class. With two classes it can also be a single one, of the second class against the
    first, unless a text can have both.
    """
    has_both = weights is not None and weights.ndim == 2 and weights.shape[1] == 2
    return 1 if classes == 2 and not has_both else classes


def bytes_cost(text: str) -> int:
    """The cost of a text for a runtime whose time grows with the text's bytes: UTF-8 bytes plus `TEXT_COST`.

    A character outside ASCII takes several times as long as an ASCII one, roughly in proportion to its bytes.
    A lone surrogate counts as three bytes.
    """
    return TEXT_COST + (len(text) if text.isascii() else len(text.encode(errors="surrogatepass")))
