"""The kinds of model: one protocol, one table, and one module for each kind."""

from collections.abc import Mapping
from typing import Any

from classifier.runtimes.ensemble import EnsembleRuntime
from classifier.runtimes.linear import LinearRuntime
from classifier.runtimes.onnx import OnnxRuntime
from classifier.runtimes.runtime import (
    Batch,
    Runtime,
    RuntimeSettings,
    Scored,
    Scores,
    Terms,
    WeightedNgram,
)
from classifier.runtimes.transformer import TransformerRuntime

__all__ = [
    "RUNTIMES",
    "Batch",
    "Runtime",
    "RuntimeSettings",
    "Scored",
    "Scores",
    "Terms",
    "WeightedNgram",
    "runtime_of",
]

RUNTIMES: Mapping[str, type[Runtime[Any]]] = {
    "linear": LinearRuntime,
    "ensemble": EnsembleRuntime,
    "onnx": OnnxRuntime,
    "transformer": TransformerRuntime,
}
"""Each kind of model by the name that manifests give it."""


def runtime_of(kind: object) -> type[Runtime[Any]]:
    """The runtime of a kind of model; raises ValueError, which names the known kinds."""
    runtime = RUNTIMES.get(kind) if isinstance(kind, str) else None
    if runtime is None:
        raise ValueError(f"kind is {kind!r}; the kinds of model are {', '.join(map(repr, RUNTIMES))}")
    return runtime
