"""Records every request and every batch: counts, log lines, timings and spans."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from classifier.batching.queue import FinishedBatch
from classifier.errors import Refusal
from classifier.pipeline import Classifier, ModelRun, Prediction
from classifier.settings import Settings
from serving.feedback import FeedbackStore, open_feedback
from serving.telemetry.access_log import AccessLog
from serving.telemetry.drift import DriftMonitor
from serving.telemetry.exchange import BatchRecord, Exchange
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_id import RandomIds, sent_id
from serving.telemetry.traces import Tracer, new_tracer

CLIENT_CLOSED_REQUEST = 499
"""The status that is recorded for a request whose client did not wait for the answer."""


@dataclass(frozen=True)
class Recorder:
    """What all requests and batches of a process are recorded with."""

    metrics: Metrics
    access_log: AccessLog
    tracer: Tracer | None
    """None if no spans are exported."""
    new_id: RandomIds
    drift: DriftMonitor
    feedback: FeedbackStore | None
    """None if no predictions are kept."""

    def begin(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Exchange:
        """Begin to record a request whose headers have arrived."""
        sent = sent_id(headers)
        exchange = Exchange(sent or self.new_id(), method, path, headers, time.perf_counter())
        if self.tracer is not None and not exchange.is_routine:
            trace_id = self.tracer.begin(exchange)
            exchange.request_id = sent or trace_id
        return exchange

    def end(self, exchange: Exchange, status: int) -> None:
        """Record a request that is answered; `status` is 0 if it got no answer."""
        end = time.perf_counter()
        seconds = end - exchange.begin
        status = status or CLIENT_CLOSED_REQUEST
        self.metrics.request(exchange.route, status, seconds)
        if exchange.refusal is None or self.access_log.is_verbose:
            self.access_log.request(exchange, status, seconds)
        if self.feedback is not None and exchange.predictions and status == HTTPStatus.OK:
            self.feedback.record(exchange.request_id.decode(), exchange.predictions)
        if exchange.refusal is not None:
            self.refusal(exchange.refusal)
        if self.tracer is not None:
            self.tracer.end(exchange, status, end)

    def refusal(self, reason: Refusal) -> None:
        """Record that a request is refused or not finished for this reason."""
        self.metrics.refusal(reason)
        self.access_log.refusal(reason)

    def batch(self, batch: FinishedBatch[Prediction]) -> None:
        """Record a batch, also in the exchanges of its requests."""
        runs = _runs(batch.outcomes)
        self.metrics.batch(batch, runs)
        record = BatchRecord(
            texts=len(batch.outcomes),
            begin=batch.begin,
            end=batch.end,
            tokenization_seconds=sum(run.tokenization_seconds for run in runs),
            inference_seconds=sum(run.inference_seconds for run in runs),
            span_context=None if self.tracer is None else self.tracer.batch(batch),
        )
        queued, begin = self.metrics.queue_duration.observe, batch.begin
        last = None
        has_occluded = False
        for call, place in batch.places:
            if place == 0:
                queued(begin - call.queued_at)
            exchange = call.origin
            if call is not last and exchange is not None:
                has_occluded = has_occluded or exchange.occludes
                if exchange.queued_at is None:
                    exchange.queued_at = call.queued_at
                exchange.batches = (*exchange.batches, record) if exchange.batches else (record,)
            last = call
        for run in _runs_of_clients(batch) if has_occluded else runs:
            self.metrics.texts(run)
            self.drift.observe(run)

    def close(self) -> None:
        """Send the last spans and write the last predictions, for a few seconds at most."""
        if self.tracer is not None:
            self.tracer.close()
        if self.feedback is not None:
            self.feedback.close()


def _runs(outcomes: Sequence[Prediction | Exception]) -> list[ModelRun]:
    """The runs of the model that gave these outcomes, in order."""
    runs: list[ModelRun] = []
    last = None
    for outcome in outcomes:
        run = None if isinstance(outcome, Exception) else outcome.run
        if run is not None and run is not last:
            runs.append(run)
            last = run
    return runs


def _runs_of_clients(batch: FinishedBatch[Prediction]) -> list[ModelRun]:
    """The runs of a batch with those of their texts that clients sent."""
    rows: dict[int, tuple[ModelRun, list[int]]] = {}
    for (call, _), outcome in zip(batch.places, batch.outcomes, strict=True):
        is_sent = call.origin is None or not call.origin.occludes
        if is_sent and not isinstance(outcome, Exception) and outcome.run is not None:
            rows.setdefault(id(outcome.run), (outcome.run, []))[1].append(outcome.row)
    return [run.only(of_clients) for run, of_clients in rows.values()]


def new_recorder(settings: Settings, classifier: Classifier) -> Recorder:
    """A recorder of the answers of this model."""
    metrics = Metrics(classifier.labels)
    return Recorder(
        metrics=metrics,
        access_log=AccessLog(settings.logging, classifier.version),
        tracer=new_tracer(settings.tracing, classifier),
        new_id=RandomIds(),
        drift=DriftMonitor(classifier.manifest.reference, classifier.labels, settings.drift),
        # Feedback for several labels is refused, so predictions are not kept for it either.
        feedback=None
        if classifier.has_several_labels
        else open_feedback(settings.feedback, classifier.digest, metrics.feedback, metrics.feedback_dropped),
    )
