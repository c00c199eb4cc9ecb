"""Counts in one vector of plain numbers, whose places are known before the first request.

The counts of several processes with the same model are added up number by number. Counters of
prometheus_client would take ten times as long, because BentoML makes it keep them in files.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, product

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from serving.telemetry.catalogue import Metric

LabelValues = Mapping[str, Sequence[str]]
"""All values of each label, by the label's name."""


class Counter:
    """The places of one counter: one for each combination of its labels' values."""

    def __init__(self, values: list[float], metric: Metric, labels: LabelValues) -> None:
        self.metric = metric
        self._values = values
        combinations = list(product(*(labels[name] for name in metric.labels)))
        self._places = {labels: len(values) + number for number, labels in enumerate(combinations)}
        values += [0.0] * len(combinations)

    def place(self, *labels: str) -> int:
        """The place of the count with these labels."""
        return self._places[labels]

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Count something with these labels."""
        self._values[self._places[labels]] += amount

    def family(self) -> Family:
        """The counts as Prometheus reads them."""
        found = CounterMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for labels, place in self._places.items():
            found.add_metric(labels, self._values[place])
        return found


class Histogram:
    """The places of a histogram of one combination of labels: its buckets, and the sum."""

    __slots__ = ("_bounds", "_start", "_sum", "_values")

    def __init__(self, values: list[float], bounds: Sequence[float]) -> None:
        self._values = values
        self._bounds = bounds
        self._start = len(values)
        self._sum = self._start + len(bounds) + 1
        values += [0.0] * (len(bounds) + 2)

    def observe(self, value: float) -> None:
        """Count one value; a value that equals a bound is in the bucket of that bound."""
        values = self._values
        values[self._start + bisect_left(self._bounds, value)] += 1.0
        values[self._sum] += value

    def observe_all(self, observed: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """Count n values."""
        buckets = np.bincount(np.searchsorted(self._bounds, observed), minlength=len(self._bounds) + 1)
        for place, count in enumerate(buckets.tolist(), start=self._start):
            self._values[place] += count
        self._values[self._sum] += float(observed.sum())

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """The cumulative count below each bound, and the sum of all values."""
        bounds = [*map(str, self._bounds), "+Inf"]
        counts = accumulate(self._values[self._start : self._sum])
        return list(zip(bounds, counts, strict=True)), self._values[self._sum]


class Histograms:
    """The histograms of one metric, one for each combination of its labels' values."""

    def __init__(self, values: list[float], metric: Metric, labels: LabelValues) -> None:
        self.metric = metric
        self._by_labels = {
            combination: Histogram(values, metric.buckets)
            for combination in product(*(labels[name] for name in metric.labels))
        }

    def __getitem__(self, labels: tuple[str, ...]) -> Histogram:
        return self._by_labels[labels]

    def family(self) -> Family:
        """The counts as Prometheus reads them."""
        found = HistogramMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for labels, histogram in self._by_labels.items():
            found.add_metric(labels, *histogram.buckets())
        return found


class Counts:
    """All counts of a process."""

    def __init__(self, metrics: Sequence[Metric], labels: LabelValues) -> None:
        """`metrics` are counters and histograms; `labels` has all values of each of their labels."""
        self.values: list[float] = []
        """The numbers of all counts. In every process with the same model they have the same places."""
        self._counters: dict[Metric, Counter] = {}
        self._histograms: dict[Metric, Histograms] = {}
        for metric in metrics:
            if metric.kind == "counter":
                self._counters[metric] = Counter(self.values, metric, labels)
            else:
                self._histograms[metric] = Histograms(self.values, metric, labels)

    def counter(self, metric: Metric) -> Counter:
        """The counter of this metric."""
        return self._counters[metric]

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        """The histogram of this metric with these labels."""
        return self._histograms[metric][labels]

    def families(self) -> Iterator[Family]:
        """All counts as Prometheus reads them."""
        yield from (counter.family() for counter in self._counters.values())
        yield from (histograms.family() for histograms in self._histograms.values())
