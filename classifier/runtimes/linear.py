"""Linear models over word n-grams."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from classifier.errors import ArtifactError
from classifier.runtimes.arrays import read_arrays
from classifier.runtimes.ngram_table import NgramTable
from classifier.runtimes.runtime import (
    GOLDEN_TOLERANCE,
    Runtime,
    RuntimeSettings,
    Scored,
    Terms,
    WeightedNgram,
    bytes_cost,
    column_count,
)
from classifier.text import Encoded, TextSettings, Tokenizer

WEIGHTS = "weights.npz"
ARRAY_NAMES = re.compile(r"(short_)?(weights|intercept)|scale|(words|children)_[2-9]")
MAX_NGRAMS = 2**24
"""Most n-grams of two tokens or more. Hashing so many takes some seconds and 1.5 GB."""
FAMILIAR_NGRAMS = 0.5
"""Longer n-grams for each known word from which on a text is familiar. In 95 % of the sentences of film
critics, half of all neighbouring words are known as pairs."""
SPACE = "\u2423"
"""What stands for a space in a list of n-grams of characters."""
MIN_SHORT_SHARE = 0.02
"""A text with a smaller share of the weights for short texts is scored without them, which is faster."""


class LinearSettings(RuntimeSettings):
    """How a linear model weighs n-grams; the names are those of scikit-learn's text features."""

    kind: Literal["linear"] = "linear"
    term_frequency: Literal["binary", "count", "log"]
    """The value of an n-gram that occurs c times in a text: 1, c, or 1 + ln c."""
    norm: Literal["l1", "l2"] | None
    """The norm of a text's features, by which they are divided."""
    short_ngrams: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """For a model with weights of its own for short texts: their share is exp(-n / short_ngrams) for a text
    with n distinct known n-grams. Shares below `MIN_SHORT_SHARE` are 0."""
    min_evidence: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """For the same models: evidence is the sum of the absolute values of what the n-grams of a text add to
    the score, times `familiarity`. The scores of a short text with less are scaled down in proportion."""

    @model_validator(mode="after")
    def _evidence_of_short_texts(self) -> Self:
        if self.min_evidence is not None and self.short_ngrams is None:
            raise ValueError(f"min_evidence is {self.min_evidence}; it is only for a model with short_ngrams")
        return self


def pack_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    """Return the weight file with these arrays, by its name. The same arrays give the same bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return {WEIGHTS: content.getvalue()}


def unpack_arrays(weights: Mapping[str, bytes]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays in the weight file, by their names; raises ArtifactError, which names the file."""
    return read_arrays(WEIGHTS, weights[WEIGHTS], ARRAY_NAMES)


def short_shares(counts: NDArray[np.integer], short_ngrams: float) -> NDArray[np.float64]:
    """Return the share of the weights for short texts in the score of each of n texts.

    `counts` (n) is how many distinct known n-grams each text has; see `LinearSettings.short_ngrams`.
    """
    shares: NDArray[np.float64] = np.exp(-counts / short_ngrams)
    shares[shares < MIN_SHORT_SHARE] = 0
    return shares


def familiarity(words: NDArray[Any], longer: NDArray[Any]) -> NDArray[np.float64]:
    """Return how familiar each of n texts is, from 0 to 1.

    `words` (n) is how many distinct known words a text has, and `longer` (n) how many known n-grams of two
    tokens or more. In another language some words are known by chance, but hardly two neighbours.
    """
    familiar: NDArray[np.float64] = np.minimum((longer + 1) / np.maximum(FAMILIAR_NGRAMS * words, 1), 1)
    return familiar


def _counts(arrays: Mapping[str, NDArray[np.generic]], name: str, max_count: int) -> NDArray[np.int64] | None:
    """Return a flat array of whole numbers from 0 up; None if one is above `max_count`."""
    array = arrays.get(name)
    if array is None or array.ndim != 1 or not np.issubdtype(array.dtype, np.unsignedinteger):
        raise ArtifactError(f"weights.npz: {name} must be a flat array of unsigned integers")
    counts: NDArray[np.unsignedinteger[Any]] = array  # type: ignore[assignment]
    return None if (counts > max_count).any() else counts.astype(np.int64)


def finite_array(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """Return an array of numbers; raises ArtifactError if one is not finite."""
    array = arrays[name]
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise ArtifactError(f"weights.npz: {name} must be numbers")
    strange = array[~np.isfinite(array)]
    if strange.size:
        raise ArtifactError(f"weights.npz: {name} holds {strange.flat[0]}, which is not a finite number")
    return array


def norms_of(
    norm: Literal["l1", "l2"] | None, texts: NDArray[np.int64], values: NDArray[np.float64] | None, n: int
) -> NDArray[np.float64]:
    """Return the norm of the features of each of n texts, 1 for a text without any.

    Each of the k features has a text and a value, which is not used without a norm.
    """
    if norm is None or values is None:
        return np.ones(n)
    powers = np.abs(values) if norm == "l1" else values * values
    norms: NDArray[np.float64] = np.bincount(texts, powers, n).astype(np.float64, copy=False)
    norms[norms == 0] = 1
    return np.sqrt(norms) if norm == "l2" else norms


@dataclass(frozen=True, slots=True)
class _Weights:
    """The weight of each n-gram in each column of the scores."""

    values: NDArray[Any]
    """Shape (nodes, columns)."""
    intercept: NDArray[np.float64]
    """Shape (columns)."""

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str, nodes: int, columns: int) -> Self:
        """Take the two arrays with this prefix; raises ArtifactError if they do not fit."""
        values, intercept = (
            finite_array(arrays, prefix + "weights"),
            finite_array(arrays, prefix + "intercept"),
        )
        if values.shape != (nodes, columns) or intercept.shape != (columns,):
            raise ArtifactError(
                f"weights.npz: {prefix}weights of shape {values.shape} and {prefix}intercept of shape "
                f"{intercept.shape} do not fit {nodes} n-grams and {max(columns, 2)} classes"
            )
        # Weights may be stored in half precision. Computing with that would convert them for every text.
        dtype = np.float32 if values.dtype == np.float16 else np.float64
        return cls(values.astype(dtype), intercept.astype(np.float64))

    def score(
        self,
        texts: NDArray[np.int64],
        nodes: NDArray[np.int64],
        values: NDArray[np.float64] | None,
        norms: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the columns of the scores of n texts, shape (n, columns).

        The k features have a text, a node and a value each, which is 1 if `values` is None; `norms` (n) are
        those of the texts.
        """
        scores = np.empty((len(norms), len(self.intercept)))
        for column, intercept in enumerate(self.intercept):
            weights = self.values[nodes, column]
            sums = np.bincount(texts, weights if values is None else weights * values, len(norms))
            scores[:, column] = sums / norms + intercept
        return scores


def _firsts(ordered: NDArray[Any]) -> NDArray[np.intp]:
    """Return the index of the first of each distinct value; equal values must be neighbours."""
    is_first = np.empty(len(ordered), bool)
    is_first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return is_first.nonzero()[0]


def _sums(texts: NDArray[np.int64], terms: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the sum of the terms (k, columns) of each of n texts, shape (n, columns)."""
    return np.stack([np.bincount(texts, column, n) for column in terms.T], axis=1)


@dataclass(frozen=True, slots=True)
class _ShortTexts:
    """What k features add to the scores of n short texts."""

    texts: NDArray[np.int64]
    """The text of each feature (k)."""
    terms: NDArray[np.float64]
    """Shape (k, columns)."""
    bias: NDArray[np.float64]
    """Shape (n, columns)."""
    is_doubtful: NDArray[np.bool_]
    """Which texts (n) have less evidence than `LinearSettings.min_evidence`."""

    def sums(self) -> NDArray[np.float64]:
        """Return the sums of the terms, shape (n, columns)."""
        return _sums(self.texts, self.terms, len(self.bias))


@dataclass(frozen=True, slots=True)
class _Occurrences:
    """The known n-grams in the ids of a batch; the arrays of length n have those of n tokens."""

    starts: Sequence[NDArray[np.int64]]
    """The index of the first token of each, ascending."""
    nodes: Sequence[NDArray[np.int64]]

    def within(self, begin: int, end: int) -> Self:
        """Return those that start from `begin` to before `end`, as indices from `begin` on."""
        cuts = [slice(*starts.searchsorted((begin, end)).tolist()) for starts in self.starts]
        return type(self)(
            [starts[cut] - begin for starts, cut in zip(self.starts, cuts, strict=True)],
            [nodes[cut] for nodes, cut in zip(self.nodes, cuts, strict=True)],
        )


class LinearRuntime(Runtime[Encoded]):
    """Scores word n-grams times weights, with array arithmetic over the whole batch.

    `weights.npz` has these arrays, in which nodes are numbered through all levels of the tree of n-grams:
    `words_N` (nodes of level N = 2, 3, …), the id of the last token; `children_N` (nodes of the level above),
    how many nodes of level N each has, in this order; `weights` (nodes, classes; or 1, for the second of two
    classes); `intercept` (the same); optionally `scale` (nodes), a factor such as the inverse document
    frequency, which is 0 for a node that is not a feature; and, if the settings have `short_ngrams`,
    `short_weights` and `short_intercept` of the same shapes for short texts.
    """

    settings_type = LinearSettings
    max_bytes = MappingProxyType({WEIGHTS: 512 * 2**20})
    lock_file = "requirements/serve.txt"
    gpu_lock_file = None
    releases_gil = False
    """A batch is many small array operations, which hold the interpreter's lock."""
    device = "cpu"
    golden_tolerance = GOLDEN_TOLERANCE
    cost = staticmethod(bytes_cost)

    @classmethod
    def check(cls, settings: LinearSettings, labels: Sequence[str], text: TextSettings) -> None:
        """Accept every combination; see `Runtime`."""

    @classmethod
    def load(
        cls,
        settings: LinearSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
        threads: int = 0,
    ) -> Self:
        """Make a runtime from the parts of an artifact; see `Runtime`."""
        arrays = unpack_arrays(weights)
        columns = column_count(classes, arrays.get("weights"))
        return cls(arrays, settings, Tokenizer(text, vocabulary), columns)

    @classmethod
    def strongest(
        cls,
        settings: LinearSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        targets: NDArray[np.float64],
        count: int,
        for_short_texts: bool = False,
    ) -> list[list[WeightedNgram]] | None:
        """Return the strongest n-grams of each score; see `Runtime`.

        A value is that of an n-gram which occurs once, before the text's features are divided by their norm.
        """
        if for_short_texts and settings.short_ngrams is None:
            return None
        prefix: Literal["", "short_"] = "short_" if for_short_texts else ""
        return cls.strongest_of(unpack_arrays(weights), vocabulary, text, targets, count, prefix)

    @classmethod
    def strongest_of(
        cls,
        arrays: Mapping[str, NDArray[np.generic]],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        targets: NDArray[np.float64],
        count: int,
        prefix: Literal["", "short_"] = "",
    ) -> list[list[WeightedNgram]]:
        """Return the strongest n-grams by the weights with this prefix; see `strongest`."""
        values = np.asarray(arrays[prefix + "weights"], np.float64)
        if values.shape[1] == 1:
            values = np.hstack([np.zeros_like(values), values])
        if "scale" in arrays:
            values *= np.asarray(arrays["scale"], np.float64)[:, None]
        tree = _Tree(arrays, vocabulary, text)
        return [list(islice(tree.ranked(values @ target), count)) for target in targets]

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        settings: LinearSettings,
        tokenizer: Tokenizer,
        columns: int,
    ) -> None:
        """Make a runtime for scores with this many columns; a single one is the second of two classes.

        Raises ArtifactError if the arrays do not fit each other, the vocabulary or the columns.
        """
        of_short = {"short_weights", "short_intercept"}
        missing = {"weights", "intercept", *(of_short if settings.short_ngrams else ())} - arrays.keys()
        if missing:
            raise ArtifactError(f"weights.npz lacks {', '.join(sorted(missing))}")
        if settings.short_ngrams is None and (unused := of_short & arrays.keys()):
            raise ArtifactError(
                f"weights.npz has {', '.join(sorted(unused))}, but model.short_ngrams is not set"
            )
        self._settings = settings
        self._tokenizer = tokenizer
        self._id_count = id_count = tokenizer.id_count
        self._vocabulary_size = vocabulary_size = tokenizer.unknown_id
        self._depth = 1 + sum(name.startswith("words_") for name in arrays)
        keys: list[NDArray[np.int64]] = []
        first, size = 0, vocabulary_size
        for level in range(2, self._depth + 1):
            words = _counts(arrays, f"words_{level}", vocabulary_size - 1)
            children = _counts(arrays, f"children_{level}", vocabulary_size)
            if words is None or children is None or len(children) != size or children.sum() != len(words):
                raise ArtifactError(
                    f"weights.npz: words_{level} and children_{level} do not fit the level above"
                )
            parents = np.arange(size).repeat(children)
            level_keys = (parents + first) * id_count + words
            in_order = np.sort(level_keys)
            if (in_order[1:] == in_order[:-1]).any():
                raise ArtifactError(f"weights.npz: words_{level} holds an n-gram twice")
            keys.append(level_keys)
            first, size = first + size, len(words)
        if first + size - vocabulary_size > MAX_NGRAMS:
            raise ArtifactError(
                f"weights.npz has {first + size - vocabulary_size} n-grams of two tokens or more; "
                f"at most {MAX_NGRAMS} are allowed"
            )
        self._nodes = first + size
        self._table = NgramTable(np.concatenate([np.empty(0, np.int64), *keys]), vocabulary_size)
        self._columns = columns
        self._weights = _Weights.of(arrays, "", self._nodes, columns)
        self._short_weights = (
            _Weights.of(arrays, "short_", self._nodes, columns) if settings.short_ngrams else None
        )
        self._scale = finite_array(arrays, "scale").astype(np.float64) if "scale" in arrays else None
        if self._scale is not None and self._scale.shape != (self._nodes,):
            raise ArtifactError(
                f"weights.npz: scale of shape {self._scale.shape} does not fit {self._nodes} n-grams"
            )

    def _occurrences(self, batch: Encoded) -> _Occurrences:
        """Return the known n-grams of a batch, which are looked up once."""
        found: _Occurrences | None = batch.looked_up.get(self)
        if found is None:
            found = batch.looked_up[self] = self._look_up(batch.ids)
        return found

    def _look_up(self, ids: NDArray[np.int64]) -> _Occurrences:
        starts = (ids < self._vocabulary_size).nonzero()[0]
        nodes = ids[starts]
        all_starts, all_nodes = [starts], [nodes]
        for level in range(2, self._depth + 1):
            # Each text ends in a separator, which no n-gram has, so no n-gram spans two texts.
            hits, nodes = self._table.find(nodes * self._id_count + ids[starts + (level - 1)])
            starts = starts[hits]
            all_starts.append(starts)
            all_nodes.append(nodes)
        return _Occurrences(all_starts, all_nodes)

    def _features(self, batch: Encoded) -> NDArray[Any]:
        """Return `text * nodes + node` of every known n-gram, ascending, repetitions included."""
        n = len(batch.ends)
        # int32 sorts twice as fast, and is too small only for thousands of texts.
        index: np.dtype[Any] = np.dtype(np.int32 if n * self._nodes < 2**31 else np.int64)
        offsets = (np.arange(n) * self._nodes).astype(index)
        lengths = batch.ends.copy()
        lengths[1:] -= batch.ends[:-1]
        lengths[:1] += 1
        occurrences = self._occurrences(batch)
        found: NDArray[Any] = offsets.repeat(lengths)[np.concatenate(occurrences.starts)]
        found += np.concatenate(occurrences.nodes).astype(index)
        found.sort()
        return found

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Turn n texts into ids; see `Runtime`."""
        return self._tokenizer.encode(texts)

    def score(self, batch: Encoded) -> Scored:
        """Score n texts; see `Runtime`."""
        n = len(batch.ends)
        features = self._features(batch)
        firsts = _firsts(features)
        distinct = features[firsts]
        bounds = distinct.searchsorted(np.arange(n + 1) * self._nodes)
        counts = bounds[1:] - bounds[:-1]
        texts = np.arange(n).repeat(counts)
        nodes = distinct - texts * self._nodes

        values = self._values(nodes, firsts, len(features))
        norms = self._norms(texts, values, counts)
        scores = np.zeros((n, max(self._columns, 2)))  # A single column is the second class's.
        own = scores[:, -self._columns :]
        own += self._weights.score(texts, nodes, values, norms)
        is_doubtful = np.zeros(n, bool)
        shares = self._short_shares(counts)
        if shares.any():
            is_short = shares[texts] > 0
            of_short = None if values is None else values[is_short]
            short = self._short_texts(texts[is_short], nodes[is_short], of_short, norms, shares)
            own[shares > 0] = (short.sums() + short.bias)[shares > 0]
            is_doubtful = (shares > 0) & short.is_doubtful
        return Scored(scores, is_doubtful)

    def _short_shares(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the weights for short texts in the score of each of n texts.

        `counts` (n) is how many distinct n-grams each text has.
        """
        if self._settings.short_ngrams is None:
            return np.zeros(len(counts))
        return short_shares(counts, self._settings.short_ngrams)

    def _short_texts(
        self,
        texts: NDArray[np.int64],
        nodes: NDArray[np.int64],
        values: NDArray[np.float64] | None,
        norms: NDArray[np.float64],
        shares: NDArray[np.float64],
    ) -> "_ShortTexts":
        """Return what k features add to the scores of n short texts, which both kinds of weights make.

        Each feature has a text, a node and a value, which is 1 if `values` is None. `norms` and `shares` (n)
        are those of the texts. The scores of a text with little evidence are scaled down in proportion.
        """
        if self._short_weights is None:
            raise ValueError("the model has no weights for short texts")
        terms = self._weights.values[nodes].astype(np.float64)
        terms += shares[texts, None] * (self._short_weights.values[nodes] - terms)
        if values is not None:
            terms *= values[:, None]
        terms /= norms[texts, None]
        intercept = self._weights.intercept
        bias = intercept + shares[:, None] * (self._short_weights.intercept - intercept)
        if self._settings.min_evidence is None:
            return _ShortTexts(texts, terms, bias, np.zeros(len(norms), bool))
        words = np.bincount(texts, nodes < self._vocabulary_size, len(norms))
        longer = np.bincount(texts, nodes >= self._vocabulary_size, len(norms))
        evidence = _sums(texts, np.abs(terms), len(norms)).max(axis=1) * familiarity(words, longer)
        is_doubtful = evidence < self._settings.min_evidence
        factor = np.where(is_doubtful, evidence / self._settings.min_evidence, 1.0)
        return _ShortTexts(texts, terms * factor[texts, None], bias * factor[:, None], is_doubtful)

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens; see `Runtime`."""
        return self._tokenizer.places(text)

    def contributions(self, text: str, batch: Encoded, row: int) -> Terms:
        """Return what each n-gram of a text adds to its scores; see `Runtime`."""
        occurrences = self._occurrences(batch).within(*batch.bounds(row))
        by_length = occurrences.starts
        # Sorting numbers that hold both node and place takes half the time of a stable `argsort`.
        numbers = (np.concatenate(occurrences.nodes) << 32) + np.arange(sum(map(len, by_length)))
        numbers.sort()
        found, order = numbers >> 32, numbers & 0xFFFFFFFF
        firsts = _firsts(found)
        nodes = found[firsts]
        values = self._values(nodes, firsts, len(found))
        norm = self._norms(np.zeros(len(nodes), np.int64), values, np.array([len(nodes)]))
        columns = self._columns
        bias = np.zeros(max(columns, 2))
        products = np.zeros((len(nodes), len(bias)))
        shares = self._short_shares(np.array([len(nodes)]))
        if shares.any():
            short = self._short_texts(np.zeros(len(nodes), np.int64), nodes, values, norm, shares)
            bias[-columns:], products[:, -columns:] = short.bias[0], short.terms
        else:
            bias[-columns:], products[:, -columns:] = self._weights.intercept, self._weights.values[nodes]
            if values is not None:
                products *= values[:, None]
            products /= norm
        counts = np.empty_like(firsts)
        np.subtract(firsts[1:], firsts[:-1], out=counts[:-1])
        counts[-1:] = len(found) - firsts[-1:]
        return Terms(
            places=self.places(text),
            bias=bias,
            values=products,
            counts=counts,
            first=np.concatenate(by_length)[order],
            length=np.arange(1, self._depth + 1).repeat(list(map(len, by_length)))[order],
        )

    def _values(
        self, nodes: NDArray[np.int64], firsts: NDArray[np.int64], total: int
    ) -> NDArray[np.float64] | None:
        """Return the value of each distinct feature of each text; None if all are 1."""
        if self._settings.term_frequency == "binary":
            return None if self._scale is None else self._scale[nodes]
        values = np.diff(firsts, append=total).astype(np.float64)
        if self._settings.term_frequency == "log":
            values = 1 + np.log(values)
        return values if self._scale is None else values * self._scale[nodes]

    def _norms(
        self, texts: NDArray[np.int64], values: NDArray[np.float64] | None, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the norm of each text's features (n), 1 for a text without any.

        `counts` (n) is how many features each text has.
        """
        if values is not None or self._settings.norm is None:
            return norms_of(self._settings.norm, texts, values, len(counts))
        norms = np.maximum(counts, 1).astype(np.float64)
        return np.sqrt(norms) if self._settings.norm == "l2" else norms

    def describe(self) -> str:
        """Say how many look-ups a token takes; see `Runtime`."""
        return (
            f"each costs one look-up in {self._vocabulary_size:,} words and up to {self._depth - 1} in "
            f"{self._nodes - self._vocabulary_size:,} longer n-grams"
        )


class _Tree:
    """The n-grams of a linear model by their nodes; `LinearRuntime` describes the arrays."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        vocabulary: Sequence[str | None],
        text: TextSettings,
    ) -> None:
        self._vocabulary = vocabulary
        self._stopwords = frozenset(text.stopwords)
        self._are_words = text.units == "words"
        self._levels: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        first, size = 0, len(vocabulary)
        for level in range(2, 2 + sum(name.startswith("words_") for name in arrays)):
            children = np.asarray(arrays[f"children_{level}"], np.int64)
            parents = first + np.arange(size).repeat(children)
            first, size = first + size, len(parents)
            self._levels.append((first, parents, np.asarray(arrays[f"words_{level}"], np.int64)))

    def ranked(self, values: NDArray[np.float64]) -> Iterator[WeightedNgram]:
        """Yield the n-grams whose value is above 0, the largest first, without those with stop words.

        In n-grams of characters, a space is shown as "␣".
        """
        for node in np.argsort(-values, kind="stable").tolist():
            if values[node] <= 0:
                return
            tokens = self._tokens(node)
            if not any(token is None or token in self._stopwords for token in tokens):
                yield self._shown(tokens), float(values[node])

    def _shown(self, tokens: Sequence[str | None]) -> str:
        if self._are_words:
            return " ".join(map(str, tokens))
        return "".join(map(str, tokens)).replace(" ", SPACE)

    def _tokens(self, node: int) -> list[str | None]:
        tokens: list[str | None] = []
        for first, parents, words in reversed(self._levels):
            if node >= first:
                tokens.append(self._vocabulary[words[node - first]])
                node = parents[node - first]
        return [self._vocabulary[node], *reversed(tokens)]
