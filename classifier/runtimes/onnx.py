"""Networks that ONNX Runtime runs."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError
from classifier.runtimes.network import (
    MAX_NETWORK_BYTES,
    NETWORK,
    Network,
    NetworkRuntime,
    check_shape,
    groups_of_similar_lengths,
)
from classifier.runtimes.runtime import RuntimeSettings, Scored, Scores, bytes_cost
from classifier.text import Encoded, TextSettings, Tokenizer

TYPES = MappingProxyType({"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32})


class OnnxSettings(RuntimeSettings):
    """How ids become the input of an ONNX model, and what its output is."""

    kind: Literal["onnx"] = "onnx"
    first_id: int
    """The model's id of the vocabulary's first token."""
    unknown_id: int | None
    """The model's id of a token outside the vocabulary; None if those are dropped."""
    pad_id: int = 0
    pad_side: Literal["left", "right"] = "right"
    pad_to: int | None = None
    """Every text is padded to this many ids. With None, a batch is padded to its longest text; this is for
    models whose answer does not depend on padding."""
    output: Literal["logits", "probabilities", "sigmoid"]
    """(n, classes) logits or probabilities, or (n, 1) probabilities of the second of two classes."""


class OnnxRuntime(NetworkRuntime[Encoded]):
    """Runs a network that reads the ids of a vocabulary.

    It only pads the ids of a text, and does not cut them.
    """

    settings_type = OnnxSettings
    max_bytes = MappingProxyType({NETWORK: MAX_NETWORK_BYTES})
    lock_file = "requirements/network.txt"
    gpu_lock_file = "requirements/gpu.txt"
    """The build for CUDA, with CUDA's libraries."""
    cost = staticmethod(bytes_cost)

    @classmethod
    def check(cls, settings: OnnxSettings, labels: Sequence[str], text: TextSettings) -> None:
        """Check padding, unknown tokens and the kind of output; see `Runtime`."""
        if settings.pad_to is not None and settings.pad_to < text.max_tokens:
            raise ValueError(
                f"model.pad_to is {settings.pad_to}; it must be at least text.max_tokens, "
                f"which is {text.max_tokens}"
            )
        if (settings.unknown_id is None) != (text.unknown == "drop"):
            raise ValueError(
                f"model.unknown_id is {settings.unknown_id}, but text.unknown is {text.unknown!r}; "
                "an unknown token needs an id if, and only if, it is kept"
            )
        if settings.output == "sigmoid" and len(labels) != 2:
            raise ValueError(f"model.output is 'sigmoid', which is for two labels; there are {len(labels)}")

    @classmethod
    def load(
        cls,
        settings: OnnxSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
        threads: int = 0,
    ) -> Self:
        """Make a runtime from the parts of an artifact; see `Runtime`."""
        return cls(weights[NETWORK], settings, Tokenizer(text, vocabulary), classes, threads)

    def __init__(
        self,
        content: bytes,
        settings: OnnxSettings,
        tokenizer: Tokenizer,
        classes: int,
        threads: int = 0,
    ) -> None:
        """Make a runtime; a network of this kind is small, so it runs in one thread unless told otherwise."""
        network = Network(content, self.lock_file, threads or 1)
        if len(network.inputs) != 1 or len(network.outputs) != 1 or network.inputs[0][1] not in TYPES:
            raise ArtifactError(
                "model.onnx must have one input of int32, int64 or float ids and one output; it has "
                f"{network.inputs} and {network.outputs}"
            )
        self.device = network.device
        self._network = network
        (self._input, type_), (self._output,) = network.inputs[0], network.outputs
        self._dtype = TYPES[type_]
        self._settings = settings
        self._tokenizer = tokenizer
        self._classes = classes
        self._model_ids = np.arange(tokenizer.unknown_id + 1) + settings.first_id
        if settings.unknown_id is not None:
            self._model_ids[tokenizer.unknown_id] = settings.unknown_id

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Turn n texts into ids; see `Runtime`."""
        return self._tokenizer.encode(texts)

    def score(self, batch: Encoded) -> Scored:
        """Score n texts; see `Runtime`."""
        starts = np.concatenate([[0], batch.ends[:-1] + 1])
        lengths = batch.ends - starts
        scores = np.empty((len(lengths), self._classes))
        is_padded = self._settings.pad_to is not None
        groups = [lengths.argsort(kind="stable")] if is_padded else groups_of_similar_lengths(lengths)
        for rows in groups:
            width = self._settings.pad_to or max(int(lengths[rows[-1]]), 1)
            inputs = np.full((len(rows), width), self._settings.pad_id, self._dtype)
            for line, row in enumerate(rows):
                ids = self._model_ids[batch.ids[starts[row] : batch.ends[row]]]
                if self._settings.pad_side == "right":
                    inputs[line, : len(ids)] = ids
                else:
                    inputs[line, width - len(ids) :] = ids
            output = self._network.run(self._output, {self._input: inputs})
            scores[rows] = self._logits(output, len(rows))
        return Scored(scores, np.zeros(len(lengths), bool))

    def _logits(self, output: NDArray[np.float64], n: int) -> Scores:
        columns = 1 if self._settings.output == "sigmoid" else self._classes
        check_shape(output, (n, columns))
        if self._settings.output == "logits":
            return output
        if self._settings.output == "sigmoid":
            output = np.hstack([1 - output, output])
        return np.log(np.maximum(output, np.finfo(np.float64).tiny))

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens; see `Runtime`."""
        return self._tokenizer.places(text)

    def describe(self) -> str:
        """Say how large the network is; see `Runtime`."""
        return f"the network that reads them has {self._network.megabytes:.1f} MB"
