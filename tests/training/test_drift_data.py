"""Drift on real texts: reviews are quiet against reviews, and news raise the alarm after a bounded number."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from classifier.artifact import read_manifest
from classifier.drift.features import FEATURES, TextFeatures
from classifier.drift.reference import Reference
from classifier.drift.report import DriftReport, DriftStatus, compare
from classifier.drift.window import Bins, Window, features_of
from classifier.pipeline import Classifier, load_classifier
from classifier.settings import DriftSettings, PreprocessingSettings
from training_import.dataset import iterate_texts, read_dataset, read_texts
from training_import.evaluation.drift import measure_drift
from training_import.training.material import DataSets
from training_import.training.train import train

SETTINGS = DriftSettings()
ORDERS = 20
MAX_DELAY_TEXTS = 300
"""The alarm comes before so many news. A window of 1000 texts needs about a fifth of them."""
MAX_FALSE_ALARMS = 1
"""In 100 windows."""


def slices_of(features: TextFeatures, rows: np.ndarray) -> TextFeatures:
    return TextFeatures(*(getattr(features, name)[rows] for name in FEATURES))


def report_of(reference: Reference, bins: Bins, counts: np.ndarray) -> DriftReport:
    return compare(reference, ("negative", "positive"), bins.by_feature(counts), SETTINGS.psi_alarm)


@pytest.fixture(scope="module")
def trained_on_slice(project: Path) -> Classifier:
    data = DataSets(read_dataset(project / "tests/data/imdb_train.csv"))
    return Classifier(train(data, "linear", "slice", PreprocessingSettings(), 0).artifact)


def test_reviews_of_the_slice_are_quiet_and_its_news_are_not(project: Path, trained_on_slice: Classifier):
    reviews = iterate_texts(project / "tests/data/imdb_test.csv")
    news = iterate_texts(project / "tests/data/agnews_test.jsonl")
    quiet = measure_drift(trained_on_slice, "reviews", reviews, SETTINGS.psi_alarm).report
    assert quiet.status is DriftStatus.QUIET
    found = measure_drift(trained_on_slice, "news", news, SETTINGS.psi_alarm).report
    assert found.status is DriftStatus.DRIFTED
    assert {one.feature for one in found.features if one.is_alarm} >= {"characters", "unknown_share"}


@pytest.fixture(scope="module")
def reference(bundled: Path) -> Reference:
    found = read_manifest(bundled).reference
    assert found is not None
    return found


@pytest.fixture(scope="module")
def reviews(imdb: Path, bundled: Path) -> TextFeatures:
    return features_of(list(load_classifier(bundled).runs(read_texts(imdb / "test.parquet"))))


@pytest.fixture(scope="module")
def news(imdb: Path, bundled: Path) -> TextFeatures:
    texts = read_texts(imdb.parent / "agnews" / "test.parquet")
    return features_of(list(load_classifier(bundled).runs(texts)))


@pytest.mark.full_data
def test_all_test_reviews_together_are_quiet(reference: Reference, reviews: TextFeatures):
    bins = Bins(reference)
    assert report_of(reference, bins, bins.count(bins.places(reviews))).status is DriftStatus.QUIET


@pytest.mark.full_data
def test_hardly_any_of_100_windows_of_1000_reviews_raises_an_alarm(
    reference: Reference, reviews: TextFeatures, record_property: Callable[[str, object], None]
):
    random, bins = np.random.default_rng(0), Bins(reference)
    alarms, largest = 0, 0.0
    for _ in range(100):
        rows = random.choice(len(reviews.label), SETTINGS.window_texts, replace=False)
        report = report_of(reference, bins, bins.count(bins.places(slices_of(reviews, rows))))
        alarms += report.status is DriftStatus.DRIFTED
        largest = max(largest, *(found.psi for found in report.features))
    record_property("alarms", alarms)
    record_property("largest_psi", largest)
    assert alarms <= MAX_FALSE_ALARMS


def delays(reference: Reference, reviews: TextFeatures, news: TextFeatures) -> Iterator[int | None]:
    """For each order of the texts: how many news came before the alarm; None if the reviews raised it."""
    for order in range(ORDERS):
        random, bins = np.random.default_rng(order), Bins(reference)
        window = Window(bins, SETTINGS.window_texts)
        window.add(slices_of(reviews, random.permutation(len(reviews.label))[:2000]))
        arriving = slices_of(news, random.permutation(len(news.label)))
        came = 0
        while report_of(reference, bins, window.counts).status is DriftStatus.QUIET:
            window.add(slices_of(arriving, np.arange(came, came + 1)))
            came += 1
        yield came or None


@pytest.mark.full_data
def test_news_after_reviews_raise_the_alarm_within_a_bounded_number_of_texts(
    reference: Reference,
    reviews: TextFeatures,
    news: TextFeatures,
    record_property: Callable[[str, object], None],
):
    found = list(delays(reference, reviews, news))
    assert None not in found
    record_property("delays", found)
    assert max(found) <= MAX_DELAY_TEXTS
