"""Keeps runs of the model until it is worth counting their texts."""

from collections.abc import Callable, Sequence

from classifier.pipeline import ModelRun

PENDING_TEXTS = 256
"""Texts that are counted together, because NumPy takes nearly as long for one text as for all of them."""


class PendingRuns:
    """Runs whose texts are not counted yet."""

    def __init__(self, count: Callable[[Sequence[ModelRun]], None]) -> None:
        """`count` receives the runs when they have `PENDING_TEXTS` texts together."""
        self._count = count
        self._runs: list[ModelRun] = []
        self._texts = 0

    def add(self, run: ModelRun) -> None:
        """Add a run; count all of them if there are enough texts."""
        self._runs.append(run)
        self._texts += len(run.predicted)
        if self._texts >= PENDING_TEXTS:
            self.count()

    def count(self) -> None:
        """Count all of them now, because somebody asks for the counts."""
        if self._runs:
            runs, self._runs, self._texts = self._runs, [], 0
            self._count(runs)
