"""A small linear model that gives a text several labels, or none: what a film review speaks about."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tiny import with_golden

from classifier.artifact import Artifact, Calibration, Manifest, write_artifact
from classifier.runtimes.linear import LinearSettings, pack_arrays
from classifier.text import TextSettings
from training_import.ngrams import ngram_tree

LABELS = ("acting", "music", "plot")
THRESHOLDS = (0.3, 0.5, 0.7)
NAME = "subjects"

NGRAM_WEIGHTS: Mapping[tuple[str, ...], tuple[float, float, float]] = {
    ("acting",): (4.0, 0.0, 0.0),
    ("cast",): (3.5, -0.25, 0.5),
    ("acted",): (4.0, 0.0, 0.25),
    ("music",): (-0.25, 4.5, 0.0),
    ("songs",): (0.0, 4.0, 0.25),
    ("story",): (-0.5, 0.0, 4.0),
    ("plot",): (0.0, 0.0, 4.5),
    ("goes", "nowhere"): (-0.25, 0.0, 1.5),
    ("film",): (0.25, 0.125, 0.5),
}
"""What each adds to the log-odds of each label."""

INTERCEPT = (-2.0, -2.5, -2.25)

TWO, ONE, NONE = (
    "Great cast, but the story goes nowhere.",
    "The songs are lovely.",
    "I saw it in Paris.",
)
"""Texts by the number of their labels."""


def several_labels_artifact(**changes: Any) -> Artifact:
    """Return the model with its golden cases; `changes` are for its manifest."""
    tree = ngram_tree(list(NGRAM_WEIGHTS))
    weights = np.zeros((tree.node_count, len(LABELS)))
    weights[tree.nodes] = list(NGRAM_WEIGHTS.values())
    fields: dict[str, Any] = {
        "format_version": 1,
        "name": NAME,
        "labels": LABELS,
        "text": TextSettings(max_tokens=1000),
        "model": LinearSettings(term_frequency="count", norm=None),
        "calibration": Calibration(activation="sigmoid"),
        "thresholds": THRESHOLDS,
        "trained_on": None,
        "seed": None,
        "versions": {"numpy": np.__version__},
        "metrics": {},
    }
    return with_golden(
        Artifact(
            manifest=Manifest(**fields | changes),
            vocabulary=tree.vocabulary,
            weights=pack_arrays(tree.arrays | {"weights": weights, "intercept": np.array(INTERCEPT)}),
            model_card="# Subjects of film reviews\n",
        )
    )


def write_several(folder: Path, **changes: Any) -> Path:
    """Write the model, which can be loaded; returns the folder."""
    write_artifact(several_labels_artifact(**changes), folder)
    return folder
