"""Prometheus metrics of the edge. Labels come from the table of routes: a caller cannot make new series."""

import functools

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import Response

from serving.routes import ROUTES

OTHER_ROUTE = "other"
_PATHS = frozenset(route.path for route in ROUTES)

registry = CollectorRegistry()
ProcessCollector(registry=registry)
GCCollector(registry=registry)

_requests = Counter("classifier_requests", "Requests answered", ("route", "status"), registry=registry)
_seconds = Histogram(
    "classifier_request_duration_seconds",
    "Seconds from a request's headers to the end of its answer",
    ("route",),
    registry=registry,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
in_progress = Gauge("classifier_requests_in_progress", "Requests being answered", registry=registry)


def observe(path: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    count, duration = _series(path if path in _PATHS else OTHER_ROUTE, status)
    count.inc()
    duration.observe(seconds)


@functools.cache
def _series(route: str, status: int) -> tuple[Counter, Histogram]:
    return _requests.labels(route, str(status)), _seconds.labels(route)


async def metrics_response(request: Request) -> Response:  # noqa: ARG001
    """`GET /metrics`."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
