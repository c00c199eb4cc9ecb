"""Compare the texts of a file with the held-out texts of a model."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from classifier.drift.report import MIN_TEXTS, DriftReport, FeatureDrift, compare
from classifier.drift.window import Bins, features_of
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from training_import.rows import BadRow, Skipped, Tally

CHUNK = 256


@dataclass(frozen=True)
class SourceDrift:
    """The comparison of all texts of a source."""

    report: DriftReport
    skipped: Skipped
    """Its rows without a text."""


def measure_drift(
    classifier: Classifier,
    source: str,
    rows: Iterable[str | BadRow],
    psi_alarm: float,
    advance: Callable[[int], None] = lambda _: None,
) -> SourceDrift:
    """Compare all texts with the reference of the model; no more than a chunk of rows is in memory.

    `source` is the name of what has the rows. `advance` receives the number of rows of each finished chunk.
    Raises ClassifierError if the model has no reference, or if there are too few texts.
    """
    manifest = classifier.manifest
    if manifest.reference is None:
        raise ClassifierError(
            f"the model {manifest.name} has no reference to compare texts with; `text-classifier train` "
            "makes one, and so does `text-classifier import` with --data"
        )
    bins = Bins(manifest.reference)
    counts = np.zeros(bins.size, np.int64)
    tally = Tally()
    remaining = iter(rows)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        texts = [row for row in chunk if isinstance(row, str)]
        if texts:
            counts += bins.count(bins.places(features_of(list(classifier.runs(texts)))))
        for row in chunk:
            if isinstance(row, BadRow):
                tally.add(row)
        advance(len(chunk))
    skipped = tally.skipped()
    report = compare(manifest.reference, manifest.labels, bins.by_feature(counts), psi_alarm)
    if report.texts < MIN_TEXTS:
        few = f"{source} has {report.texts} texts; at least {MIN_TEXTS} are needed to compare them"
        raise ClassifierError(f"{few}; skipped: {skipped.reasons()}" if skipped.total else few)
    return SourceDrift(report, skipped)


def write_drift_plots(report: DriftReport, folder: Path) -> list[Path]:
    """Write an SVG file for each feature, with the shares of both samples in its bins; returns the paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for found in report.features:
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        _draw(axes, found, report.texts)
        paths.append(folder / f"drift_{found.feature}.svg")
        figure.savefig(paths[-1], metadata={"Date": None})
        plt.close(figure)
    return paths


def _draw(axes: Axes, found: FeatureDrift, texts: int) -> None:
    bins = [bin_ for bin_ in found.bins if bin_.reference or bin_.window]
    places = np.arange(len(bins))
    axes.bar(places - 0.2, [bin_.reference for bin_ in bins], 0.4, label="held-out texts", color="grey")
    axes.bar(places + 0.2, [bin_.window for bin_ in bins], 0.4, label=f"{texts:,} texts compared")
    axes.set_xticks(places, [bin_.name for bin_ in bins], rotation=30, ha="right")
    verdict = "drifted" if found.is_alarm else "quiet"
    axes.set(ylabel="share of texts", title=f"{found.feature}: PSI {found.psi:.3f}, {verdict}")
    axes.legend()
