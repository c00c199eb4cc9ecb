"""An explanation: the parts of a text that spoke for a label or against it."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

import numpy as np
from numpy.typing import NDArray

from classifier.pipeline import Prediction

Place = tuple[int, int]
"""The start and the end of a part of a text, in characters (Unicode code points) of the client's own text."""


class Method(StrEnum):
    """How contributions are found."""

    EXACT = "exact"
    """The model's score is a sum, and each contribution is one of its terms."""
    OCCLUSION = "occlusion"
    """A contribution is how much the score falls if the part is left out of the text."""


class Unit(StrEnum):
    """The parts of a text that have contributions."""

    NGRAM = "n-gram"
    WORD = "word"
    SENTENCE = "sentence"


class Comparison(StrEnum):
    """What the score of a label is against."""

    OTHER_LABEL = "the other label"
    MEAN = "the mean of the other labels"
    REST = "all other labels together"
    ABSENCE = "a text without this label"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one part of a text adds to the score of the explained label."""

    text: str
    """The part as the client wrote it, where it occurs first."""
    places: tuple[Place, ...]
    """All places where it occurs, in order. They can overlap those of other parts."""
    value: float
    """What all its occurrences add together. Above zero it speaks for the label, below zero against it."""


class Contributions(Sequence[Contribution]):
    """The m contributions of a text, those with the largest absolute value first.

    Each is made when it is read, because a text can have thousands, of which most answers show ten.
    """

    def __init__(
        self,
        text: str,
        values: NDArray[np.float64],
        places: NDArray[np.int64],
        bounds: NDArray[np.int64],
    ) -> None:
        """`values` (m) are unordered.

        Contribution i has those of the k places (k, 2) from `bounds[i, 0]` to before `bounds[i, 1]`. `bounds`
        is (m, 2).
        """
        self._text = text
        self._values = values
        self._places = places
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._values)

    def largest(self, count: int) -> tuple[list[Contribution], float]:
        """Return the `count` contributions that come first, and the sum of the values of all others."""
        ranked = self._ranked(count)
        others = self._values.copy()
        others[ranked] = 0
        return self._made(ranked), float(others.sum())

    @functools.cached_property
    def _all_ranked(self) -> NDArray[np.intp]:
        return np.argsort(-np.abs(self._values), kind="stable")

    def _ranked(self, count: int) -> NDArray[np.intp]:
        """Return the first `count` indices of `_all_ranked`, without sorting all."""
        if count >= len(self):
            return self._all_ranked
        sizes = np.abs(self._values)
        smallest = np.partition(sizes, -count)[-count]
        large = (sizes >= smallest).nonzero()[0]  # More than `count` if some are equal.
        ranked: NDArray[np.intp] = large[np.argsort(-sizes[large], kind="stable")][:count]
        return ranked

    def _made(self, numbers: NDArray[np.intp]) -> list[Contribution]:
        bounds, values = self._bounds[numbers].tolist(), self._values[numbers].tolist()
        return list(itertools.starmap(self._one, zip(bounds, values, strict=True)))

    @overload
    def __getitem__(self, index: int) -> Contribution: ...

    @overload
    def __getitem__(self, index: slice) -> "list[Contribution]": ...

    def __getitem__(self, index: int | slice) -> "Contribution | list[Contribution]":
        if isinstance(index, slice):
            return self._made(self._all_ranked[index])
        number = self._all_ranked[index]
        return self._one(self._bounds[number].tolist(), float(self._values[number]))

    def _one(self, bounds: Sequence[int], value: float) -> Contribution:
        places = tuple([(start, end) for start, end in self._places[slice(*bounds)].tolist()])
        start, end = places[0]
        return Contribution(self._text[start:end], places, value)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text with its share of the contributions, for a picture of the text."""

    place: Place
    share: float
    """The contribution of each n-gram or sentence, divided equally among its words."""


@dataclass(frozen=True, slots=True, eq=False)
class Words(Sequence[Word]):
    """The n words of a text, in its order. Each is made when it is read."""

    places: NDArray[np.int64]
    """The start and the end of each word (n, 2)."""
    shares: NDArray[np.float64]
    """The share of each word (n)."""

    def __len__(self) -> int:
        return len(self.shares)

    @overload
    def __getitem__(self, index: int) -> Word: ...

    @overload
    def __getitem__(self, index: slice) -> list[Word]: ...

    def __getitem__(self, index: int | slice) -> Word | list[Word]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start, end = self.places[index].tolist()
        return Word((start, end), float(self.shares[index]))


@dataclass(frozen=True, slots=True)
class Remainder:
    """The contributions that are not shown one by one."""

    count: int
    value: float


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How well an explanation by occlusion describes the model (DeYoung et al., ACL 2020, "ERASER").

    Both are means over texts without, or with only, the most important 5, 10, 20 and 50 % of the parts.
    """

    comprehensiveness: float
    """How much the label's probability falls without these parts. High is good."""
    sufficiency: float
    """How much the label's probability falls with only these parts. Low is good."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text has its score for one label.

    `bias` plus the values of all contributions plus `interaction` is `score`.
    """

    prediction: Prediction
    label: str
    """The label that is explained. It need not be the predicted one."""
    method: Method
    unit: Unit
    compared_with: Comparison
    score: float
    """The log-odds before calibration, of the label against the mean of the other labels. For a model whose
    labels are scored one against the rest, it is the label's own log-odds."""
    bias: float
    """The part of the score that comes from no word. For a model with weights of its own for short texts it
    depends on the length of the text; 0 if the method cannot tell."""
    interaction: float
    """What occlusion cannot attribute to single parts; 0 for an exact explanation."""
    contributions: Contributions
    """All contributions, those with the largest absolute value first."""
    words: Words
    """All words that the model read, in the order of the text, those without a share included."""
    calibration_scale: float
    calibration_bias: float
    """For two labels, the probability is 1 / (1 + exp(-(calibration_scale * score + calibration_bias)))."""
    faithfulness: Faithfulness | None = None
    """None for an exact explanation."""

    def top(self, count: int) -> tuple[Sequence[Contribution], Remainder]:
        """The `count` largest contributions, and the sum of the others."""
        shown, rest = self.contributions.largest(count)
        return shown, Remainder(len(self.contributions) - len(shown), rest)
