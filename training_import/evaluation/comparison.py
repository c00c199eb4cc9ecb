"""Compare models on the same texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from classifier.artifact import Manifest, TrainingData
from classifier.errors import ClassifierError
from classifier.validation import listed
from training_import.dataset import Dataset

SIGNIFICANT = 0.05
"""A difference with a p-value below this is called more than chance."""

_SHOWN_CLASSES = 5


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same texts."""

    only_first: int
    """b: how many texts only the first model is right about."""
    only_second: int
    """c: how many texts only the second model is right about."""
    p_value: float
    """The probability of a difference at least as large, in either direction, if both are equally good."""

    @property
    def is_significant(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p_value < SIGNIFICANT


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Test whether two models, which are right (n) or wrong about the same n texts, are equally good.

    Only the texts count that one model alone is right about. If the models are equally good, each of these is
    as likely to be right in the first as in the second. The p-value is that of the two-sided binomial test,
    which is exact for any number of texts (McNemar, Psychometrika 12, 1947; for classifiers: Dietterich,
    Neural Computation 10, 1998).
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    apart = only_first + only_second
    p_value = float(stats.binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
    return McNemar(only_first, only_second, p_value)


def check_same_classes(models: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise ClassifierError unless all models have the same classes, in any order.

    Each model is its tag and its classes.
    """
    first, expected = models[0]
    for tag, labels in models[1:]:
        missing, surplus = set(expected) - set(labels), set(labels) - set(expected)
        if missing or surplus:
            differences = [
                *([f"without {_shown(missing)}"] if missing else []),
                *([f"with {_shown(surplus)} in addition"] if surplus else []),
            ]
            raise ClassifierError(
                f"{tag} has other classes than {first}: {' and '.join(differences)}; only models with the "
                "same classes are compared"
            )


def check_same_kind(models: Sequence[tuple[str, bool]]) -> None:
    """Raise ClassifierError unless all models give a text one label, or all of them several.

    Each model is its tag and whether it gives several.
    """
    kinds = {has_several: tag for tag, has_several in models}
    if len(kinds) > 1:
        raise ClassifierError(
            f"{kinds[True]} can give a text several labels, and {kinds[False]} gives it exactly one; their "
            "figures are not the same, so they are not compared"
        )


def data_trained_on(manifest: Manifest, dataset: Dataset) -> TrainingData | None:
    """Return what the manifest says of this data set if the model was trained on it, or None."""
    known = [data for data in (manifest.trained_on, *manifest.short_trained_on) if data is not None]
    return next((data for data in known if data.sha256 == dataset.sha256), None)


def _shown(labels: set[str]) -> str:
    return listed([repr(label) for label in sorted(labels)], _SHOWN_CLASSES)
