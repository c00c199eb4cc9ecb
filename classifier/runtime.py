"""Ids in, class scores out: the two kinds of model behind one protocol."""

import os
import random
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from classifier.errors import ArtifactError
from classifier.text import Encoded

Scores = NDArray[np.float64]
"""Class scores of n texts, shape (n, classes): what a softmax turns into probabilities."""


PADDING_RATIO = 1.25
PADDING_TOKENS = 8
"""A network's texts run together if none is longer than the shortest times this ratio, plus these tokens."""


class Runtime(Protocol):
    """A model that is ready to score. A text's scores never depend on what else is in its batch."""

    device: str
    releases_gil: bool
    """Whether other threads run while it scores."""

    def score(self, batch: Encoded) -> Scores:
        """Score n texts; returns shape (n, classes)."""
        ...


class LinearSettings(BaseModel):
    """How a linear model weighs n-grams; the names are those of scikit-learn's text features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear"] = "linear"
    term_frequency: Literal["binary", "count", "log"]
    """1; the count c; or 1 + ln c."""
    norm: Literal["l1", "l2"] | None
    """Each text's features are divided by this norm of theirs."""


class OnnxSettings(BaseModel):
    """How ids become the input of an ONNX model, and what its output is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["onnx"] = "onnx"
    first_id: int
    """The model's id of the vocabulary's first token."""
    unknown_id: int | None
    """The model's id of a token outside the vocabulary; None where those are dropped."""
    pad_id: int = 0
    pad_side: Literal["left", "right"] = "right"
    pad_to: int | None = None
    """Every text is padded to this many ids; None: a batch is padded to its longest text, for a model whose
    answer does not depend on padding."""
    output: Literal["logits", "probabilities", "sigmoid"]
    """(n, classes) logits or probabilities, or (n, 1) probabilities of the second of two classes."""


_HALF = np.uint64(32)


class NgramTable:
    """A hash table from (node, token id) to node: n-grams as a tree whose first level is the tokens.

    Cuckoo hashing (Pagh and Rodler, 2001): a key is in one of two places, so that a look-up of many keys
    is two gathers and no loop. Keys are `node * id_count + id`.
    """

    def __init__(self, keys: NDArray[np.int64], first_node: int) -> None:
        """`keys` (m, distinct) belong to the nodes `first_node`, `first_node + 1`, …"""
        size = max(16, int(2.4 * len(keys)))
        # A multiplier can bunch keys that lie at equal distances, as n-grams with one last token do.
        # Then others are tried, after some in a larger table.
        generator = random.Random(0)  # noqa: S311
        for attempt in range(32):
            self._multipliers = [np.uint64(generator.getrandbits(64) | 1) for _ in range(2)]
            self._size = np.uint64(size << attempt // 8)
            owners = self._place(keys)
            if owners is not None:
                break
        else:
            raise ArtifactError(f"the {len(keys)} n-grams cannot be hashed; are some of them equal?")
        taken = (owners >= 0).nonzero()[0]
        self._keys = np.full(len(owners), -1)
        self._keys[taken] = keys[owners[taken]]
        self._nodes = owners
        self._nodes += first_node

    def _slots(self, keys: NDArray[np.int64], which: int) -> NDArray[np.int64]:
        hashed = keys.view(np.uint64) * self._multipliers[which]
        hashed >>= _HALF
        hashed *= self._size
        hashed >>= _HALF
        return hashed.view(np.int64)

    def _place(self, keys: NDArray[np.int64]) -> NDArray[np.int32] | None:
        """Which key (index) stands in each slot, -1 for none; None if they do not come to rest."""
        slots = np.stack([self._slots(keys, 0), self._slots(keys, 1)])
        owners = np.full(int(self._size), -1, np.int32)
        place = np.zeros(len(keys), np.int8)
        waiting = np.arange(len(keys), dtype=np.int32)
        for _ in range(500):
            if not len(waiting):
                return owners
            wanted = slots[place[waiting], waiting]
            before = owners[wanted]
            owners[wanted] = waiting
            placed = owners[wanted] == waiting
            evicted = before[placed]
            waiting = np.concatenate([waiting[~placed], evicted[evicted >= 0]])
            place[waiting] ^= 1
        return None

    def find(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `keys` (k) there is an n-gram, and its nodes; both of the same length, at most k."""
        slots = self._slots(keys, 0)
        second = self._slots(keys, 1)
        np.copyto(slots, second, where=self._keys[slots] != keys)
        hits = (self._keys[slots] == keys).nonzero()[0]
        return hits, self._nodes[slots[hits]].astype(np.int64)


LINEAR_ARRAYS = re.compile(r"weights|intercept|scale|(words|children)_[2-9]")
"""The names of the arrays of a linear model."""
MOST_NGRAMS = 2**24
"""Of two tokens or more. To hash as many takes some seconds and 1.5 GB."""


def _counts(arrays: Mapping[str, NDArray[np.generic]], name: str, most: int) -> NDArray[np.int64] | None:
    """A flat array of whole numbers, from 0 up; None if one is above `most`."""
    array = arrays.get(name)
    if array is None or array.ndim != 1 or not np.issubdtype(array.dtype, np.unsignedinteger):
        raise ArtifactError(f"weights.npz: {name} must be a flat array of unsigned integers")
    counts: NDArray[np.unsignedinteger[Any]] = array  # type: ignore[assignment]
    return None if (counts > most).any() else counts.astype(np.int64)


def _finite(arrays: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """An array of finite numbers."""
    array = arrays[name]
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise ArtifactError(f"weights.npz: {name} must be numbers")
    strange = array[~np.isfinite(array)]
    if strange.size:
        raise ArtifactError(f"weights.npz: {name} holds {strange.flat[0]}, which is not a finite number")
    return array


class LinearRuntime:
    """Word n-grams times weights, with array arithmetic over the whole batch.

    Arrays, as in the artifact's `weights.npz`, where nodes are counted over all levels:
    `words_N` (nodes of level N = 2, 3, …), the id of the last token; `children_N` (nodes of the level above),
    how many nodes of level N each has, in this order; `weights` (nodes, classes; or 1, for the second of two
    classes); `intercept` (the same); optionally `scale` (nodes), a factor such as the inverse document
    frequency, 0 for a node that is no feature.
    """

    device = "cpu"
    # Many small array operations, which hold the interpreter's lock.
    releases_gil = False

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        settings: LinearSettings,
        vocabulary_size: int,
        id_count: int,
        classes: int,
    ) -> None:
        """Raises ArtifactError where the arrays do not fit each other, the vocabulary or the classes."""
        missing = {"weights", "intercept"} - arrays.keys()
        if missing:
            raise ArtifactError(f"weights.npz lacks {', '.join(sorted(missing))}")
        self._settings = settings
        self._id_count = id_count
        self._vocabulary_size = vocabulary_size
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
        if first + size - vocabulary_size > MOST_NGRAMS:
            raise ArtifactError(
                f"weights.npz has {first + size - vocabulary_size} n-grams of two tokens or more; "
                f"at most {MOST_NGRAMS} are allowed"
            )
        self._nodes = first + size
        self._table = NgramTable(np.concatenate([np.empty(0, np.int64), *keys]), vocabulary_size)
        weights = _finite(arrays, "weights")
        # Half precision is how they are stored; to compute with it would convert them at every text.
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
        """`text * nodes + node` for each n-gram that the model knows, repetitions included, ascending."""
        ids = batch.ids
        n = len(batch.ends)
        # int32 sorts twice as fast, and fits but for thousands of texts.
        index: np.dtype[Any] = np.dtype(np.int32 if n * self._nodes < 2**31 else np.int64)
        offsets = (np.arange(n) * self._nodes).astype(index)
        lengths = batch.ends.copy()
        lengths[1:] -= batch.ends[:-1]
        lengths[:1] += 1
        starts = (ids < self._vocabulary_size).nonzero()[0]
        nodes = ids[starts]
        all_starts, all_nodes = [starts], [nodes]
        for level in range(2, self._depth + 1):
            # A text ends in a separator, which is in no n-gram: no n-gram leaves its text.
            hits, nodes = self._table.find(nodes * self._id_count + ids[starts + (level - 1)])
            starts = starts[hits]
            all_starts.append(starts)
            all_nodes.append(nodes)
        found: NDArray[Any] = offsets.repeat(lengths)[np.concatenate(all_starts)]
        found += np.concatenate(all_nodes).astype(index)
        found.sort()
        return found

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
        scores = np.zeros((n, max(columns, 2)))  # one column is that of the second class; the first has 0
        for column in range(columns):
            weights = self._weights[nodes, column]
            sums = np.bincount(texts, weights if values is None else weights * values, n)
            scores[:, column - columns] = sums / norms + self._intercept[column]
        return scores

    def _values(
        self, nodes: NDArray[np.int64], firsts: NDArray[np.int64], total: int
    ) -> NDArray[np.float64] | None:
        """The value of each distinct feature of each text; None where all are 1."""
        if self._settings.term_frequency == "binary":
            return None if self._scale is None else self._scale[nodes]
        values = np.diff(firsts, append=total).astype(np.float64)
        if self._settings.term_frequency == "log":
            values = 1 + np.log(values)
        return values if self._scale is None else values * self._scale[nodes]

    def _norms(
        self, texts: NDArray[np.int64], values: NDArray[np.float64] | None, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The norm of each text's features (n), 1 where it has none; `counts` (n) is how many it has."""
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


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime, told to report nothing: it would send facts of machine and models to its maker.

    Raises ModuleNotFoundError. Source: https://github.com/microsoft/onnxruntime/pull/27379
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime  # type: ignore[no-any-return]


class OnnxRuntime:
    """A network in ONNX Runtime, on a GPU where its build for CUDA finds one, else on one thread of the CPU.

    Padding is the only thing done to the ids.
    """

    releases_gil = True

    def __init__(self, network: bytes, settings: OnnxSettings, vocabulary_size: int, classes: int) -> None:
        try:
            onnxruntime = import_onnxruntime()
        except ModuleNotFoundError as error:
            raise ArtifactError(
                "a network needs ONNX Runtime, which is not installed; requirements/network.txt has it"
            ) from error

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        cuda = "CUDAExecutionProvider"
        # Golden cases are held to more digits than TF32 has.
        providers: list[Any] = (
            [(cuda, {"use_tf32": "0"})] if cuda in onnxruntime.get_available_providers() else []
        )
        if providers:
            onnxruntime.preload_dlls()
        try:
            self._session = onnxruntime.InferenceSession(
                network, options, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            raise ArtifactError(f"model.onnx cannot be loaded by ONNX Runtime: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32}
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in types:
            raise ArtifactError(
                f"model.onnx must have one input of int32, int64 or float ids and one output; it has "
                f"{[(i.name, i.type) for i in inputs]} and {[o.name for o in outputs]}"
            )
        if providers and cuda not in self._session.get_providers():
            raise ArtifactError(
                "ONNX Runtime for CUDA is installed, and no GPU can be used; see the lines before"
            )
        self.device = "cuda" if providers else "cpu"
        self._input, self._dtype = inputs[0].name, types[inputs[0].type]
        self._settings = settings
        self._classes = classes
        self._model_ids = np.arange(vocabulary_size + 1) + settings.first_id
        if settings.unknown_id is not None:
            self._model_ids[vocabulary_size] = settings.unknown_id

    def score(self, batch: Encoded) -> Scores:
        """Score n texts; see `Runtime`."""
        starts = np.concatenate([[0], batch.ends[:-1] + 1])
        lengths = batch.ends - starts
        scores = np.empty((len(lengths), self._classes))
        for rows in self._groups(lengths):
            width = self._settings.pad_to or max(int(lengths[rows[-1]]), 1)
            inputs = np.full((len(rows), width), self._settings.pad_id, self._dtype)
            for line, row in enumerate(rows):
                ids = self._model_ids[batch.ids[starts[row] : batch.ends[row]]]
                if self._settings.pad_side == "right":
                    inputs[line, : len(ids)] = ids
                else:
                    inputs[line, width - len(ids) :] = ids
            (output,) = self._session.run(None, {self._input: inputs})
            scores[rows] = self._logits(np.asarray(output, np.float64), len(rows))
        return scores

    def _groups(self, lengths: NDArray[np.int64]) -> list[NDArray[np.intp]]:
        """Texts to run together, by ascending length: of lengths so alike that little is padded."""
        order = lengths.argsort(kind="stable")
        if self._settings.pad_to is not None:
            return [order]
        cuts = []
        longest = 0.0
        for place, length in enumerate(lengths[order].tolist()):
            if length > longest:
                cuts.append(place)
                longest = PADDING_RATIO * length + PADDING_TOKENS
        return np.split(order, cuts[1:])

    def _logits(self, output: NDArray[np.float64], n: int) -> Scores:
        columns = 1 if self._settings.output == "sigmoid" else self._classes
        if output.shape != (n, columns):
            raise ArtifactError(f"the model's output has shape {output.shape}; expected {(n, columns)}")
        if self._settings.output == "logits":
            return output
        if self._settings.output == "sigmoid":
            output = np.hstack([1 - output, output])
        return np.log(np.maximum(output, np.finfo(np.float64).tiny))
