"""What a whole model looks for: the n-grams that speak most for each of its labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier.artifact import Artifact
from classifier.explain.explanation import Comparison
from classifier.explain.target import Target
from classifier.runtimes import WeightedNgram, runtime_of


@dataclass(frozen=True, slots=True)
class StrongestNgrams:
    """The n-grams that speak most for one label, strongest first."""

    label: str
    compared_with: Comparison
    """What the weights of the n-grams are against."""
    ngrams: Sequence[WeightedNgram]


def strongest_ngrams(
    artifact: Artifact, count: int, *, for_short_texts: bool = False
) -> list[StrongestNgrams] | None:
    """Return at most `count` n-grams for each label, in the order of the labels.

    None if the model has no weights of n-grams, or none of its own for short texts.
    """
    manifest = artifact.manifest
    targets = [Target.of(manifest, label) for label in manifest.labels]
    found = runtime_of(manifest.model.kind).strongest(
        manifest.model,
        artifact.weights,
        artifact.vocabulary,
        manifest.text,
        np.array([target.weights for target in targets]),
        count,
        for_short_texts,
    )
    if found is None:
        return None
    return [
        StrongestNgrams(target.label, target.compared_with, ngrams)
        for target, ngrams in zip(targets, found, strict=True)
    ]
