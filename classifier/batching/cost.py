"""Predicts how long a batch takes, and how long it takes until the queue is empty.

Sizes are in the runtime's units of cost, such as the bytes of the texts.
"""

import math
import time
from collections.abc import Callable, Sequence

MAX_GROWTH = 2
"""Largest ratio of a batch's size to that of the largest batch before it."""

CALIBRATION_RUNS = 10
"""Most runs of each sample. Only the shortest counts, because other processes interrupt some. On a busy
machine a byte seemed to cost up to 150 ns with 3 runs and up to 74 ns with 10; it really costs 60 ns."""

CALIBRATION_SECONDS = 0.05
"""Seconds after which no further run of a sample begins."""

_KEPT = 0.95
"""Factor by which the weight of all earlier batches falls with each new one."""


class CostModel:
    """Predicts the seconds of a batch from its size, by a straight line fitted to past batches."""

    def __init__(self) -> None:
        self._count = self._x = self._y = self._xx = self._xy = 0.0
        self._slope = self._base = 0.0
        self._min_slope = 1e-12
        self._largest = 0

    def learn(self, size: int, seconds: float) -> None:
        """Learn from a batch of this size that took this time."""
        self._largest = max(self._largest, size)
        self._count = _KEPT * self._count + 1
        self._x = _KEPT * self._x + size
        self._y = _KEPT * self._y + seconds
        self._xx = _KEPT * self._xx + size * size
        self._xy = _KEPT * self._xy + size * seconds
        x, y = self._x / self._count, self._y / self._count
        variance = self._xx / self._count - x * x
        slope = (self._xy / self._count - x * y) / variance if variance > 1 else y / x
        # An empty batch cannot take less than no time.
        self._slope = max(min(slope, y / x), self._min_slope)
        self._base = max(y - self._slope * x, 0.0)

    def raise_min_slope(self, seconds: float) -> None:
        """From the next batch on, never predict fewer seconds than this for a unit of size."""
        self._min_slope = max(self._min_slope, seconds)

    def seconds(self, size: int) -> float:
        """The predicted time of a batch; infinite before `learn` was called."""
        if not self._largest:
            return math.inf
        return self._base + self._slope * size

    def max_size(self, seconds: float) -> float:
        """The size of the largest batch that may run within a time; 0 before `learn` was called."""
        if not self._largest:
            return 0
        return min((seconds - self._base) / self._slope, MAX_GROWTH * self._largest)


class Pace:
    """How fast the queue gets shorter under load, including the time between the batches."""

    def __init__(self) -> None:
        # A guess, one text of a light model; the first real batches outweigh it.
        self._size, self._seconds = 100.0, 7e-6

    def learn(self, size: int, seconds: float) -> None:
        """Learn from a batch of this size that ended this time after the batch before it."""
        self._size = _KEPT * self._size + size
        self._seconds = _KEPT * self._seconds + seconds

    def seconds(self, size: int) -> float:
        """How long it will probably take to run a queue of this size."""
        return size * self._seconds / self._size


def calibrate(
    model: CostModel,
    run: Callable[[Sequence[str]], object],
    size_of: Callable[[str], int],
    samples: Sequence[Sequence[str]],
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Fit a cost model to samples of typical texts, before any client waits. Raises what `run` raises.

    Each sample runs alone, and then with a copy of itself in one batch. From then on a unit is never
    predicted to cost less than the copy did in the most expensive sample. Otherwise, after many cheap texts,
    a batch could be so large that it takes very long with usual ones.
    """
    for sample in samples:
        size = sum(map(size_of, sample))
        once = _shortest_run(run, sample, clock)
        twice = _shortest_run(run, [*sample, *sample], clock)
        model.learn(size, once)
        model.learn(2 * size, twice)
        model.raise_min_slope((twice - once) / size)


def _shortest_run(
    run: Callable[[Sequence[str]], object], texts: Sequence[str], clock: Callable[[], float]
) -> float:
    """The seconds of the shortest of several runs."""
    seconds: list[float] = []
    while len(seconds) < CALIBRATION_RUNS and sum(seconds) < CALIBRATION_SECONDS:
        begin = clock()
        run(texts)
        seconds.append(clock() - begin)
    return min(seconds)
