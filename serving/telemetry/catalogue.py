"""The list of all metrics. The service, its documentation, the dashboard and the alerts read it.

Every series exists from the start with the value 0, and no client can add one: the values of each label are
known when the model is loaded.
"""

from dataclasses import dataclass
from typing import Literal

from classifier.errors import Refusal

SECONDS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Bounds of the buckets of durations. A light model answers in less than a millisecond; no answer may take
longer than half a minute."""

TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CHARACTERS = (10, 30, 100, 300, 1000, 3000, 10_000)
PROBABILITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

OTHER = "other"
"""The route of every path that is not in the table of routes."""

OTHER_LABELS = "(other)"
"""The label of all labels of a model that have no series of their own."""

MAX_LABELS = 100
"""Most labels of a model that have series of their own."""

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")

RESOURCES = (
    Refusal.QUEUE_TEXTS,
    Refusal.QUEUE_CHARACTERS,
    Refusal.QUEUE_TIME,
    Refusal.HELD_BYTES,
    Refusal.CONNECTIONS,
)
"""What the service has a bounded amount of. When one is used up, requests are refused for this reason."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric as Prometheus reads it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    unit: str
    """What one is: a base unit of Prometheus, or the thing that is counted."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets, without the last one, which has none."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its time series."""
        suffixes = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return tuple(self.name + suffix for suffix in suffixes)


REQUESTS = Metric(
    "classifier_requests_total", "counter", "Requests answered", "requests", ("route", "status_class")
)
REQUEST_DURATION = Metric(
    "classifier_request_duration_seconds",
    "histogram",
    "Time from the end of a request, with its body, to the end of a successful answer",
    "seconds",
    ("route",),
    SECONDS,
)
REQUESTS_IN_PROGRESS = Metric(
    "classifier_requests_in_progress", "gauge", "Requests to the model that are being answered", "requests"
)
REFUSALS = Metric(
    "classifier_refusals_total",
    "counter",
    "Requests that the service did not take or finish, by the reason",
    "requests",
    ("reason",),
)
CONNECTIONS = Metric("classifier_connections", "gauge", "Open connections", "connections")
SATURATION = Metric(
    "classifier_saturation_ratio",
    "gauge",
    "Share of a bounded resource that is used; at 1 requests are refused",
    "ratio",
    ("resource",),
)

QUEUE_TEXTS = Metric("classifier_queue_texts", "gauge", "Texts that wait for the model", "texts")
QUEUE_CHARACTERS = Metric(
    "classifier_queue_characters", "gauge", "Characters of the texts that wait for the model", "characters"
)
QUEUE_DURATION = Metric(
    "classifier_queue_duration_seconds",
    "histogram",
    "Time from a request's arrival in the queue until the first of its texts runs",
    "seconds",
    buckets=SECONDS,
)
TOKENIZATION_DURATION = Metric(
    "classifier_tokenization_duration_seconds",
    "histogram",
    "Time of turning the texts of one run into tokens",
    "seconds",
    buckets=SECONDS,
)
INFERENCE_DURATION = Metric(
    "classifier_inference_duration_seconds",
    "histogram",
    "Time of one run of the model, without tokenization",
    "seconds",
    buckets=SECONDS,
)
BATCH_TEXTS = Metric(
    "classifier_batch_texts", "histogram", "Texts in one batch", "texts", buckets=tuple(map(float, TEXTS))
)
FAILED_BATCHES = Metric(
    "classifier_failed_batches_total", "counter", "Batches that failed and were run again in parts", "batches"
)
ISOLATED_TEXTS = Metric(
    "classifier_isolated_texts_total", "counter", "Texts that failed when they were run alone", "texts"
)

PREDICTIONS = Metric(
    "classifier_predictions_total", "counter", "Texts classified, by the predicted label", "texts", ("label",)
)
CONFIDENCE = Metric(
    "classifier_prediction_confidence",
    "histogram",
    "Probability of the predicted label",
    "ratio",
    buckets=PROBABILITIES,
)
UNCERTAIN = Metric(
    "classifier_uncertain_answers_total",
    "counter",
    "Answers whose final prediction is uncertain, because the client asked for more confidence",
    "answers",
)
TEXT_CHARACTERS = Metric(
    "classifier_text_characters",
    "histogram",
    "Length of the classified texts",
    "characters",
    buckets=tuple(map(float, CHARACTERS)),
)
CUT_TEXTS = Metric(
    "classifier_cut_texts_total", "counter", "Texts of which the model did not read all tokens", "texts"
)
TOKENS = Metric(
    "classifier_tokens_total",
    "counter",
    "Tokens of the classified texts, by whether the model knows them",
    "tokens",
    ("known",),
)
MODEL_INFO = Metric(
    "classifier_model_info",
    "gauge",
    "The model that answers; always 1",
    "",
    ("name", "version", "digest", "kind"),
)
MODEL_STORED = Metric(
    "classifier_model_stored_timestamp_seconds",
    "gauge",
    "When the model was put into the model store, in seconds since 1970",
    "seconds",
)
DRIFT_PSI = Metric(
    "classifier_drift_psi",
    "gauge",
    "Population stability index of the last texts against the held-out texts of the model, by feature",
    "",
    ("feature",),
)
DRIFT_ALARM = Metric(
    "classifier_drift_alarm",
    "gauge",
    "Whether the last texts differ from the held-out texts of the model in this feature: 1 or 0",
    "",
    ("feature",),
)
DRIFT_WINDOW = Metric(
    "classifier_drift_window_texts",
    "gauge",
    "Texts that are compared with the held-out texts of the model",
    "texts",
)
FEEDBACK = Metric(
    "classifier_feedback_total",
    "counter",
    "True labels received, by whether the prediction was right",
    "texts",
    ("outcome",),
)

FEEDBACK_DROPPED = Metric(
    "classifier_feedback_dropped_total",
    "counter",
    "Requests whose predictions could not be kept for feedback",
    "requests",
)

EVENT_LOOP_LAG = Metric(
    "classifier_event_loop_lag_seconds",
    "histogram",
    "How much later than planned the event loop ran a timer",
    "seconds",
    buckets=SECONDS,
)
GC_PAUSE = Metric(
    "classifier_gc_pause_seconds",
    "histogram",
    "Time of one garbage collection, during which no request is answered",
    "seconds",
    buckets=SECONDS,
)

METRICS = (
    REQUESTS,
    REQUEST_DURATION,
    REQUESTS_IN_PROGRESS,
    REFUSALS,
    CONNECTIONS,
    SATURATION,
    QUEUE_TEXTS,
    QUEUE_CHARACTERS,
    QUEUE_DURATION,
    TOKENIZATION_DURATION,
    INFERENCE_DURATION,
    BATCH_TEXTS,
    FAILED_BATCHES,
    ISOLATED_TEXTS,
    PREDICTIONS,
    CONFIDENCE,
    UNCERTAIN,
    TEXT_CHARACTERS,
    CUT_TEXTS,
    TOKENS,
    MODEL_INFO,
    MODEL_STORED,
    DRIFT_PSI,
    DRIFT_ALARM,
    DRIFT_WINDOW,
    FEEDBACK,
    FEEDBACK_DROPPED,
    EVENT_LOOP_LAG,
    GC_PAUSE,
)
"""All metrics of the service. `/metrics` also has those of `process_*` and `python_gc_*`, which
prometheus-client measures."""
