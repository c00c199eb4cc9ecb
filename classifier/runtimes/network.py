"""What all kinds of networks share: ONNX Runtime, and groups of texts of similar lengths."""

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError
from classifier.runtimes.runtime import GOLDEN_TOLERANCE, AnyBatch, Runtime, Terms, WeightedNgram
from classifier.text import TextSettings

NETWORK = "model.onnx"
MAX_NETWORK_BYTES = 2**31 - 1
"""The largest ONNX model that one file can hold."""

PADDING_RATIO = 1.25
PADDING_TOKENS = 8
"""Texts run together if the longest has at most `PADDING_RATIO` times the tokens of the shortest, plus
`PADDING_TOKENS`."""

CUDA = "CUDAExecutionProvider"


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry, which would report facts about the machine and its models.

    Raises ModuleNotFoundError. Source: https://github.com/microsoft/onnxruntime/pull/27379
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime  # type: ignore[no-any-return]


class Network:
    """A network that is ready to run, on a GPU if it is for one and the build for CUDA is installed."""

    def __init__(self, content: bytes, lock_file: str, threads: int, for_gpu: bool = True) -> None:
        """Load a network from the content of its file; `lock_file` has the packages that it needs.

        A network that is not `for_gpu` always runs on the CPU. Raises ArtifactError if it cannot be loaded.
        """
        try:
            onnxruntime = import_onnxruntime()
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"a network needs ONNX Runtime, which is not installed; {lock_file} has it"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # TF32 has fewer digits than the comparison with golden cases needs.
        is_on_gpu = for_gpu and CUDA in onnxruntime.get_available_providers()
        providers: list[Any] = [(CUDA, {"use_tf32": "0"})] if is_on_gpu else []
        if providers:
            onnxruntime.preload_dlls()
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for each kind of fault
            raise ArtifactError(f"{NETWORK} cannot be loaded by ONNX Runtime: {error}") from error
        if providers and CUDA not in self._session.get_providers():
            raise ArtifactError(
                "ONNX Runtime for CUDA is installed, but no GPU can be used; the lines above say why"
            )
        self.device = "cuda" if providers else "cpu"
        self.megabytes = len(content) / 1e6
        self.inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        """The name and the type of each input."""
        self.outputs = [each.name for each in self._session.get_outputs()]

    def run(self, output: str, inputs: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return one output of the network."""
        (found,) = self._session.run([output], inputs)
        return np.asarray(found, np.float64)


class NetworkRuntime(Runtime[AnyBatch]):
    """A kind of model whose scores come from a network, so they are no sums over n-grams."""

    releases_gil = True
    golden_tolerance = GOLDEN_TOLERANCE

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
        """Return None, because a network has no weights of n-grams; see `Runtime`."""
        return None

    def contributions(
        self,
        text: str,  # noqa: ARG002
        batch: AnyBatch,  # noqa: ARG002
        row: int,  # noqa: ARG002
    ) -> Terms | None:
        """Return None, because the scores of a network are not a sum; see `Runtime`."""
        return None


def groups_of_similar_lengths(lengths: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Group texts"""
    order = lengths.argsort(kind="stable")
    cuts = []
    longest = 0.0
    for place, length in enumerate(lengths[order].tolist()):
        if length > longest:
            cuts.append(place)
            longest = PADDING_RATIO * length + PADDING_TOKENS
    return np.split(order, cuts[1:])


def check_shape(scores: NDArray[np.float64], expected: Sequence[int]) -> None:
    """Raise ArtifactError if the output of a network does not have this shape."""
    if scores.shape != tuple(expected):
        raise ArtifactError(f"the model's output has shape {scores.shape}; expected {tuple(expected)}")
