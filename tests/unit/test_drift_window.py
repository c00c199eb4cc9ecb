"""The window of the last texts, and the decision whether they differ from the held-out texts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.drift.features import FEATURES, TextFeatures
from classifier.drift.reference import Reference, build_reference
from classifier.drift.report import MIN_TEXTS, DriftReport, DriftStatus, compare
from classifier.drift.window import BLOCKS, Bins, Window, features_of
from classifier.pipeline import ModelRun

LABELS = ("negative", "positive")


def drawn(texts: int, seed: int = 0, **changes: np.ndarray) -> TextFeatures:
    """The features of texts from one distribution, with other values for some of them."""
    random = np.random.default_rng(seed)
    values = {
        "characters": random.integers(1, 5000, texts).astype(float),
        "unknown_share": random.random(texts),
        "confidence": random.random(texts),
        "label": random.integers(0, 2, texts),
    }
    return TextFeatures(**values | changes)


def part(features: TextFeatures, start: int, stop: int) -> TextFeatures:
    return TextFeatures(*(getattr(features, name)[start:stop] for name in FEATURES))


@pytest.fixture(scope="module")
def reference() -> Reference:
    found = build_reference(drawn(5000), 2)
    assert found is not None
    return found


def compared(reference: Reference, features: TextFeatures, psi_alarm: float = 0.2) -> DriftReport:
    bins = Bins(reference)
    counts = bins.count(bins.places(features))
    return compare(reference, LABELS, bins.by_feature(counts), psi_alarm)


@given(st.integers(200, 500), st.lists(st.integers(1, 300), max_size=12))
def test_the_window_counts_the_last_texts_and_at_most_a_block_more(texts, runs):
    bins = Bins(build_reference(drawn(5000), 2))
    window = Window(bins, texts)
    features = drawn(sum(runs), seed=1)
    start = 0
    for run in runs:
        window.add(part(features, start, start + run))
        start += run
    counted = int(window.counts.sum()) // len(FEATURES)
    assert min(start, texts) <= counted <= min(start, texts + -(-texts // BLOCKS) + BLOCKS)
    last = part(features, start - counted, start)
    assert window.counts.tolist() == bins.count(bins.places(last)).tolist()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_how_texts_are_spread_over_runs_does_not_change_the_window(runs):
    bins = Bins(build_reference(drawn(5000), 2))
    features = drawn(sum(runs), seed=2)
    together, apart = Window(bins, 200), Window(bins, 200)
    together.add(features)
    start = 0
    for run in runs:
        apart.add(part(features, start, start + run))
        start += run
    assert apart.counts.tolist() == together.counts.tolist()


def test_a_window_forgets_what_is_older(reference):
    bins = Bins(reference)
    window = Window(bins, 200)
    window.add(drawn(5000, seed=1, characters=np.full(5000, 1e6)))
    window.add(drawn(210, seed=2))
    assert bins.by_feature(window.counts)["characters"][-1] < 100


def test_the_bins_of_each_feature_are_apart(reference):
    bins = Bins(reference)
    features = drawn(300, seed=3)
    by_feature = bins.by_feature(bins.count(bins.places(features)))
    assert list(by_feature) == list(FEATURES)
    for name, counts in by_feature.items():
        places = reference.features[name].places(getattr(features, name))
        assert counts == tuple(np.bincount(places, minlength=len(counts)).tolist())


def run_of(probabilities: Sequence[Sequence[float]], characters: int) -> ModelRun:
    found = np.array(probabilities)
    texts = len(found)
    return ModelRun(
        characters=np.full(texts, characters),
        known=np.full(texts, 3),
        unknown=np.full(texts, 1),
        cut=np.zeros(texts, bool),
        scores=np.log(found),
        is_doubtful=np.zeros(texts, bool),
        probabilities=found,
        predicted=found.argmax(axis=1),
        tokenization_seconds=0.0,
        inference_seconds=0.0,
    )


def test_the_features_of_runs_are_in_their_order():
    found = features_of([run_of([[0.9, 0.1], [0.2, 0.8]], 5), run_of([[0.4, 0.6]], 7)])
    assert found.characters.tolist() == [5, 5, 7]
    assert found.unknown_share.tolist() == [0.25] * 3
    assert found.confidence.tolist() == [0.9, 0.8, 0.6]
    assert found.label.tolist() == [0, 1, 1]


def test_texts_like_the_held_out_ones_are_quiet(reference):
    report = compared(reference, drawn(1000, seed=4))
    assert report.status is DriftStatus.QUIET
    assert not any(found.is_alarm for found in report.features)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_differs_raises_its_alarm_and_no_other(reference, feature):
    value = {"characters": 1e6, "unknown_share": 2.0, "confidence": 2.0, "label": 1}[feature]
    changed = np.full(1000, value, np.intp if feature == "label" else float)
    report = compared(reference, drawn(1000, seed=4, **{feature: changed}))
    assert [found.feature for found in report.features if found.is_alarm] == [feature]
    assert report.status is DriftStatus.DRIFTED


def test_too_few_texts_raise_no_alarm_however_much_they_differ(reference):
    differing = drawn(MIN_TEXTS, characters=np.full(MIN_TEXTS, 1e6))
    assert compared(reference, part(differing, 0, MIN_TEXTS - 1)).status is DriftStatus.COLLECTING
    assert compared(reference, differing).status is DriftStatus.DRIFTED


def test_no_texts_are_compared_without_an_error(reference):
    report = compared(reference, drawn(0))
    assert (report.texts, report.status) == (0, DriftStatus.COLLECTING)
    assert [(found.psi, found.test.p_value) for found in report.features] == [(0, 1)] * len(FEATURES)


def test_a_significant_but_small_difference_raises_no_alarm(reference):
    features = drawn(100_000, seed=5)
    report = compared(reference, replace(features, characters=features.characters * 1.1))
    characters = report.features[0]
    assert characters.test.p_value < 1e-6
    assert characters.psi < 0.2
    assert not characters.is_alarm


def test_a_large_difference_that_chance_explains_raises_no_alarm():
    few = build_reference(drawn(50), 2)
    shifted = drawn(MIN_TEXTS, seed=6)
    report = compared(few, shifted, psi_alarm=0.01)
    assert all(found.psi > 0.01 for found in report.features[:3])
    assert report.status is DriftStatus.QUIET


def test_the_shares_of_a_feature_add_up_to_1(reference):
    for found in compared(reference, drawn(500, seed=7)).features:
        assert sum(bin_.reference for bin_ in found.bins) == pytest.approx(1)
        assert sum(bin_.window for bin_ in found.bins) == pytest.approx(1)
