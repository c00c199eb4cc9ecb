"""Linear models over word n-grams."""

import io
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError
from classifier.runtimes.arrays import read_arrays
from classifier.runtimes.ngram_table import NgramTable
from classifier.runtimes.runtime import Runtime, RuntimeSettings, Scores, bytes_cost
from classifier.text import Encoded, TextSettings, Tokenizer

WEIGHTS = "weights.npz"
ARRAY_NAMES = re.compile(r"weights|intercept|scale|(words|children)_[2-9]")
MAX_NGRAMS = 2**24
"""Most n-grams of two tokens or more. To hash as many takes some seconds and 1.5 GB."""


class LinearSettings(RuntimeSettings):
    """How a linear model weighs n-grams; the names are those of scikit-learn's text features."""

    kind: Literal["linear"] = "linear"
    term_frequency: Literal["binary", "count", "log"]
    """The value of an n-gram that a text has c times: 1, c, or 1 + ln c."""
    norm: Literal["l1", "l2"] | None
    """The norm of a text's features, by which they are divided."""


def pack_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    """Return the weight file with these arrays, by its name. The same arrays give the same bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return {WEIGHTS: content.getvalue()}


def unpack_arrays(weights: Mapping[str, bytes]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays in the weight file, by their names; raises ArtifactError, which names the file."""
    return read_arrays(WEIGHTS, weights[WEIGHTS], ARRAY_NAMES)


def _counts(arrays: Mapping[str, NDArray[np.generic]], name: str, max_count: int) -> NDArray[np.int64] | None:
    """Return a flat array of whole numbers from 0 up; None if one is above `max_count`."""
    array = arrays.get(name)
    if array is None or array.ndim != 1 or not np.issubdtype(array.dtype, np.unsignedinteger):
        raise ArtifactError(f"weights.npz: {name} must be a flat array of unsigned integers")
    counts: NDArray[np.unsignedinteger[Any]] = array  # type: ignore[assignment]
    return None if (counts > max_count).any() else counts.astype(np.int64)


def _finite(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """Return an array of numbers; raises ArtifactError if one is not finite."""
    array = arrays[name]
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise ArtifactError(f"weights.npz: {name} must be numbers")
    strange = array[~np.isfinite(array)]
    if strange.size:
        raise ArtifactError(f"weights.npz: {name} holds {strange.flat[0]}, which is not a finite number")
    return array


class LinearRuntime(Runtime[Encoded]):
    """Scores word n-grams times weights, with array arithmetic over the whole batch.

    `weights.npz` has these arrays, in which nodes are counted over all levels of the tree of n-grams:
    `words_N` (nodes of level N = 2, 3, …), the id of the last token; `children_N` (nodes of the level above),
    how many nodes of level N each has, in this order; `weights` (nodes, classes; or 1, for the second of two
    classes); `intercept` (the same); optionally `scale` (nodes), a factor such as the inverse document
    frequency, which is 0 for a node that is not a feature.
    """

    settings_type = LinearSettings
    max_bytes = MappingProxyType({WEIGHTS: 512 * 2**20})
    lock_file = "requirements/serve.txt"
    gpu_lock_file = None
    releases_gil = False
    """A batch is many small array operations, which hold the interpreter's lock."""
    device = "cpu"
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
    ) -> Self:
        """Make a runtime from the parts of an artifact; see `Runtime`."""
        return cls(unpack_arrays(weights), settings, Tokenizer(text, vocabulary), classes)

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        settings: LinearSettings,
        tokenizer: Tokenizer,
        classes: int,
    ) -> None:
        """Raises ArtifactError if the arrays do not fit each other, the vocabulary or the classes."""
        missing = {"weights", "intercept"} - arrays.keys()
        if missing:
            raise ArtifactError(f"weights.npz lacks {', '.join(sorted(missing))}")
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
        weights = _finite(arrays, "weights")
        # Weights may be stored in half precision. To compute with it would convert them at every text.
        self._weights = weights.astype(np.float32 if weights.dtype == np.float16 else np.float64)
        self._intercept = _finite(arrays, "intercept").astype(np.float64)
        self._scale = _finite(arrays, "scale").astype(np.float64) if "scale" in arrays else None
        columns = 1 if classes == 2 else classes
        if self._weights.shape != (self._nodes, columns) or self._intercept.shape != (columns,):
            raise ArtifactError(
                f"weights.npz: weights of shape {self._weights.shape} and intercept of shape "
                f"{self._intercept.shape} do not fit {self._nodes} n-grams and {classes} classes"
            )
        if self._scale is not None and self._scale.shape != (self._nodes,):
            raise ArtifactError(
                f"weights.npz: scale of shape {self._scale.shape} does not fit {self._nodes} n-grams"
            )

    def _features(self, batch: Encoded) -> NDArray[Any]:
        """Return `text * nodes + node` of every known n-gram, ascending, repetitions included."""
        ids = batch.ids
        n = len(batch.ends)
        # int32 sorts twice as fast, and is too small only for thousands of texts.
        index: np.dtype[Any] = np.dtype(np.int32 if n * self._nodes < 2**31 else np.int64)
        offsets = (np.arange(n) * self._nodes).astype(index)
        lengths = batch.ends.copy()
        lengths[1:] -= batch.ends[:-1]
        lengths[:1] += 1
        starts = (ids < self._vocabulary_size).nonzero()[0]
        nodes = ids[starts]
        all_starts, all_nodes = [starts], [nodes]
        for level in range(2, self._depth + 1):
            # Each text ends in a separator, which no n-gram has, so no n-gram spans two texts.
            hits, nodes = self._table.find(nodes * self._id_count + ids[starts + (level - 1)])
            starts = starts[hits]
            all_starts.append(starts)
            all_nodes.append(nodes)
        found: NDArray[Any] = offsets.repeat(lengths)[np.concatenate(all_starts)]
        found += np.concatenate(all_nodes).astype(index)
        found.sort()
        return found

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Turn n texts into ids; see `Runtime`."""
        return self._tokenizer.encode(texts)

    def score(self, batch: Encoded) -> Scores:
        """Score n texts; see `Runtime`."""
        n = len(batch.ends)
        columns = len(self._intercept)
        features = self._features(batch)
        is_first = np.empty(len(features), bool)
        is_first[:1] = True
        np.not_equal(features[1:], features[:-1], out=is_first[1:])
        firsts = is_first.nonzero()[0]
        distinct = features[firsts]
        bounds = distinct.searchsorted(np.arange(n + 1) * self._nodes)
        counts = bounds[1:] - bounds[:-1]
        texts = np.arange(n).repeat(counts)
        nodes = distinct - texts * self._nodes

        values = self._values(nodes, firsts, len(features))
        norms = self._norms(texts, values, counts)
        scores = np.zeros((n, max(columns, 2)))  # a single column is the second class's; the first gets 0
        for column in range(columns):
            weights = self._weights[nodes, column]
            sums = np.bincount(texts, weights if values is None else weights * values, n)
            scores[:, column - columns] = sums / norms + self._intercept[column]
        return scores

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
        n = len(counts)
        if self._settings.norm is None:
            return np.ones(n)
        norms: NDArray[np.float64]
        if values is None:
            norms = counts.astype(np.float64)
        else:
            powers = np.abs(values) if self._settings.norm == "l1" else values * values
            norms = np.bincount(texts, powers, n).astype(np.float64, copy=False)
        norms[norms == 0] = 1
        return np.sqrt(norms) if self._settings.norm == "l2" else norms

    def describe(self) -> str:
        """Say how many look-ups a token takes; see `Runtime`."""
        return (
            f"each costs one look-up in {self._vocabulary_size:,} words and up to {self._depth - 1} in "
            f"{self._nodes - self._vocabulary_size:,} longer n-grams"
        )
