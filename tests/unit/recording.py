"""A recorder for tests that need no whole service."""

from classifier.settings import DriftSettings, LoggingSettings
from serving.telemetry.access_log import AccessLog
from serving.telemetry.drift import DriftMonitor
from serving.telemetry.metrics import Metrics
from serving.telemetry.recorder import Recorder
from serving.telemetry.request_id import RandomIds
from serving.telemetry.traces import Tracer

LABELS = ("negative", "positive")
DIGEST = "0123456789ab"


def recorder(logging: LoggingSettings | None = None, tracer: Tracer | None = None) -> Recorder:
    """A recorder of a service whose model has two labels."""
    return Recorder(
        metrics=Metrics(LABELS),
        access_log=AccessLog(logging or LoggingSettings(), DIGEST),
        tracer=tracer,
        new_id=RandomIds(),
        drift=DriftMonitor(None, LABELS, DriftSettings()),
        feedback=None,
    )
