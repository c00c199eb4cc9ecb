"""Linear models over several kinds of tokens of a text, whose scores are added."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import merge
from itertools import accumulate, islice
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from classifier.errors import ArtifactError
from classifier.runtimes.arrays import read_arrays
from classifier.runtimes.calibrators import (
    CALIBRATOR_NAMES,
    SMALLEST_PROBABILITY,
    Calibrators,
    EnsembleCalibration,
)
from classifier.runtimes.hashed import HashedModel, Hashing
from classifier.runtimes.linear import WEIGHTS, LinearRuntime, LinearSettings
from classifier.runtimes.runtime import (
    Batch,
    Runtime,
    RuntimeSettings,
    Scored,
    Terms,
    WeightedNgram,
    bytes_cost,
    column_count,
)
from classifier.text import TextSettings, Tokenizer

MAX_PARTS = 100
MAX_HASHED_LENGTHS = 18
"""Most lengths of n-grams that are hashed, in all parts together. Hashing the n-grams of characters of one
length takes about 7 ms for the longest text that the service accepts."""

ARRAY_NAMES = re.compile(
    rf"part_\d{{1,2}}_(weights|intercept|scale|(words|children)_[2-9])|{CALIBRATOR_NAMES}"
)


class Part(BaseModel):
    """One kind of tokens of a text, and how n-grams of them are weighed; see `LinearSettings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: TextSettings
    tokens: int = Field(ge=0)
    """How many entries of the vocabulary belong to it. Those of the first part come first, and so on."""
    term_frequency: Literal["binary", "count", "log"]
    norm: Literal["l1", "l2"] | None
    hashing: Hashing | None = None
    """How n-grams are hashed if there is no vocabulary of them."""

    @model_validator(mode="after")
    def _words_or_hash_values(self) -> Self:
        if self.hashing is not None and self.tokens:
            raise ValueError(f"tokens is {self.tokens}; a part with hashing has no vocabulary")
        if self.hashing is not None and (self.text.keep != "first" or self.text.unknown != "keep"):
            raise ValueError("a part with hashing keeps the first tokens, known or not")
        if self.term_frequency == "log" and self.hashing is not None and self.hashing.alternate_sign:
            raise ValueError("term_frequency is 'log', which negative counts of alternate_sign do not have")
        return self


class EnsembleSettings(RuntimeSettings):
    """Linear models whose scores are added, and perhaps the calibration of several columns of scores."""

    kind: Literal["ensemble"] = "ensemble"
    parts: tuple[Part, ...] = Field(min_length=1, max_length=MAX_PARTS)
    calibration: EnsembleCalibration | None = None
    """None: the sums are the scores."""

    @model_validator(mode="after")
    def _hashing_takes_bounded_time(self) -> Self:
        hashed = [part.hashing for part in self.parts if part.hashing is not None]
        lengths = sum(hashing.longest - hashing.shortest + 1 for hashing in hashed)
        if lengths > MAX_HASHED_LENGTHS:
            raise ValueError(
                f"the parts hash n-grams of {lengths} lengths; at most {MAX_HASHED_LENGTHS} are allowed, "
                "because hashing takes long"
            )
        return self


@dataclass(frozen=True, slots=True)
class EncodedParts:
    """n texts as the ids of each part."""

    parts: tuple[Batch, ...]

    @property
    def known(self) -> NDArray[np.int64]:
        """How many tokens of each text (n) the model knows, in all parts together."""
        counts: NDArray[np.int64] = np.stack([part.known for part in self.parts]).sum(axis=0)
        return counts

    @property
    def unknown(self) -> NDArray[np.int64]:
        """How many tokens of each text (n) the model does not know, in all parts together."""
        counts: NDArray[np.int64] = np.stack([part.unknown for part in self.parts]).sum(axis=0)
        return counts

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Which texts (n) at least one part does not read to their end."""
        return reduce(np.logical_or, [part.cut for part in self.parts])


class EnsembleRuntime(Runtime[EncodedParts]):
    """Adds the scores of linear models, each of which reads tokens of its own kind.

    So it scores a text as scikit-learn's FeatureUnion with a linear classifier does. With `calibration`, the
    sums are those of several classifiers, and the scores are the logarithms of their average probability.

    `weights.npz` has the arrays of each part as `LinearRuntime` describes them, with `part_N_` before their
    names (N = 0, 1, …), and those that `Calibrators` describes.
    """

    settings_type = EnsembleSettings
    max_bytes = LinearRuntime.max_bytes
    lock_file = LinearRuntime.lock_file
    gpu_lock_file = None
    releases_gil = False
    device = "cpu"
    golden_tolerance = LinearRuntime.golden_tolerance
    cost = staticmethod(bytes_cost)

    @classmethod
    def check(cls, settings: EnsembleSettings, labels: Sequence[str], text: TextSettings) -> None:
        """Raise ValueError unless the first part reads the text as the manifest says; see `Runtime`."""
        if settings.parts[0].text != text:
            raise ValueError("model.parts[0].text is not the text of the manifest")

    @classmethod
    def load(
        cls,
        settings: EnsembleSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
        threads: int = 0,
    ) -> Self:
        """Make a runtime from the parts of an artifact; see `Runtime`."""
        arrays = _unpack(weights)
        calibration = settings.calibration
        if calibration is None:
            columns = column_count(classes, arrays.get(array_prefix(0) + "weights"))
        else:
            columns = column_count(classes) * calibration.members
        parts = [
            _model_of(part, _of_part(arrays, number), words, columns)
            for number, (part, words) in enumerate(_with_words(settings, vocabulary))
        ]
        calibrators = Calibrators.of(calibration, arrays, classes) if calibration else None
        return cls(parts, columns, calibrators)

    @classmethod
    def strongest(
        cls,
        settings: EnsembleSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        targets: NDArray[np.float64],
        count: int,
        for_short_texts: bool = False,
    ) -> list[list[WeightedNgram]] | None:
        """Return the strongest n-grams of each score, of all parts; see `Runtime`.

        None with `calibration`, because the score is then no sum over n-grams. Hashed n-grams are not known.
        """
        if settings.calibration is not None or for_short_texts:
            return None
        arrays = _unpack(weights)
        of_parts = [
            LinearRuntime.strongest_of(_of_part(arrays, number), words, part.text, targets, count)
            for number, (part, words) in enumerate(_with_words(settings, vocabulary))
            if part.hashing is None
        ]
        if not of_parts:
            return None
        return [
            list(islice(merge(*found, key=lambda ngram: -ngram[1]), count))
            for found in zip(*of_parts, strict=True)
        ]

    def __init__(
        self, parts: Sequence[LinearRuntime | HashedModel], columns: int, calibrators: Calibrators | None
    ) -> None:
        """Each part must have this many columns of scores."""
        self._parts: tuple[Any, ...] = tuple(parts)
        self._columns = columns
        self._calibrators = calibrators

    def encode(self, texts: Sequence[str]) -> EncodedParts:
        """Turn n texts into the ids of each part; see `Runtime`."""
        return EncodedParts(tuple(part.encode(texts) for part in self._parts))

    def score(self, batch: EncodedParts) -> Scored:
        """Score n texts; see `Runtime`."""
        scored = [part.score(of_part) for part, of_part in zip(self._parts, batch.parts, strict=True)]
        scores = np.sum([one.scores for one in scored], axis=0)
        if self._calibrators is not None:
            probabilities = self._calibrators.probabilities(scores[:, -self._columns :])
            scores = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
        return Scored(scores, np.zeros(len(scores), bool))

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens of the first part, then those of the second, and so on."""
        return np.concatenate([part.places(text) for part in self._parts])

    def contributions(self, text: str, batch: EncodedParts, row: int) -> Terms | None:
        """Return what each n-gram of each part adds to the scores; None with `calibration`; see `Runtime`."""
        if self._calibrators is not None:
            return None
        terms = [
            part.contributions(text, of_part, row)
            for part, of_part in zip(self._parts, batch.parts, strict=True)
        ]
        firsts = accumulate([0, *(len(one.places) for one in terms[:-1])])
        return Terms(
            places=np.concatenate([one.places for one in terms]),
            bias=np.sum([one.bias for one in terms], axis=0),
            values=np.concatenate([one.values for one in terms]),
            counts=np.concatenate([one.counts for one in terms]),
            first=np.concatenate([one.first + first for one, first in zip(terms, firsts, strict=True)]),
            length=np.concatenate([one.length for one in terms]),
        )

    def describe(self) -> str:
        """Say what a token of each part costs; see `Runtime`."""
        return "; ".join(part.describe() for part in self._parts)


def _model_of(
    part: Part, arrays: Mapping[str, NDArray[np.generic]], words: Sequence[str | None], columns: int
) -> Any:
    if part.hashing is not None:
        return HashedModel(arrays, part.hashing, part.text, part.term_frequency, part.norm, columns)
    settings = LinearSettings(term_frequency=part.term_frequency, norm=part.norm)
    return LinearRuntime(arrays, settings, Tokenizer(part.text, words), columns)


def _unpack(weights: Mapping[str, bytes]) -> dict[str, NDArray[np.generic]]:
    return read_arrays(WEIGHTS, weights[WEIGHTS], ARRAY_NAMES)


def _of_part(arrays: Mapping[str, NDArray[np.generic]], number: int) -> dict[str, NDArray[np.generic]]:
    prefix = array_prefix(number)
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def array_prefix(number: int) -> str:
    """Return what the names of the arrays of a part begin with; the first part has the number 0."""
    return f"part_{number}_"


def _with_words(
    settings: EnsembleSettings, vocabulary: Sequence[str | None]
) -> Iterator[tuple[Part, Sequence[str | None]]]:
    """Yield each part with its words; raises ArtifactError if the vocabulary has more or fewer of them."""
    total = sum(part.tokens for part in settings.parts)
    if total != len(vocabulary):
        raise ArtifactError(
            f"vocabulary.json has {len(vocabulary)} entries; the parts of the model have {total} together"
        )
    start = 0
    for part in settings.parts:
        yield part, vocabulary[start : start + part.tokens]
        start += part.tokens
