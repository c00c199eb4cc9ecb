"""Prometheus metrics of the edge. Labels come from the table of routes, so no client can add series."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import Response

from serving.routes import ROUTES

OTHER_ROUTE = "other"
_PATHS = frozenset(route.path for route in ROUTES)

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, except for the last one, which has none."""
_BUCKETS = [*map(str, SECONDS), "+Inf"]


class RequestMetrics(Collector):
    """Counts requests in plain numbers. Only the event loop writes them.

    Counters of prometheus_client would take ten times as long, because BentoML makes it keep them in files.
    """

    def __init__(self) -> None:
        self.in_progress = 0
        self._answered: Counter[tuple[str, int]] = Counter()
        self._in_bucket: dict[str, list[int]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        route = path if path in _PATHS else OTHER_ROUTE
        self._answered[route, status] += 1
        if route not in self._in_bucket:
            self._in_bucket[route] = [0] * len(_BUCKETS)
        self._in_bucket[route][bisect_left(SECONDS, seconds)] += 1
        self._seconds[route] += seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics with what has been counted so far."""
        answered = CounterMetricFamily("classifier_requests", "Requests answered", labels=("route", "status"))
        for (route, status), count in self._answered.items():
            answered.add_metric((route, str(status)), count)
        yield answered
        duration = HistogramMetricFamily(
            "classifier_request_duration_seconds",
            "Seconds from a request's headers to the end of its answer",
            labels=("route",),
        )
        for route, counts in self._in_bucket.items():
            buckets = list(zip(_BUCKETS, accumulate(counts), strict=True))
            duration.add_metric((route,), buckets, self._seconds[route])
        yield duration
        yield GaugeMetricFamily(
            "classifier_requests_in_progress", "Requests being answered", self.in_progress
        )


class Metrics:
    """Everything that `GET /metrics` reports: requests, this process and its garbage collector."""

    def __init__(self) -> None:
        self.requests = RequestMetrics()
        self.registry = CollectorRegistry()
        self.registry.register(self.requests)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def response(self) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
