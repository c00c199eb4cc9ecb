"""Counts texts that a model classified, all of them or the last ones, in the bins of its reference."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.drift.features import TextFeatures, unknown_shares
from classifier.drift.reference import Reference
from classifier.pipeline import ModelRun

BLOCKS = 20
"""The window moves in steps of a twentieth of its length."""


def features_of(runs: Sequence[ModelRun]) -> TextFeatures:
    """Return the features of the n texts of one or more runs, in their order."""
    return TextFeatures(
        characters=np.concatenate([run.characters for run in runs]).astype(np.float64),
        unknown_share=unknown_shares(
            np.concatenate([run.known for run in runs]), np.concatenate([run.unknown for run in runs])
        ),
        confidence=np.concatenate([run.confidence for run in runs]),
        label=np.concatenate([run.predicted for run in runs]),
    )


class Bins:
    """The bins of all features of a reference, as places in one vector."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._ends = np.cumsum([len(feature.counts) for feature in reference.features.values()])
        self.size = int(self._ends[-1])

    def places(self, features: TextFeatures) -> NDArray[np.intp]:
        """Return the place of each text's bin for each feature, shape (n, features)."""
        starts = [0, *self._ends[:-1].tolist()]
        columns = [
            feature.places(getattr(features, name)) + start
            for (name, feature), start in zip(self.reference.features.items(), starts, strict=True)
        ]
        return np.stack(columns, axis=1)

    def count(self, places: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return how many of n texts are in each bin, shape (size); `places` is (n, features)."""
        return np.bincount(places.ravel(), minlength=self.size)

    def by_feature(self, counts: NDArray[np.int64]) -> dict[str, tuple[int, ...]]:
        """Return the counts (size) of each feature's bins."""
        parts = np.split(counts, self._ends[:-1])
        return {name: tuple(part.tolist()) for name, part in zip(self.reference.features, parts, strict=True)}


class Window:
    """Counts the last texts in blocks, so that no text is kept and the oldest block can be forgotten."""

    def __init__(self, bins: Bins, texts: int) -> None:
        """Make an empty window for the last `texts` texts.

        It has up to a block more, because the newest block is still being filled.
        """
        self._bins = bins
        self._block_texts = -(-texts // BLOCKS)
        self._blocks = np.zeros((BLOCKS + 1, bins.size), np.int64)
        self._newest = 0
        self._texts_in_newest = 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of the texts are in each bin, shape (size)."""
        counts: NDArray[np.int64] = self._blocks.sum(axis=0)
        return counts

    def add(self, features: TextFeatures) -> None:
        """Count n texts, in their order."""
        places = self._bins.places(features)
        while len(places):
            if self._texts_in_newest == self._block_texts:
                self._newest = (self._newest + 1) % len(self._blocks)
                self._blocks[self._newest] = 0
                self._texts_in_newest = 0
            part = places[: self._block_texts - self._texts_in_newest]
            self._blocks[self._newest] += self._bins.count(part)
            self._texts_in_newest += len(part)
            places = places[len(part) :]
