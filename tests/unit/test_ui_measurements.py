"""What the metrics of a service say about the time between two samples."""

from collections.abc import Iterator, Sequence
from itertools import count
from math import isnan

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.utils import floatToGoString

from serving.telemetry.catalogue import (
    BATCH_TEXTS,
    METRICS,
    QUEUE_TEXTS,
    REFUSALS,
    REQUESTS,
)
from ui.measurements import MAX_SAMPLES, MIN_SECONDS, PROCESS_START, History, Span, parse_sample, spans


def requests(ok: int, failed: int = 0, process: float = 1.0) -> str:
    """Metrics of a process with some requests."""
    series = f'{REQUESTS.name}{{route="/predict",method="POST",status_class='
    return f'{PROCESS_START} {process}\n{series}"2xx"}} {ok}\n{series}"5xx"}} {failed}\n'


def histogram(name: str, values: Sequence[float], buckets: Sequence[float]) -> str:
    """What the library of Prometheus writes of a histogram that has seen these values."""
    registry = CollectorRegistry()
    seen = Histogram(name, "some values", registry=registry, buckets=buckets)
    for value in values:
        seen.observe(value)
    return generate_latest(registry).decode()


def batches(before: Sequence[float], after: Sequence[float]) -> Span:
    """The time in which a histogram of batches grew."""
    begin, end = (histogram(BATCH_TEXTS.name, values, BATCH_TEXTS.buckets) for values in (before, after))
    return Span(parse_sample(begin, 0.0), parse_sample(end, 10.0))


@pytest.fixture
def clock() -> Iterator[int]:
    """A clock that goes on by the shortest time between two samples each time it is read."""
    return count(step=int(MIN_SECONDS))


def served(answers: Sequence[str], times: Sequence[float]) -> History:
    """A history of a service with these answers, on a clock with these times."""
    return History(iter(answers).__next__, iter(times).__next__)


def test_a_value_is_the_sum_of_the_series_with_the_labels() -> None:
    assert parse_sample(requests(5, 2), 0.0).value(REQUESTS.name, route=("/predict",)) == 7


def test_a_value_leaves_out_series_with_other_labels() -> None:
    assert parse_sample(requests(5, 2), 0.0).value(REQUESTS.name, status_class=("5xx",)) == 2


def test_a_series_that_is_not_there_has_the_value_zero() -> None:
    assert parse_sample("", 0.0).value(QUEUE_TEXTS.name) == 0


def test_metrics_that_are_not_in_the_list_are_left_out() -> None:
    assert parse_sample("python_info 1\n", 0.0).values == {}


def test_values_that_are_no_numbers_are_left_out() -> None:
    assert parse_sample(f"{QUEUE_TEXTS.name} NaN\n", 0.0).values == {}


def test_a_metric_with_one_label_is_listed_by_it() -> None:
    (label,) = REFUSALS.labels
    text = f'{REFUSALS.name}{{{label}="a"}} 1\n{REFUSALS.name}{{{label}="b"}} 2\n'
    assert parse_sample(text, 0.0).by(REFUSALS) == {"a": 1.0, "b": 2.0}


def test_a_rate_is_the_increase_in_a_second() -> None:
    span = Span(parse_sample(requests(10), 100.0), parse_sample(requests(60), 110.0))
    assert span.rate(REQUESTS, status_class=("2xx",)) == 5


def test_a_mean_is_of_what_was_counted_in_the_span() -> None:
    assert batches([100], [100, 2, 4]).mean(BATCH_TEXTS) == 3


def test_a_mean_of_nothing_is_not_a_number() -> None:
    assert isnan(batches([100], [100]).mean(BATCH_TEXTS))


def test_a_quantile_is_interpolated_in_its_bucket() -> None:
    # Of ten values between 4 and 8, half are taken to be below 6.
    assert batches([], [5.0] * 10).quantile(BATCH_TEXTS, 0.5) == pytest.approx(6.0)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert batches([], [5000.0]).quantile(BATCH_TEXTS, 0.5) == BATCH_TEXTS.buckets[-1]


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert isnan(batches([3], [3]).quantile(BATCH_TEXTS, 0.5))


def test_a_quantile_leaves_out_what_was_counted_before_the_span() -> None:
    assert batches([900.0] * 50, [*[900.0] * 50, 1.0]).quantile(BATCH_TEXTS, 0.99) <= 1.0


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.buckets], ids=lambda one: one.name)
def test_bounds_are_written_as_the_service_writes_them(metric: object) -> None:
    found = parse_sample(histogram(metric.name, [], metric.buckets), 0.0)
    bounds = {dict(labels)["le"] for labels in found.values[f"{metric.name}_bucket"]}
    assert bounds == {floatToGoString(bound) for bound in (*metric.buckets, float("inf"))}


def test_neighbouring_samples_make_a_span() -> None:
    samples = [parse_sample(requests(0), float(at)) for at in range(3)]
    assert [span.seconds for span in spans(samples)] == [1.0, 1.0]


def test_a_sample_that_is_young_is_taken_again() -> None:
    history = served([requests(1), requests(2)], [0.0, MIN_SECONDS / 2])
    history.refresh()
    assert len(history.refresh()) == 1


def test_an_old_sample_is_followed_by_a_new_one(clock: Iterator[int]) -> None:
    history = History(lambda: requests(1), clock.__next__)
    history.refresh()
    assert len(history.refresh()) == 2


def test_samples_of_another_process_are_dropped(clock: Iterator[int]) -> None:
    history = History(iter([requests(9), requests(1, process=2.0)]).__next__, clock.__next__)
    history.refresh()
    assert [sample.process for sample in history.refresh()] == [2.0]


def test_a_failed_scrape_keeps_the_samples(clock: Iterator[int]) -> None:
    answers: Iterator[str] = iter([requests(1), requests(2)])
    is_away = iter([False, True, False])

    def scrape() -> str:
        if next(is_away):
            raise ConnectionError
        return next(answers)

    history = History(scrape, clock.__next__)
    history.refresh()
    with pytest.raises(ConnectionError):
        history.refresh()
    assert len(history.refresh()) == 2


def test_only_so_many_samples_are_kept(clock: Iterator[int]) -> None:
    history = History(lambda: requests(1), clock.__next__)
    for _ in range(MAX_SAMPLES + 1):
        samples = history.refresh()
    assert len(samples) == MAX_SAMPLES
