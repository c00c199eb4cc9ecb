"""Networks that ONNX Runtime runs."""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError
from classifier.runtimes.runtime import (
    Runtime,
    RuntimeSettings,
    Scored,
    Scores,
    Terms,
    WeightedNgram,
    bytes_cost,
)
from classifier.text import Encoded, TextSettings, Tokenizer

NETWORK = "model.onnx"
PADDING_RATIO = 1.25
PADDING_TOKENS = 8
"""Texts run together if the longest has at most `PADDING_RATIO` times the tokens of the shortest, plus
`PADDING_TOKENS`."""


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


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry, which would report facts about the machine and its models.

    Raises ModuleNotFoundError. Source: https://github.com/microsoft/onnxruntime/pull/27379
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime  # type: ignore[no-any-return]


class OnnxRuntime(Runtime[Encoded]):
    """Runs a network in ONNX Runtime, on a GPU if the build for CUDA finds one, else on one CPU thread.

    It only pads the ids of a text, and does not cut them.
    """

    settings_type = OnnxSettings
    max_bytes = MappingProxyType({NETWORK: 2**31 - 1})
    """The largest ONNX model that one file can hold."""
    lock_file = "requirements/network.txt"
    gpu_lock_file = "requirements/gpu.txt"
    """The build for CUDA, with CUDA's libraries."""
    releases_gil = True
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
    ) -> Self:
        """Make a runtime from the parts of an artifact; see `Runtime`."""
        return cls(weights[NETWORK], settings, Tokenizer(text, vocabulary), classes)

    def __init__(self, network: bytes, settings: OnnxSettings, tokenizer: Tokenizer, classes: int) -> None:
        try:
            onnxruntime = import_onnxruntime()
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"a network needs ONNX Runtime, which is not installed; {self.lock_file} has it"
            ) from error

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        cuda = "CUDAExecutionProvider"
        # TF32 has fewer digits than the comparison with golden cases needs.
        providers: list[Any] = (
            [(cuda, {"use_tf32": "0"})] if cuda in onnxruntime.get_available_providers() else []
        )
        if providers:
            onnxruntime.preload_dlls()
        try:
            self._session = onnxruntime.InferenceSession(
                network, options, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for each kind of fault
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
                "ONNX Runtime for CUDA is installed, but no GPU can be used; the lines above say why"
            )
        self.device = "cuda" if providers else "cpu"
        self._input, self._dtype = inputs[0].name, types[inputs[0].type]
        self._settings = settings
        self._tokenizer = tokenizer
        self._classes = classes
        self._megabytes = len(network) / 1e6
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
        return Scored(scores, np.zeros(len(lengths), bool))

    def _groups(self, lengths: NDArray[np.int64]) -> list[NDArray[np.intp]]:
        """Group texts of similar lengths, which need little padding; from short to long."""
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

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the tokens; see `Runtime`."""
        return self._tokenizer.places(text)

    @classmethod
    def strongest(
        cls,
        settings: OnnxSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        targets: NDArray[np.float64],
        count: int,
        for_short_texts: bool = False,
    ) -> list[list[WeightedNgram]] | None:
        """Return None, because a network has no weights of n-grams; see `Runtime`."""
        return None

    def contributions(
        self,
        text: str,  # noqa: ARG002
        batch: Encoded,  # noqa: ARG002
        row: int,  # noqa: ARG002
    ) -> Terms | None:
        """Return None, because the scores of a network are not a sum; see `Runtime`."""
        return None

    def describe(self) -> str:
        """Say how large the network is; see `Runtime`."""
        return f"the network that reads them has {self._megabytes:.1f} MB"
