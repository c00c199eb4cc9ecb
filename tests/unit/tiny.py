"""A tiny linear model for two or four classes that the tests share."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.artifact import Artifact, Manifest, TrainingData, write_artifact
from classifier.runtimes.linear import LinearSettings, pack_arrays, unpack_arrays
from classifier.text import TextSettings
from training_import.ngrams import ngram_tree
from training_import.samples import golden_cases

BINARY_LABELS = ("negative", "positive")
FOUR_LABELS = ("anger", "fear", "joy", "sadness")

NGRAM_WEIGHTS: Mapping[tuple[str, ...], float] = {
    ("good",): 1.0,
    ("great",): 2.0,
    ("bad",): -1.5,
    ("awful",): -2.5,
    ("film",): 0.125,
    ("not", "good"): -2.25,
    ("not", "bad"): 1.75,
}
"""The weights for the second of two classes; the intercept is 0, and "not" by itself has no weight."""


def tiny_artifact(labels: tuple[str, ...] = BINARY_LABELS, **changes: Any) -> Artifact:
    """Return a model with `NGRAM_WEIGHTS` (two labels) or random weights; `changes` are for its manifest.

    The model has no golden cases.
    """
    tree = ngram_tree(list(NGRAM_WEIGHTS))
    columns = 1 if len(labels) == 2 else len(labels)
    weights = np.zeros((tree.node_count, columns))
    if columns == 1:
        weights[tree.nodes, 0] = list(NGRAM_WEIGHTS.values())
    else:
        weights[tree.nodes] = np.random.default_rng(7).normal(size=(len(NGRAM_WEIGHTS), columns))
    fields = {
        "format_version": 1,
        "name": "tiny",
        "labels": labels,
        "text": TextSettings(max_tokens=8),
        "model": LinearSettings(term_frequency="count", norm=None),
        "trained_on": TrainingData(name="made up", sha256="0" * 64, rows=7),
        "seed": 7,
        "versions": {"numpy": np.__version__},
        "metrics": {"accuracy": 0.5},
    }
    return Artifact(
        manifest=Manifest(**fields | changes),
        vocabulary=tree.vocabulary,
        weights=pack_arrays(tree.arrays | {"weights": weights, "intercept": np.zeros(columns)}),
        model_card="# Tiny\n",
    )


def doubting_artifact(min_evidence: float = 1.0, **changes: Any) -> Artifact:
    """Return the tiny model with weights for short texts, which are twice the others and score all texts.

    It doubts texts with less evidence than `min_evidence`.
    """
    model = LinearSettings(term_frequency="count", norm=None, short_ngrams=1e12, min_evidence=min_evidence)
    artifact = tiny_artifact(model=model, **changes)
    arrays = unpack_arrays(artifact.weights)
    short = {f"short_{name}": 2 * np.asarray(arrays[name]) for name in ("weights", "intercept")}
    return replace(artifact, weights=pack_arrays({**arrays, **short}))


def with_golden(artifact: Artifact) -> Artifact:
    """Return the same artifact with golden cases that it passes."""
    return replace(artifact, golden=golden_cases(artifact, artifact.vocabulary, seed=1))


def write_tiny(folder: Path, labels: tuple[str, ...] = BINARY_LABELS, **changes: Any) -> Path:
    """Write a complete tiny artifact, which can be loaded; returns the folder."""
    write_artifact(with_golden(tiny_artifact(labels, **changes)), folder)
    return folder
