"""The present values of the gauges, which are read at each scrape."""

from collections.abc import Iterator

from classifier.drift.features import FEATURES
from classifier.drift.report import DriftStatus
from classifier.errors import Refusal
from serving.running import RunningService
from serving.telemetry import catalogue
from serving.telemetry.metrics import Gauge


def gauges(service: RunningService) -> Iterator[Gauge]:
    """The values of all gauges of a service."""
    connections, admission, classifier = service.connections, service.admission, service.classifier
    metrics, load, manifest = connections.recorder.metrics, admission.load, classifier.manifest
    yield catalogue.REQUESTS_IN_PROGRESS, (), metrics.in_progress
    yield catalogue.CONNECTIONS, (), metrics.connections
    yield catalogue.QUEUE_TEXTS, (), load.texts
    yield catalogue.QUEUE_CHARACTERS, (), load.characters
    batching = service.settings.batching
    used = {
        Refusal.QUEUE_TEXTS: load.texts / batching.max_waiting_texts,
        Refusal.QUEUE_CHARACTERS: load.characters / batching.max_waiting_characters,
        Refusal.QUEUE_TIME: admission.pace.seconds(load.size) / batching.max_waiting_seconds,
        Refusal.HELD_BYTES: connections.budget.held / connections.budget.limit,
        Refusal.CONNECTIONS: metrics.connections / connections.max_connections,
    }
    for resource in catalogue.RESOURCES:
        yield catalogue.SATURATION, (resource,), used[resource]
    described = (manifest.name, classifier.version, classifier.digest, manifest.model.kind)
    yield catalogue.MODEL_INFO, described, 1
    yield catalogue.MODEL_STORED, (), service.model_stored_at
    report = connections.recorder.drift.report()
    # Chance moves the index of a few texts so far that it would look like drift.
    judged = () if report is None or report.status is DriftStatus.COLLECTING else report.features
    compared = {feature.feature: feature for feature in judged}
    for name in FEATURES:
        found = compared.get(name)
        yield catalogue.DRIFT_PSI, (name,), 0.0 if found is None else found.psi
        yield catalogue.DRIFT_ALARM, (name,), 0.0 if found is None else float(found.is_alarm)
    yield catalogue.DRIFT_WINDOW, (), 0 if report is None else report.texts
