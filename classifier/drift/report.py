"""Decides whether texts differ from the held-out texts of the model, feature by feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from classifier.drift.reference import Reference
from classifier.drift.statistics import HypothesisTest, population_stability_index, shares_of

MIN_TEXTS = 200
"""Fewest texts that are judged. With 200, chance alone gives ten bins an index of 0.05 on average."""

MAX_P_VALUE = 0.001
"""A difference that chance makes more often than this raises no alarm."""


class DriftStatus(StrEnum):
    """What is known about the texts."""

    NO_REFERENCE = "no reference"
    """The model has no reference to compare them with."""
    COLLECTING = "collecting"
    """There are too few of them."""
    QUIET = "quiet"
    """No feature differs."""
    DRIFTED = "drifted"
    """At least one feature differs."""


@dataclass(frozen=True, slots=True)
class BinShare:
    """One bin of a feature, with the share of the texts that are in it."""

    name: str
    reference: float
    window: float


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How much the texts differ from the held-out texts in one feature."""

    feature: str
    psi: float
    """The population stability index."""
    test: HypothesisTest
    is_alarm: bool
    bins: tuple[BinShare, ...]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The comparison of texts with the held-out texts of the model."""

    texts: int
    """The number of texts that are compared."""
    reference_texts: int
    psi_alarm: float
    """The index from which on a feature can raise an alarm."""
    features: tuple[FeatureDrift, ...]
    """In the order of `classifier.drift.features.FEATURES`."""

    @property
    def status(self) -> DriftStatus:
        """What the comparison says."""
        if self.texts < MIN_TEXTS:
            return DriftStatus.COLLECTING
        return DriftStatus.DRIFTED if any(one.is_alarm for one in self.features) else DriftStatus.QUIET


def compare(
    reference: Reference, labels: Sequence[str], counts: Mapping[str, tuple[int, ...]], psi_alarm: float
) -> DriftReport:
    """Compare counts of texts, by feature, with the reference of a model that has these labels.

    A feature raises an alarm if the difference is large and also significant, and there are enough texts.
    """
    texts = sum(counts["label"])
    found = []
    for name, feature in reference.features.items():
        counted = counts[name]
        psi = population_stability_index(feature.counts, counted)
        test = feature.test(counted)
        is_alarm = texts >= MIN_TEXTS and psi >= psi_alarm and test.p_value < MAX_P_VALUE
        shares = zip(shares_of(feature.counts).tolist(), shares_of(counted).tolist(), strict=True)
        bins = tuple(
            BinShare(bin_, *both) for bin_, both in zip(feature.names(tuple(labels)), shares, strict=True)
        )
        found.append(FeatureDrift(name, psi, test, is_alarm, bins))
    return DriftReport(texts, reference.texts, psi_alarm, tuple(found))
