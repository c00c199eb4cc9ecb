"""Spans of requests and batches for OpenTelemetry, sent over OTLP if an endpoint is configured.

The span of a request is in the trace of its client. It has the children `queue` and `batch`, and a `batch`
has the children `tokenization` and `inference`. A batch serves many requests, so it is also a trace by
itself: its span `run batch` links to the spans of its requests, and the `batch` of each request links back
to it. Spans are made from times that are taken anyway.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from classifier.batching.queue import FinishedBatch
from classifier.pipeline import Classifier, Prediction
from classifier.settings import TracingSettings
from serving.telemetry.exchange import Exchange
from serving.telemetry.logs import shown

SERVICE = "text-classifier"
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables, which its operator for Kubernetes sets. The first one is a whole URL."""

TRACES_PATH = "/v1/traces"
QUEUE, BATCH, RUN_BATCH = "queue", "batch", "run batch"
TOKENIZATION, INFERENCE = "tokenization", "inference"
LAST_SPANS_SECONDS = 2.0
"""Most seconds that the end of the service waits for the collector."""

TEXTS = "classifier.texts"
"""The attribute with the number of texts of a request or a batch."""


def new_tracer(settings: TracingSettings, classifier: Classifier) -> "Tracer | None":
    """The tracer that the settings or OpenTelemetry's variables ask for; None if they name no endpoint."""
    if settings.endpoint:
        return Tracer(settings.endpoint.rstrip("/") + TRACES_PATH, settings, classifier)
    if any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return Tracer(None, settings, classifier)
    return None


class Tracer:
    """Makes the spans of requests and batches."""

    def __init__(self, url: str | None, settings: TracingSettings, classifier: Classifier) -> None:
        """`url`: where spans are sent to; None leaves that to OpenTelemetry's variables."""
        # A collector that is away is one line for each failed export, not one for each attempt.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
        # These imports take 0.2 s, which a service without traces saves.
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        described = {
            "classifier.model.name": classifier.manifest.name,
            "classifier.model.digest": classifier.digest,
        }
        # The variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override what is given here.
        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
        resource = Resource.create({SERVICE_NAME: name, **described})
        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=url))
        share = TraceIdRatioBased(settings.sampled_share)
        trusting = ParentBased(share)
        # Inside of a trace of ours, the span of the request decides for its children.
        own = ParentBased(share, remote_parent_sampled=share, remote_parent_not_sampled=share)
        requests = TracerProvider(trusting if settings.clients_decide else own, resource)
        batches = TracerProvider(ALWAYS_ON, resource)
        for provider in (requests, batches):
            provider.add_span_processor(processor)
        self._processor = processor
        self._requests = requests.get_tracer(SERVICE)
        self._batches = batches.get_tracer(SERVICE)
        self._trace = trace
        self._context_of = TraceContextTextMapPropagator().extract
        self._epoch = time.time_ns() - time.perf_counter_ns()

    def begin(self, exchange: Exchange) -> bytes:
        """Start the span of a request; returns the id of its trace, 32 hexadecimal digits."""
        parent = exchange.headers.get(b"traceparent")
        state = exchange.headers.get(b"tracestate", b"")
        carrier = {"tracestate": state.decode("latin-1")}
        if parent is not None:
            carrier["traceparent"] = parent.decode("latin-1")
        span = self._requests.start_span(
            f"{exchange.method} {exchange.route}",
            self._context_of(carrier),
            self._trace.SpanKind.SERVER,
            start_time=self._nanoseconds(exchange.begin),
        )
        exchange.span = span
        return b"%032x" % span.get_span_context().trace_id

    def end(self, exchange: Exchange, status: int, end: float) -> None:
        """End the span of a request, and make its children."""
        span = exchange.span
        if span is None or not span.is_recording():
            return
        span.set_attributes(_attributes(exchange, status))
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        inside = self._trace.set_span_in_context(span)
        if exchange.queued_at is not None:
            begin = exchange.batches[0].begin if exchange.batches else end
            self._child(self._requests, inside, QUEUE, exchange.queued_at, begin)
        for batch in exchange.batches:
            links = [] if batch.span_context is None else [self._trace.Link(batch.span_context)]
            child = self._child(self._requests, inside, BATCH, batch.begin, batch.end, links, batch.texts)
            in_batch = self._trace.set_span_in_context(child)
            inference = batch.begin + batch.tokenization_seconds
            self._child(self._requests, in_batch, TOKENIZATION, batch.begin, inference)
            self._child(self._requests, in_batch, INFERENCE, inference, inference + batch.inference_seconds)
        span.end(self._nanoseconds(end))

    def batch(self, batch: FinishedBatch[Prediction]) -> Any:
        """Make the span of a batch and return its context; None if no request in it is sampled."""
        origins = {id(call.origin): call.origin for call, _ in batch.places if call.origin is not None}
        spans = [one.span for one in origins.values() if one.span is not None]
        sampled = [span.get_span_context() for span in spans if span.is_recording()]
        if not sampled:
            return None
        links = list(map(self._trace.Link, sampled))
        outside = self._context_of({})
        child = self._child(
            self._batches, outside, RUN_BATCH, batch.begin, batch.end, links, len(batch.outcomes)
        )
        return child.get_span_context()

    def close(self) -> None:
        """Send the spans that were not sent yet, unless that takes longer than `LAST_SPANS_SECONDS`."""
        # The thread is a daemon, so that the process can end before a collector that does not answer.
        sending = threading.Thread(target=self._processor.shutdown, daemon=True)
        sending.start()
        sending.join(LAST_SPANS_SECONDS)

    def _child(
        self,
        tracer: Any,
        context: Any,
        name: str,
        begin: float,
        end: float,
        links: Sequence[Any] = (),
        texts: int = 0,
    ) -> Any:
        """Make a span from a time that is over; `texts` is the number of texts in a batch."""
        attributes = {TEXTS: texts} if texts else {}
        child = tracer.start_span(
            name, context, links=links, attributes=attributes, start_time=self._nanoseconds(begin)
        )
        child.end(self._nanoseconds(end))
        return child

    def _nanoseconds(self, moment: float) -> int:
        """A time of `time.perf_counter` in nanoseconds since 1970."""
        return self._epoch + round(moment * 1e9)


def _attributes(exchange: Exchange, status: int) -> dict[str, str | int | float]:
    """What the span of a request says, by OpenTelemetry's names where it has some."""
    attributes: dict[str, str | int | float] = {
        "http.request.method": exchange.method,
        "http.route": exchange.route,
        "http.response.status_code": status,
        "url.path": shown(exchange.path),
        "classifier.request.id": exchange.request_id.decode(),
    }
    if exchange.refusal is not None:
        attributes["classifier.refusal"] = str(exchange.refusal)
    if exchange.predictions:
        attributes[TEXTS] = len(exchange.predictions)
    if len(exchange.predictions) == 1:
        attributes["classifier.label"] = exchange.predictions[0].label
        attributes["classifier.confidence"] = exchange.predictions[0].confidence
    return attributes
