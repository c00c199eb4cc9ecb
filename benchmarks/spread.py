"""A figure that was measured several times."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """A figure over the rounds."""

    median: float
    least: float
    greatest: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.least:{spec}}–{self.greatest:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """The median, the least and the greatest of one value or more."""
    return Spread(statistics.median(values), min(values), max(values))
