"""The probabilities of an ensemble of classifiers, each of which was calibrated by itself.

They are those of scikit-learn's `CalibratedClassifierCV`: the scores of each member are calibrated, and the
probabilities of all members are averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from classifier.errors import ArtifactError
from classifier.runtimes.runtime import column_count

CALIBRATOR_NAMES = "calibrator_(slopes|intercepts|knots|x|y)"
"""A pattern for the names of the arrays."""

SMALLEST_PROBABILITY = 1e-12
"""A smaller probability becomes this one, because scores are logarithms of probabilities."""

_MAX_EXPONENT = 700


class EnsembleCalibration(BaseModel):
    """How the scores of the members become probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: int = Field(ge=1, le=1000)
    """How many members there are. The columns of the scores are those of the first member, then those of the
    second, and so on."""
    method: Literal["sigmoid", "isotonic", "temperature"]
    """sigmoid: 1 / (1 + exp(-(slope * score + intercept))) for each column; isotonic: a line through knots
    for each column, and beyond the first and last knot their values; temperature: the softmax of all scores
    of a member times one slope for each member. The first two are divided by their sum over the classes."""
    of_probabilities: bool = False
    """Whether the softmax of the scores is calibrated, instead of the scores themselves."""

    @model_validator(mode="after")
    def _temperature_reads_scores(self) -> Self:
        if self.of_probabilities and self.method == "temperature":
            raise ValueError(
                "method is 'temperature', which calibrates scores, so of_probabilities must be false"
            )
        return self


@dataclass(frozen=True, slots=True)
class Calibrators:
    """The calibrators of all members, ready to turn scores into probabilities."""

    settings: EnsembleCalibration
    classes: int
    slopes: NDArray[np.float64]
    """One for each column, or for each member with `temperature`; empty for isotonic ones."""
    intercepts: NDArray[np.float64]
    knots: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """The knots of each column: their scores, ascending, and their probabilities."""

    @classmethod
    def of(
        cls, settings: EnsembleCalibration, arrays: Mapping[str, NDArray[np.generic]], classes: int
    ) -> Self:
        """Take the arrays of the method; raises ArtifactError if they do not fit the settings.

        They are `calibrator_slopes` and, for sigmoids, `calibrator_intercepts`. Isotonic calibrators have
        `calibrator_x` and `calibrator_y` with the knots of one column after the other, and `calibrator_knots`
        with how many each column has.
        """
        columns = settings.members * column_count(classes)
        empty = np.empty(0)
        if settings.method == "isotonic":
            return cls(settings, classes, empty, empty, _knots(arrays, columns))
        if settings.method == "temperature":
            return cls(settings, classes, _numbers(arrays, "slopes", settings.members), empty, ())
        slopes = _numbers(arrays, "slopes", columns)
        return cls(settings, classes, slopes, _numbers(arrays, "intercepts", columns), ())

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the scores of n texts by all members, shape (n, columns), into probabilities (n, classes)."""
        members = self.settings.members
        of_members = scores.reshape(len(scores), members, -1)
        if self.settings.method == "temperature":
            return _mean(_softmax(_both_classes(of_members) * self.slopes[:, None]))
        if self.settings.of_probabilities:
            probabilities = _softmax(_both_classes(of_members))
            of_members = probabilities[:, :, 1:] if self.classes == 2 else probabilities
        flat = of_members.reshape(len(scores), -1)
        calibrated = (self._isotonic if self.knots else self._sigmoid)(flat)
        return _mean(self._normalized(calibrated.reshape(of_members.shape)))

    def _sigmoid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        exponents = np.clip(values * self.slopes + self.intercepts, -_MAX_EXPONENT, _MAX_EXPONENT)
        calibrated: NDArray[np.float64] = 1 / (1 + np.exp(-exponents))
        return calibrated

    def _isotonic(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = zip(values.T, self.knots, strict=True)
        return np.stack([np.interp(column, x, y) for column, (x, y) in columns], axis=1)

    def _normalized(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of each member, shape (n, members, classes)."""
        if self.classes == 2:
            return np.concatenate([1 - values, values], axis=2)
        sums = values.sum(axis=2, keepdims=True)
        equal = np.full_like(values, 1 / self.classes)
        normalized: NDArray[np.float64] = np.divide(values, sums, out=equal, where=sums != 0)
        return normalized


def _mean(of_members: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = of_members.mean(axis=1)
    return mean


def _both_classes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores with a column for each class; a single column is the second class's against the first."""
    return np.concatenate([np.zeros_like(scores), scores], axis=2) if scores.shape[2] == 1 else scores


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.exp(scores - scores.max(axis=2, keepdims=True))
    odds /= odds.sum(axis=2, keepdims=True)
    return odds


def _numbers(
    arrays: Mapping[str, NDArray[np.generic]], name: str, size: int | None = None
) -> NDArray[np.float64]:
    array = arrays.get(f"calibrator_{name}")
    if array is None or array.ndim != 1 or (size is not None and len(array) != size):
        shape = "missing" if array is None else f"of shape {array.shape}"
        wanted = "a flat array" if size is None else f"of shape ({size},)"
        raise ArtifactError(f"weights.npz: calibrator_{name} is {shape}; it must be {wanted}")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ArtifactError(f"weights.npz: calibrator_{name} has a number that is not finite")
    return numbers


def _knots(
    arrays: Mapping[str, NDArray[np.generic]], columns: int
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    numbers = _numbers(arrays, "knots", columns)
    x = _numbers(arrays, "x")
    y = _numbers(arrays, "y", len(x))
    # Larger counts could overflow as integers, and then add up to the number of knots.
    are_counts = ((numbers >= 1) & (numbers <= len(x)) & (numbers % 1 == 0)).all()
    if not are_counts or numbers.sum() != len(x):
        raise ArtifactError(f"weights.npz: calibrator_knots does not fit the {len(x)} knots")
    counts = numbers.astype(np.int64)
    stops = counts.cumsum()
    slices = [slice(int(stop - count), int(stop)) for stop, count in zip(stops, counts, strict=True)]
    if any((np.diff(x[cut]) < 0).any() for cut in slices):
        raise ArtifactError("weights.npz: calibrator_x must ascend within each column")
    if ((y < 0) | (y > 1)).any():
        raise ArtifactError("weights.npz: calibrator_y must be probabilities")
    return tuple((x[cut], y[cut]) for cut in slices)
