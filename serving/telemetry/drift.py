"""Compares the last texts of the service with the reference of its model."""

from collections.abc import Sequence

from classifier.drift.reference import Reference
from classifier.drift.report import DriftReport, compare
from classifier.drift.window import Bins, Window, features_of
from classifier.pipeline import ModelRun
from classifier.settings import DriftSettings

PENDING_TEXTS = 256
"""So many texts are counted together, because NumPy takes nearly as long for one text as for all of them."""


class DriftMonitor:
    """Holds the reference of a model and the window of the texts that it classified last.

    Only the thread that observes runs may ask for the report.
    """

    def __init__(self, reference: Reference | None, labels: Sequence[str], settings: DriftSettings) -> None:
        """Make a monitor that has seen no text; without a reference it compares nothing."""
        self._labels = labels
        self._settings = settings
        self._bins = None if reference is None else Bins(reference)
        self._window = None if self._bins is None else Window(self._bins, settings.window_texts)
        self._pending: list[ModelRun] = []
        self._pending_texts = 0

    def observe(self, run: ModelRun) -> None:
        """Count the texts of a run, at the latest when the next report is asked for."""
        if self._window is None:
            return
        self._pending.append(run)
        self._pending_texts += len(run.predicted)
        if self._pending_texts >= PENDING_TEXTS:
            self._count_pending(self._window)

    def report(self) -> DriftReport | None:
        """Compare the window with the reference; None if the model has none."""
        if self._bins is None or self._window is None:
            return None
        self._count_pending(self._window)
        counts = self._bins.by_feature(self._window.counts)
        return compare(self._bins.reference, self._labels, counts, self._settings.psi_alarm)

    def _count_pending(self, window: Window) -> None:
        if self._pending:
            window.add(features_of(self._pending))
            self._pending = []
            self._pending_texts = 0
