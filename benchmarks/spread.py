"""The spread of a figure that was measured several times."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median, the lowest and the highest value of a figure over the rounds."""

    median: float
    lowest: float
    highest: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.lowest:{spec}}–{self.highest:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of one or more values."""
    return Spread(statistics.median(values), min(values), max(values))
