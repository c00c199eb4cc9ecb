"""The metrics of the HTTP edge."""

import pytest

from serving.metrics import SECONDS, RequestMetrics


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_request_that_took_just_as_long_as_a_bucket_s_bound_is_counted_in_it(seconds: float) -> None:
    metrics = RequestMetrics()
    metrics.observe("/predict", 200, seconds)
    _, duration, _ = metrics.collect()
    counted = {
        float(sample.labels["le"]): sample.value
        for sample in duration.samples
        if sample.name.endswith("_bucket")
    }
    assert counted == {bound: float(bound >= seconds) for bound in counted}
