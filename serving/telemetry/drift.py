"""Compares the last texts of the service with the reference of its model."""

from collections.abc import Sequence

from classifier.drift.reference import Reference
from classifier.drift.report import DriftReport, compare
from classifier.drift.window import Bins, Window, features_of
from classifier.pipeline import ModelRun
from classifier.settings import DriftSettings
from serving.telemetry.pending_runs import PendingRuns


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
        self._pending = PendingRuns(self._count)

    def observe(self, run: ModelRun) -> None:
        """Count the texts of a run, at the latest when the next report is asked for."""
        if self._window is not None:
            self._pending.add(run)

    def report(self) -> DriftReport | None:
        """Compare the window with the reference; None if the model has none."""
        if self._bins is None or self._window is None:
            return None
        self._pending.count()
        counts = self._bins.by_feature(self._window.counts)
        return compare(self._bins.reference, self._labels, counts, self._settings.psi_alarm)

    def _count(self, runs: Sequence[ModelRun]) -> None:
        if self._window is not None:
            self._window.add(features_of(runs))
