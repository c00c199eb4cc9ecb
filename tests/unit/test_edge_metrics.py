"""The request metrics."""

import pytest

from serving.metrics import SECONDS, RequestMetrics


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_duration_equal_to_a_buckets_bound_counts_in_that_bucket(seconds: float) -> None:
    metrics = RequestMetrics()
    metrics.observe("/predict", 200, seconds)
    _, duration, _ = metrics.collect()
    counted = {
        float(sample.labels["le"]): sample.value
        for sample in duration.samples
        if sample.name.endswith("_bucket")
    }
    assert counted == {bound: float(bound >= seconds) for bound in counted}
