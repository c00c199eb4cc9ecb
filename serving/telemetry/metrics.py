"""Counts what the service does, and writes it in Prometheus' text format."""

import gc
import time
from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from classifier.batching.queue import FinishedBatch
from classifier.errors import Refusal
from classifier.pipeline import ModelRun, Prediction
from serving.routes import PATHS
from serving.telemetry import catalogue
from serving.telemetry.catalogue import MAX_LABELS, METRICS, OTHER, OTHER_LABELS, STATUS_CLASSES, Metric
from serving.telemetry.counts import Counts
from serving.telemetry.pending_runs import PendingRuns

MEDIA_TYPE = CONTENT_TYPE_LATEST
"""The media type of Prometheus' text format."""

KNOWN, UNKNOWN = "yes", "no"
RIGHT, WRONG = "right", "wrong"

_COUNTED = tuple(metric for metric in METRICS if metric.kind != "gauge")

Gauge = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and its own value."""


class Metrics:
    """Everything that this process has counted. Only the event loop writes it."""

    def __init__(self, labels: Sequence[str]) -> None:
        """`labels`: those of the model, in its order."""
        named = labels[:MAX_LABELS]
        self._labels = (*named, OTHER_LABELS) if len(labels) > MAX_LABELS else tuple(named)
        self.counts = Counts(
            _COUNTED,
            {
                "route": [*sorted(PATHS), OTHER],
                "status_class": STATUS_CLASSES,
                "reason": list(Refusal),
                "label": self._labels,
                "known": (KNOWN, UNKNOWN),
                "outcome": (RIGHT, WRONG),
            },
        )
        self.connections = 0
        """Connections that are open."""
        self.in_progress = 0
        """Requests to the model that are being answered."""
        self._refusals = self.counts.counter(catalogue.REFUSALS)
        requests = self.counts.counter(catalogue.REQUESTS)
        self._routes = {
            route: (
                [requests.place(route, status_class) for status_class in STATUS_CLASSES],
                self.counts.histogram(catalogue.REQUEST_DURATION, route),
            )
            for route in [*PATHS, OTHER]
        }
        self.queue_duration = self.counts.histogram(catalogue.QUEUE_DURATION)
        self._tokenization = self.counts.histogram(catalogue.TOKENIZATION_DURATION)
        self._inference = self.counts.histogram(catalogue.INFERENCE_DURATION)
        self._batch_texts = self.counts.histogram(catalogue.BATCH_TEXTS)
        self._event_loop_lag = self.counts.histogram(catalogue.EVENT_LOOP_LAG)
        self._gc_pause = self.counts.histogram(catalogue.GC_PAUSE)
        self._pending = PendingRuns(self._count)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is a path of the table of routes or `OTHER`."""
        places, durations = self._routes[route]
        self.counts.values[places[status // 100 - 2]] += 1.0
        if status < 300:
            durations.observe(seconds)

    def refusal(self, reason: Refusal) -> None:
        """Count a request that was refused or not finished for this reason."""
        self._refusals.add(reason)

    def uncertain_answer(self) -> None:
        """Count an answer whose final prediction is uncertain."""
        self.counts.counter(catalogue.UNCERTAIN).add()

    def feedback(self, was_right: bool) -> None:
        """Count a true label."""
        self.counts.counter(catalogue.FEEDBACK).add(RIGHT if was_right else WRONG)

    def feedback_dropped(self, count: int) -> None:
        """Count requests whose predictions could not be kept."""
        self.counts.counter(catalogue.FEEDBACK_DROPPED).add(amount=count)

    def batch(self, batch: FinishedBatch[Prediction], runs: Sequence[ModelRun]) -> None:
        """Count a batch and the runs of the model that its texts were in."""
        self._batch_texts.observe(len(batch.outcomes))
        if batch.has_failed:
            self.counts.counter(catalogue.FAILED_BATCHES).add()
            isolated = sum(isinstance(outcome, Exception) for outcome in batch.outcomes)
            self.counts.counter(catalogue.ISOLATED_TEXTS).add(amount=isolated)
        for run in runs:
            self._tokenization.observe(run.tokenization_seconds)
            self._inference.observe(run.inference_seconds)

    def texts(self, run: ModelRun) -> None:
        """Count the texts of a run that clients sent."""
        self._pending.add(run)

    def _count(self, runs: Sequence[ModelRun]) -> None:
        """Count the texts of runs."""
        counts = self.counts
        predicted = np.minimum(np.concatenate([run.predicted for run in runs]), len(self._labels) - 1)
        by_label = np.bincount(predicted, minlength=len(self._labels)).tolist()
        for label, count in zip(self._labels, by_label, strict=True):
            counts.counter(catalogue.PREDICTIONS).add(label, amount=count)
        counts.histogram(catalogue.CONFIDENCE).observe_all(np.concatenate([run.confidence for run in runs]))
        characters = np.concatenate([run.characters for run in runs])
        counts.histogram(catalogue.TEXT_CHARACTERS).observe_all(characters)
        cut = sum(int(run.cut.sum()) for run in runs)
        counts.counter(catalogue.CUT_TEXTS).add(amount=cut)
        tokens = counts.counter(catalogue.TOKENS)
        tokens.add(KNOWN, amount=sum(int(run.known.sum()) for run in runs))
        tokens.add(UNKNOWN, amount=sum(int(run.unknown.sum()) for run in runs))

    def event_loop_lag(self, seconds: float) -> None:
        """Count how much later than planned a timer ran."""
        self._event_loop_lag.observe(seconds)

    def watch_garbage_collection(self) -> None:
        """Count the pauses of the garbage collector from now on."""
        began = 0.0

        def observe(phase: str, _details: dict[str, int]) -> None:
            nonlocal began
            now = time.perf_counter()
            if phase == "start":
                began = now
            else:
                self._gc_pause.observe(now - began)

        gc.callbacks.append(observe)

    def text(self, gauges: Sequence[Gauge]) -> bytes:
        """All metrics in Prometheus' text format, with the present values of the gauges."""
        self._pending.count()
        registry = CollectorRegistry()
        registry.register(_Scrape([*self.counts.families(), *_gauge_families(gauges)]))
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        return generate_latest(registry)


class _Scrape(Collector):
    """What one scrape reads."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return iter(self._families)


def _gauge_families(gauges: Sequence[Gauge]) -> Iterator[Family]:
    families: dict[Metric, GaugeMetricFamily] = {}
    for metric, labels, value in gauges:
        if metric not in families:
            families[metric] = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        families[metric].add_metric(labels, value)
    yield from families.values()
