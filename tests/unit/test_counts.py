"""Counts in one vector: buckets, sums, and the addition of several processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.telemetry import catalogue
from serving.telemetry.catalogue import METRICS, SECONDS
from serving.telemetry.counts import Counts

COUNTED = [metric for metric in METRICS if metric.kind != "gauge"]
LABELS = {
    "route": ("/predict", "other"),
    "status_class": ("2xx", "5xx"),
    "reason": ("draining",),
    "label": ("a", "b"),
    "known": ("yes", "no"),
    "outcome": ("right", "wrong"),
}
DURATION = catalogue.QUEUE_DURATION
observations = st.lists(st.floats(0, 100), max_size=20)


def samples(counts: Counts) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in counts.families()
        for sample in family.samples
    }


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_duration_equal_to_a_buckets_bound_counts_in_that_bucket(seconds: float) -> None:
    counts = Counts([DURATION], {})
    counts.histogram(DURATION).observe(seconds)
    counted = {
        float(sample.labels["le"]): sample.value
        for family in counts.families()
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert counted == {bound: float(bound >= seconds) for bound in [*SECONDS, float("inf")]}


@given(observations)
def test_values_that_are_counted_together_count_as_one_after_the_other(values: list[float]) -> None:
    together, apart = Counts([DURATION], {}), Counts([DURATION], {})
    together.histogram(DURATION).observe_all(np.array(values))
    for value in values:
        apart.histogram(DURATION).observe(value)
    assert together.values == pytest.approx(apart.values)


@given(observations, observations, st.integers(0, 9))
def test_the_counts_of_two_processes_add_up_to_those_of_one(
    first: list[float], second: list[float], requests: int
) -> None:
    one, other, both = (Counts(COUNTED, LABELS) for _ in range(3))
    for counts, values in ((one, first), (other, second), (both, [*first, *second])):
        for value in values:
            counts.histogram(DURATION).observe(value)
    for counts in (other, both):
        counts.counter(catalogue.REQUESTS).add("/predict", "5xx", amount=requests)
    one.values[:] = map(sum, zip(one.values, other.values, strict=True))
    assert samples(one) == pytest.approx(samples(both))


def test_every_series_exists_before_anything_is_counted() -> None:
    found = samples(Counts(COUNTED, LABELS))
    assert set(found.values()) == {0.0}
    assert {name for name, _ in found} == {name for metric in COUNTED for name in metric.series}
    assert ("classifier_requests_total", (("route", "other"), ("status_class", "5xx"))) in found


def test_a_label_that_is_not_listed_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        Counts(COUNTED, LABELS).counter(catalogue.REQUESTS).add("/made-up", "2xx")
