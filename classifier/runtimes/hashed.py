"""Linear models that find the weight of an n-gram by its hash value, without a vocabulary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from classifier.errors import ArtifactError
from classifier.runtimes.hashing import murmurhash3
from classifier.runtimes.linear import finite_array, norms_of
from classifier.runtimes.runtime import Scored, Terms
from classifier.text import TextSettings, Tokenizer

MAX_FEATURES = 2**24
MAX_LENGTH = 9
"""Most tokens of an n-gram."""
MOST_NEGATIVE = -(2**31)
"""The only 32-bit number without a positive counterpart."""


class Hashing(BaseModel):
    """How n-grams are hashed, as scikit-learn's HashingVectorizer does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: int = Field(ge=1, le=MAX_FEATURES)
    """How many features there are. Several n-grams may have the same one."""
    shortest: int = Field(ge=1, le=MAX_LENGTH)
    longest: int = Field(ge=1, le=MAX_LENGTH)
    """The fewest and the most tokens of an n-gram."""
    alternate_sign: bool
    """Whether an n-gram with a negative hash value counts as -1."""

    @model_validator(mode="after")
    def _lengths_ascend(self) -> "Hashing":
        if self.shortest > self.longest:
            raise ValueError(f"shortest is {self.shortest}; it must be at most longest, {self.longest}")
        return self


@dataclass(frozen=True, slots=True)
class _Ngrams:
    """The k n-grams of a text, repetitions included."""

    features: NDArray[np.int64]
    signs: NDArray[np.float64]
    firsts: NDArray[np.int64]
    """The index of the first token of each."""
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _UnhashedNgrams:
    """The k n-grams of a text as parts of its tokens, which are joined."""

    content: bytes
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """The start and the size of each n-gram in the content, in bytes."""
    firsts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """The index of the first token of each n-gram, and how many tokens it has."""


@dataclass(frozen=True, slots=True)
class HashedTexts:
    """n texts as their tokens, all of which a model with hashed n-grams knows."""

    tokens: tuple[Sequence[str], ...]
    cut: NDArray[np.bool_]
    """Which texts (n) had more than `max_tokens` tokens."""
    hashed: dict[int, _Ngrams] = field(default_factory=dict, compare=False, repr=False)
    """The n-grams of each text that was scored, so that explaining its score need not hash them again."""

    @property
    def known(self) -> NDArray[np.int64]:
        """How many tokens each text (n) has."""
        return np.fromiter(map(len, self.tokens), np.int64, len(self.tokens))

    @property
    def unknown(self) -> NDArray[np.int64]:
        """Zeros (n)."""
        return np.zeros(len(self.tokens), np.int64)


class HashedModel:
    """Scores hashed n-grams times weights.

    It has the arrays `weights` (features, columns), `intercept` (columns) and optionally `scale` (features),
    which are those of `LinearRuntime` with features in the place of nodes.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        hashing: Hashing,
        text: TextSettings,
        term_frequency: Literal["binary", "count", "log"],
        norm: Literal["l1", "l2"] | None,
        columns: int,
    ) -> None:
        """Raises ArtifactError if the arrays do not fit the number of features or columns."""
        self._hashing = hashing
        self._tokenizer = Tokenizer(text)
        self._text = text
        self._term_frequency = term_frequency
        self._norm = norm
        shapes = {
            "weights": (hashing.features, columns),
            "intercept": (columns,),
            "scale": (hashing.features,),
        }
        if missing := {"weights", "intercept"} - arrays.keys():
            raise ArtifactError(f"weights.npz lacks {', '.join(sorted(missing))}")
        read: dict[str, NDArray[np.float64]] = {}
        for name, array in arrays.items():
            if array.shape != shapes.get(name):
                raise ArtifactError(
                    f"weights.npz: {name} of shape {array.shape} does not fit {hashing.features} features "
                    f"and {columns} columns"
                )
            read[name] = finite_array(arrays, name).astype(np.float64)
        self._weights, self._intercept, self._scale = read["weights"], read["intercept"], read.get("scale")

    def encode(self, texts: Sequence[str]) -> HashedTexts:
        """Split n texts into tokens."""
        limit = self._text.max_tokens
        tokens = [self._tokenizer.tokens(text) for text in texts]
        return HashedTexts(
            tuple(of_text[:limit] for of_text in tokens),
            np.fromiter((len(of_text) > limit for of_text in tokens), np.bool_, len(tokens)),
        )

    def score(self, batch: HashedTexts) -> Scored:
        """Score n texts; with a single column, the scores of the first class are 0."""
        n, columns = len(batch.tokens), len(self._intercept)
        self._hash(batch)
        ngrams = [batch.hashed[row] for row in range(n)]
        counts = [len(one.features) for one in ngrams]
        keys = np.arange(n).repeat(counts) * self._hashing.features + _joined(
            [one.features for one in ngrams]
        )
        distinct, inverse = np.unique(keys, return_inverse=True)
        texts, features = np.divmod(distinct, self._hashing.features)
        signs = _joined([one.signs for one in ngrams])
        values = self._values(features, _sums(inverse, signs, len(distinct)))
        norms = norms_of(self._norm, texts, values, n)
        scores = np.zeros((n, max(columns, 2)))
        for column in range(columns):
            sums = np.bincount(texts, self._weights[features, column] * values, n)
            scores[:, column - columns] = sums / norms + self._intercept[column]
        return Scored(scores, np.zeros(n, bool))

    def contributions(self, text: str, batch: HashedTexts, row: int) -> Terms:
        """Return what the n-grams of each feature add to the scores of a text."""
        self._hash(batch)
        ngrams = batch.hashed[row]
        order = np.argsort(ngrams.features, kind="stable")
        features, inverse, counts = np.unique(ngrams.features, return_inverse=True, return_counts=True)
        values = self._values(features, _sums(inverse, ngrams.signs, len(features)))
        norm = norms_of(self._norm, np.zeros(len(features), np.int64), values, 1)
        columns = len(self._intercept)
        bias, products = np.zeros(max(columns, 2)), np.zeros((len(features), max(columns, 2)))
        bias[-columns:] = self._intercept
        products[:, -columns:] = self._weights[features] * values[:, None] / norm
        return Terms(
            places=self.places(text),
            bias=bias,
            values=products,
            counts=counts.astype(np.int64),
            first=ngrams.firsts[order],
            length=ngrams.lengths[order],
        )

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens; see `Runtime`."""
        return self._tokenizer.places(text)

    def describe(self) -> str:
        """Say what a token costs; see `Runtime`."""
        return f"each costs up to {self._hashing.longest} hash values"

    def _values(self, features: NDArray[np.int64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._term_frequency == "binary":
            sums = np.ones_like(sums)
        elif self._term_frequency == "log":
            sums = 1 + np.log(sums)
        return sums if self._scale is None else sums * self._scale[features]

    def _hash(self, batch: HashedTexts) -> None:
        """Hash the n-grams of all texts that are not hashed yet."""
        rows = [row for row in range(len(batch.tokens)) if row not in batch.hashed]
        found = [self._ngrams(batch.tokens[row]) for row in rows]
        sizes = np.array([len(one.content) for one in found], np.int64)
        content = np.frombuffer(b"".join(one.content for one in found), np.uint8)
        starts = _joined(
            [one.starts + begin for one, begin in zip(found, sizes.cumsum() - sizes, strict=True)]
        )
        signed = murmurhash3(content, starts, _joined([one.sizes for one in found])).astype(np.int64)
        features = np.abs(signed) % self._hashing.features
        # scikit-learn avoids the absolute value of this number, which 32 bits cannot hold.
        features[signed == MOST_NEGATIVE] = (2**31 - self._hashing.features) % self._hashing.features
        signs = np.where(signed >= 0, 1.0, -1.0) if self._hashing.alternate_sign else np.ones(len(signed))
        stop = 0
        for row, one in zip(rows, found, strict=True):
            start, stop = stop, stop + len(one.firsts)
            batch.hashed[row] = _Ngrams(features[start:stop], signs[start:stop], one.firsts, one.lengths)

    def _ngrams(self, tokens: Sequence[str]) -> "_UnhashedNgrams":
        joint = " " if self._text.units == "words" else ""
        joined = joint.join(tokens)
        content = joined.encode(errors="surrogatepass")
        sizes = map(len, tokens) if joined.isascii() else map(_utf8_size, tokens)
        ends = (np.fromiter(sizes, np.int64, len(tokens)) + len(joint)).cumsum() - len(joint)
        begins = np.concatenate([np.zeros(1, np.int64), ends + len(joint)])
        firsts, lengths = self._places(tokens)
        starts = begins[firsts]
        return _UnhashedNgrams(content, starts, ends[firsts + lengths - 1] - starts, firsts, lengths)

    def _places(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the index of the first token of each n-gram, and how many tokens it has."""
        shortest, longest = self._hashing.shortest, min(self._hashing.longest, len(tokens))
        if self._text.units != "characters_in_words":
            firsts = [np.arange(len(tokens) - length + 1) for length in range(shortest, longest + 1)]
            return _with_lengths(firsts, range(shortest, longest + 1))
        # Each word has a space on both sides. One that is too short is an n-gram itself.
        sizes = np.array([len(word) + 2 for word in "".join(tokens).split()], np.int64)
        word_of = np.arange(len(sizes)).repeat(sizes)
        word_starts = sizes.cumsum() - sizes
        firsts = [word_starts[sizes == length] for length in range(3, shortest)]
        for length in range(shortest, longest + 1):
            places = np.arange(len(tokens) - length + 1)
            firsts.append(places[word_of[places] == word_of[places + length - 1]])
        return _with_lengths(firsts, [*range(3, shortest), *range(shortest, longest + 1)])


def _utf8_size(token: str) -> int:
    return len(token.encode(errors="surrogatepass"))


def _with_lengths(
    firsts: Sequence[NDArray[np.int64]], lengths: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Join the places of n-grams of several lengths, and repeat the length for each."""
    return (
        np.concatenate([np.empty(0, np.int64), *firsts]),
        np.array(lengths, np.int64).repeat([len(places) for places in firsts]),
    )


def _sums(groups: NDArray[np.intp], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.bincount(groups, values, n).astype(np.float64, copy=False)


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
