"""Compare the texts of a file with the held-out texts of a model."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from classifier.drift.report import MIN_TEXTS, DriftReport, FeatureDrift, compare
from classifier.drift.window import Bins, features_of
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier

CHUNK = 256


def measure_drift(
    classifier: Classifier,
    texts: Iterable[str],
    psi_alarm: float,
    advance: Callable[[int], None] = lambda _: None,
) -> DriftReport:
    """Compare all texts with the reference of the model; no more than a chunk of them is in memory.

    `advance` receives the number of texts of each finished chunk. Raises ClassifierError if the model has no
    reference, or if there are too few texts.
    """
    manifest = classifier.manifest
    if manifest.reference is None:
        raise ClassifierError(
            f"the model {manifest.name} has no reference to compare texts with; `text-classifier train` "
            "makes one, and so does `text-classifier import` with --data"
        )
    bins = Bins(manifest.reference)
    counts = np.zeros(bins.size, np.int64)
    remaining = iter(texts)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        counts += bins.count(bins.places(features_of(list(classifier.runs(chunk)))))
        advance(len(chunk))
    report = compare(manifest.reference, manifest.labels, bins.by_feature(counts), psi_alarm)
    if report.texts < MIN_TEXTS:
        raise ClassifierError(
            f"there are {report.texts} texts; at least {MIN_TEXTS} are needed to compare them"
        )
    return report


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
