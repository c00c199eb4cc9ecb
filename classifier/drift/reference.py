"""The reference that an artifact carries: how its held-out texts are distributed over each feature."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from classifier.drift.features import FEATURES, TextFeatures
from classifier.drift.statistics import HypothesisTest, chi_square, kolmogorov_smirnov

BINS = 10
"""Bins of a numeric feature, unless many texts have the same value."""

MAX_EDGES = 100
"""Most edges of a numeric feature."""

MAX_LABELS = 100
"""Most labels that have a bin of their own; the others share one."""

OTHER = "other"
"""The name of the bin that the other labels share."""

MAX_TEXTS = 10**12
"""Most texts that a reference counts, so that sums of counts are exact."""

MIN_REFERENCE_TEXTS = 50
"""Fewest texts that a reference is made of. With fewer, only two cumulative distributions that are more than
0.28 apart differ significantly."""

_DIGITS = 6
"""Decimal places of an edge. The last digits of a probability differ between processors."""

Count = Annotated[int, Field(ge=0, le=MAX_TEXTS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericReference(_Part):
    """The bins of a number and how many of the held-out texts are in each.

    A value is in the first bin whose upper edge it does not exceed. The outer bins are open.
    """

    edges: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MAX_EDGES)
    counts: tuple[Count, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(lower >= upper for lower, upper in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"the edges {self.edges} do not ascend")
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(
                f"there are {len(self.counts)} counts; {len(self.edges)} edges separate "
                f"{len(self.edges) + 1} bins"
            )
        return self

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Count values (n, at least 1) in bins with about the same number of them in each."""
        quantiles = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
        edges = np.unique(quantiles[quantiles < values.max()].round(_DIGITS))
        if not len(edges):
            # Nearly all values are the largest one; a bin is made for it alone.
            most = round(float(values.max()), _DIGITS)
            edges = np.array([most - 10**-_DIGITS, most + 10**-_DIGITS])
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        return cls(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))

    def places(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the index of the bin of each value (n)."""
        return np.searchsorted(self.edges, values)

    def names(self, labels: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        """Return a name of each bin: the range of its values."""
        inner = (f"{lower:g} to {upper:g}" for lower, upper in zip(self.edges, self.edges[1:], strict=False))
        return (f"up to {self.edges[0]:g}", *inner, f"above {self.edges[-1]:g}")

    def test(self, counts: tuple[int, ...]) -> HypothesisTest:
        """Compare the counts of other texts with those of the held-out texts."""
        return kolmogorov_smirnov(self.counts, counts)


class LabelReference(_Part):
    """How many of the held-out texts were predicted to be of each class.

    The most frequent classes have a bin of their own. The last bin is for all others.
    """

    classes: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=MAX_LABELS)
    """The indices of the classes that have a bin of their own, in ascending order."""
    counts: tuple[Count, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(lower >= upper for lower, upper in zip(self.classes, self.classes[1:], strict=False)):
            raise ValueError(f"the classes {self.classes} do not ascend")
        if len(self.counts) != len(self.classes) + 1:
            raise ValueError(
                f"there are {len(self.counts)} counts; {len(self.classes)} classes have a bin each, and all "
                "others one"
            )
        return self

    @classmethod
    def of(cls, predicted: NDArray[np.intp], classes: int) -> Self:
        """Count the predicted classes (n) of a model with this number of classes."""
        counts = np.bincount(predicted, minlength=classes)
        chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_LABELS])
        own = counts[chosen].tolist()
        return cls(classes=tuple(chosen.tolist()), counts=(*own, len(predicted) - sum(own)))

    def check_classes(self, classes: int) -> None:
        """Raise ValueError if the model, which has this number of classes, does not have one of these."""
        if self.classes[-1] >= classes:
            raise ValueError(f"reference.label.classes has {self.classes[-1]}; there are {classes} labels")

    def places(self, predicted: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the index of the bin of each predicted class (n)."""
        classes = np.asarray(self.classes)
        places = np.searchsorted(classes, predicted)
        is_own = classes[np.minimum(places, len(classes) - 1)] == predicted
        return np.where(is_own, places, len(classes))

    def names(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return a name of each bin: its label."""
        return (*(labels[class_] for class_ in self.classes), OTHER)

    def test(self, counts: tuple[int, ...]) -> HypothesisTest:
        """Compare the counts of other texts with those of the held-out texts."""
        return chi_square(self.counts, counts)


class Reference(_Part):
    """The distribution of the held-out texts over each feature."""

    characters: NumericReference
    unknown_share: NumericReference
    confidence: NumericReference
    label: LabelReference

    @model_validator(mode="after")
    def _counts_the_same_texts(self) -> Self:
        for name, feature in self.features.items():
            if sum(feature.counts) != self.texts:
                raise ValueError(
                    f"{name} counts {sum(feature.counts)} texts, {FEATURES[0]} {self.texts}; "
                    "all features are counted over the same texts"
                )
        if not self.texts:
            raise ValueError("the reference counts no texts")
        return self

    @property
    def texts(self) -> int:
        """The number of held-out texts."""
        return sum(self.characters.counts)

    @property
    def features(self) -> dict[str, NumericReference | LabelReference]:
        """The reference of each feature, in the order of `FEATURES`."""
        return {name: getattr(self, name) for name in FEATURES}


def build_reference(features: TextFeatures, classes: int) -> Reference | None:
    """Make the reference of a model with `classes` classes from texts that it was not trained on.

    Returns None for fewer than MIN_REFERENCE_TEXTS texts.
    """
    if len(features.label) < MIN_REFERENCE_TEXTS:
        return None
    return Reference(
        characters=NumericReference.of(features.characters),
        unknown_share=NumericReference.of(features.unknown_share),
        confidence=NumericReference.of(features.confidence),
        label=LabelReference.of(features.label, classes),
    )
