"""Spans over OTLP, as a collector receives them."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from recording import recorder
from structlog.testing import capture_logs

from classifier.batching.queue import Call, FinishedBatch
from classifier.errors import Refusal
from classifier.pipeline import Classifier, ModelRun, Prediction, load_classifier
from classifier.settings import TracingSettings
from serving.telemetry.exchange import Exchange
from serving.telemetry.recorder import Recorder
from serving.telemetry.traces import ENDPOINT_VARIABLES, new_tracer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {b"traceparent": f"00-{TRACE}-{PARENT}-01".encode()}
NOT_SAMPLED = {b"traceparent": f"00-{TRACE}-{PARENT}-00".encode()}


class Collector:
    """A collector that takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[Mapping[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                content = self.rfile.read(int(self.headers["content-length"]))
                for sent in ExportTraceServiceRequest.FromString(content).resource_spans:
                    collector.resources.append(values(sent.resource.attributes))
                    for scope in sent.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, args=[0.01])
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@pytest.fixture(scope="module")
def classifier(bundled: Path) -> Classifier:
    return load_classifier(bundled)


@pytest.fixture
def recording(collector: Collector, classifier: Classifier) -> Callable[[float], Recorder]:
    def recording(share: float = 1.0) -> Recorder:
        tracer = new_tracer(TracingSettings(endpoint=collector.url, sampled_share=share), classifier)
        return recorder(tracer=tracer)

    return recording


def run_together(recording: Recorder, exchanges: list[Exchange]) -> None:
    """Record one batch that starts 3 ms after the first request and takes 2 ms, one of them for tokens."""
    ones = np.ones(len(exchanges), np.int64)
    probabilities = np.tile([0.25, 0.75], (len(exchanges), 1))
    run = ModelRun(ones, ones, ones, ones > 1, probabilities, ones > 1, probabilities, ones, 0.001, 0.001)
    prediction = Prediction("positive", 1, {"negative": 0.25, "positive": 0.75}, run=run)
    begin = exchanges[0].begin
    calls: list[Call[Prediction]] = [
        Call(["a"], [1], begin + 9, None, [None], 1, begin + 0.001, exchange)  # type: ignore[arg-type]
        for exchange in exchanges
    ]
    places = [(call, 0) for call in calls]
    recording.batch(FinishedBatch(places, [prediction] * len(calls), False, begin + 0.003, begin + 0.005))
    for exchange in exchanges:
        exchange.predictions = [prediction]


def sent(recording: Recorder) -> None:
    assert recording.tracer is not None
    recording.tracer.close()


def milliseconds(span: Any) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


def test_a_request_has_children_for_the_queue_the_batch_and_the_model(
    collector: Collector, recording: Callable[..., Recorder], classifier: Classifier
) -> None:
    here = recording()
    exchange = here.begin("POST", "/predict", SAMPLED)
    run_together(here, [exchange])
    here.end(exchange, 200)
    sent(here)
    (request,) = collector.named("POST /predict")
    assert request.trace_id.hex() == TRACE
    assert exchange.request_id.decode() == f"{TRACE}-{PARENT}"
    assert request.parent_span_id.hex() == PARENT
    assert values(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "url.path": "/predict",
        "classifier.request.id": f"{TRACE}-{PARENT}",
        "classifier.texts": 1,
        "classifier.label": "positive",
        "classifier.confidence": 0.75,
    }
    parents = {"queue": request, "batch": request}
    parents |= dict.fromkeys(["tokenization", "inference"], collector.named("batch")[0])
    lengths = {"queue": 2.0, "batch": 2.0, "tokenization": 1.0, "inference": 1.0}
    for name, parent in parents.items():
        (span,) = collector.named(name)
        assert (span.trace_id, span.parent_span_id) == (request.trace_id, parent.span_id)
        assert milliseconds(span) == pytest.approx(lengths[name], abs=0.001)
        assert request.start_time_unix_nano <= span.start_time_unix_nano
    assert collector.resources[0]["service.name"] == "text-classifier"
    assert collector.resources[0]["classifier.model.digest"] == classifier.digest


def test_a_batch_and_its_requests_link_to_each_other(
    collector: Collector, recording: Callable[..., Recorder]
) -> None:
    here = recording()
    exchanges = [here.begin("POST", "/predict", {}) for _ in range(3)]
    run_together(here, exchanges)
    for exchange in exchanges:
        here.end(exchange, 200)
    sent(here)
    (batch,) = collector.named("run batch")
    requests = collector.named("POST /predict")
    assert {link.span_id for link in batch.links} == {request.span_id for request in requests}
    assert len(batch.links) == 3
    assert values(batch.attributes) == {"classifier.texts": 3}
    links = [link for span in collector.named("batch") for link in span.links]
    assert [(link.trace_id, link.span_id) for link in links] == [(batch.trace_id, batch.span_id)] * 3
    assert batch.trace_id not in {request.trace_id for request in requests}


def test_without_an_id_of_the_client_the_id_of_the_request_is_that_of_its_trace(
    collector: Collector, recording: Callable[..., Recorder]
) -> None:
    here = recording()
    made, own = here.begin("GET", "/", {}), here.begin("GET", "/", {b"x-request-id": b"mine"})
    for exchange in (made, own):
        here.end(exchange, 200)
    sent(here)
    traces = {
        values(span.attributes)["classifier.request.id"]: span.trace_id.hex() for span in collector.spans
    }
    assert traces[made.request_id.decode()] == made.request_id.decode()
    assert traces["mine"] != "mine"


def test_the_log_line_of_a_request_names_its_trace(recording: Callable[..., Recorder]) -> None:
    here = recording()
    here.access_log.is_verbose = True
    with capture_logs() as log:
        here.end(here.begin("POST", "/predict", SAMPLED | {b"x-request-id": b"mine"}), 200)
    assert (log[0]["request_id"], log[0]["trace_id"]) == ("mine", TRACE)


def test_probes_and_scrapes_have_no_spans(collector: Collector, recording: Callable[..., Recorder]) -> None:
    here = recording()
    for path in ("/livez", "/readyz", "/metrics", "/health"):
        here.end(here.begin("GET", path, SAMPLED), 200)
    here.end(here.begin("GET", "/", SAMPLED), 200)
    sent(here)
    assert [span.name for span in collector.spans] == ["GET /"]


def test_the_client_decides_whether_its_trace_is_sampled(
    collector: Collector, recording: Callable[..., Recorder]
) -> None:
    here = recording(0.0)
    for headers in (SAMPLED, NOT_SAMPLED, {}):
        exchange = here.begin("POST", "/predict", headers)
        run_together(here, [exchange])
        here.end(exchange, 200)
    sent(here)
    assert len(collector.named("POST /predict")) == len(collector.named("run batch")) == 1


def test_a_client_decides_nothing_if_clients_are_not_trusted(
    collector: Collector, classifier: Classifier
) -> None:
    settings = TracingSettings(endpoint=collector.url, sampled_share=0.0, clients_decide=False)
    here = recorder(tracer=new_tracer(settings, classifier))
    exchange = here.begin("POST", "/predict", SAMPLED)
    run_together(here, [exchange])
    here.end(exchange, 200)
    sent(here)
    assert not collector.spans


def test_without_trust_a_sampled_request_still_has_its_children(
    collector: Collector, classifier: Classifier
) -> None:
    settings = TracingSettings(endpoint=collector.url, clients_decide=False)
    here = recorder(tracer=new_tracer(settings, classifier))
    exchange = here.begin("POST", "/predict", NOT_SAMPLED)
    run_together(here, [exchange])
    here.end(exchange, 200)
    sent(here)
    assert {span.name for span in collector.spans} == {
        *("POST /predict", "queue", "batch", "tokenization", "inference", "run batch")
    }


def test_a_request_that_the_connection_refuses_has_a_span(
    collector: Collector, recording: Callable[..., Recorder]
) -> None:
    here = recording()

    async def refuse() -> None:
        exchange = here.begin("POST", "/predict", SAMPLED)
        exchange.refusal = Refusal.QUEUE_TIME
        here.end(exchange, 503)

    asyncio.run(refuse())
    sent(here)
    (span,) = collector.spans
    assert (span.trace_id.hex(), values(span.attributes)["classifier.refusal"]) == (TRACE, "queue_time")


def test_a_refused_request_says_why_and_counts_as_an_error(
    collector: Collector, recording: Callable[..., Recorder]
) -> None:
    here = recording()
    exchange = here.begin("POST", "/predict", {})
    exchange.refusal = Refusal.QUEUE_TIME

    async def end() -> None:
        here.end(exchange, 503)

    asyncio.run(end())
    sent(here)
    (span,) = collector.spans
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert values(span.attributes)["classifier.refusal"] == "queue_time"


def test_nothing_is_traced_without_an_endpoint(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENDPOINT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert new_tracer(TracingSettings(), classifier) is None


def test_the_endpoint_can_be_in_a_variable_of_opentelemetry(
    collector: Collector, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "reviews")
    here = recorder(tracer=new_tracer(TracingSettings(), classifier))
    here.end(here.begin("GET", "/", {}), 200)
    sent(here)
    assert [span.name for span in collector.spans] == ["GET /"]
    assert collector.resources[0]["service.name"] == "reviews"
