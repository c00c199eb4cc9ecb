"""What the metrics of the service say about the last minutes: rates, percentiles and means."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, nan
from threading import Lock
from time import monotonic

from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry.catalogue import METRICS, Metric

PROCESS_START = "process_start_time_seconds"
"""It tells processes apart: after a restart counters begin again, and a load balancer changes replicas."""

MIN_SECONDS = 2.0
"""Shortest time between two samples, however many visitors look."""

MAX_SAMPLES = 180

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Sample:
    """All series of the service at one moment."""

    at: float
    """In seconds, on a clock that never goes back."""
    values: dict[str, dict[Labels, float]]
    """The value of each series, by its name and its labels."""

    @property
    def process(self) -> float:
        """What the process that answered is known by."""
        return self.value(PROCESS_START)

    def value(self, series: str, **labels: Collection[str]) -> float:
        """The sum of all series of that name whose labels have one of these values."""
        return sum(
            value
            for found, value in self.values.get(series, {}).items()
            if all(dict(found)[name] in wanted for name, wanted in labels.items())
        )

    def by(self, metric: Metric) -> dict[str, float]:
        """The values of a counter or gauge with one label, by the value of the label."""
        (name,) = metric.labels
        return {dict(labels)[name]: value for labels, value in self.values.get(metric.name, {}).items()}


@dataclass(frozen=True)
class Span:
    """The time between two samples of the same process."""

    begin: Sample
    end: Sample

    @property
    def seconds(self) -> float:
        """The length of the time."""
        return self.end.at - self.begin.at

    def increase(self, series: str, **labels: Collection[str]) -> float:
        """By how much a counter grew."""
        return self.end.value(series, **labels) - self.begin.value(series, **labels)

    def rate(self, metric: Metric, **labels: Collection[str]) -> float:
        """By how much a counter grew in a second."""
        return self.increase(metric.name, **labels) / self.seconds

    def mean(self, metric: Metric) -> float:
        """The mean of what a histogram counted; NaN if it counted nothing."""
        count = self.increase(f"{metric.name}_count")
        return self.increase(f"{metric.name}_sum") / count if count else nan

    def quantile(self, metric: Metric, share: float, **labels: Collection[str]) -> float:
        """A quantile of a histogram, interpolated within its bucket as in Prometheus; NaN if it is empty."""
        series, bounds = f"{metric.name}_bucket", (*metric.buckets, inf)
        counts = [(bound, self.increase(series, le=(_bound(bound),), **labels)) for bound in bounds]
        total = counts[-1][1]
        if not total:
            return nan
        rank = share * total
        for (lower, below), (upper, up_to) in pairwise([(0.0, 0.0), *counts]):
            if up_to >= rank:
                if upper == inf:
                    return lower
                part = (rank - below) / (up_to - below) if up_to > below else 1.0
                return lower + (upper - lower) * part
        return nan


def _bound(value: float) -> str:
    return "+Inf" if value == inf else repr(float(value))


def parse_sample(text: str, at: float) -> Sample:
    """Read the text format of Prometheus; series that are not in the list of metrics are left out."""
    names = {series for metric in METRICS for series in metric.series} | {PROCESS_START}
    values: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name in names and not isnan(value):
                values.setdefault(name, {})[frozenset(labels.items())] = value
    return Sample(at, values)


class History:
    """The last samples of one service, which all visitors share."""

    def __init__(self, scrape: Callable[[], str], clock: Callable[[], float] = monotonic) -> None:
        self._scrape = scrape
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._lock = Lock()

    def refresh(self) -> Sequence[Sample]:
        """Ask the service, unless somebody just did; return the samples of the process that answered.

        Raises ServiceError.
        """
        with self._lock:
            if not self._samples or self._clock() - self._samples[-1].at >= MIN_SECONDS:
                sample = parse_sample(self._scrape(), self._clock())
                if self._samples and self._samples[-1].process != sample.process:
                    self._samples.clear()
                self._samples.append(sample)
            return tuple(self._samples)


def spans(samples: Sequence[Sample]) -> Iterator[Span]:
    """The times between neighbouring samples."""
    for begin, end in pairwise(samples):
        yield Span(begin, end)
