"""The table of routes. What is mounted, described, counted, refused and exposed is read from here."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from classifier import schema

JSON = "application/json"
TEXT = "text/plain"
MARKDOWN = "text/markdown"

PREDICTIONS, MODEL, SERVICE = "Predictions", "Model", "Service"
"""The groups of routes on the API's page."""


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    summary: str
    answer: Any = None
    """Type of the JSON answer; None for another media type."""
    media_type: str = JSON
    group: str = SERVICE
    """The group on the API's page that shows it."""
    request: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    """Fields of the request that may be in the query instead."""
    is_answered_by_bentoml: bool = False
    """Whether BentoML's app answers it; the other routes are endpoints or pages of this service."""
    can_be_unready: bool = False
    """Whether it answers 503 while the model is not ready."""
    needs_key: bool = True
    """Whether it needs an API key where keys are set."""
    is_internal: bool = False
    """Whether only the cluster uses it, so that the manifests do not expose it to clients outside."""
    has_files: bool = False
    """Whether the paths below it belong to it, for the files that its page loads."""

    @property
    def is_for_model(self) -> bool:
        """Whether its requests wait for the model, so that they need admission."""
        return self.group == PREDICTIONS

    @property
    def request_model(self) -> type[BaseModel]:
        """The model of its requests; raises TypeError for a route without a body."""
        if self.request is None:
            raise TypeError(f"{self.method} {self.path} has no request model")
        return self.request


PREDICT = Route(
    "POST",
    "/predict",
    "Classify one text",
    schema.PredictionAnswer,
    group=PREDICTIONS,
    request=schema.PredictRequest,
)
PREDICT_BATCH = Route(
    "POST",
    "/predict/batch",
    "Classify up to 100 texts",
    schema.BatchAnswer,
    group=PREDICTIONS,
    request=schema.BatchRequest,
)
PREDICT_TOP_K = Route(
    "POST",
    "/predict/top-k",
    "Return the k most probable labels",
    schema.TopKAnswer,
    group=PREDICTIONS,
    request=schema.TopKRequest,
    query=("k",),
)
PREDICT_THRESHOLDS = Route(
    "POST",
    "/predict/thresholds",
    "Show what each threshold would decide, for two classes or for several labels a text",
    schema.ThresholdsAnswer,
    group=PREDICTIONS,
    request=schema.ThresholdsRequest,
)
PREDICT_EXPLAIN = Route(
    "POST",
    "/predict/explain",
    "Classify one text, and say what each part of it adds to the score of a label",
    schema.ExplanationAnswer,
    group=PREDICTIONS,
    request=schema.ExplainRequest,
)
CLASSIFY = Route(
    "POST",
    "/classify",
    "Classify up to 100 texts with BentoML's own batching across clients",
    list[schema.PredictionAnswer],
    group=PREDICTIONS,
    request=schema.ClassifyRequest,
    is_answered_by_bentoml=True,
)
FEEDBACK = Route(
    "POST",
    "/feedback",
    "Say which label would have been right for a text that was classified before",
    schema.FeedbackAnswer,
    group=MODEL,
    request=schema.FeedbackRequest,
)
INDEX = Route("GET", "/", "Describe the service", schema.ServiceInfo)
HEALTH = Route(
    "GET", "/health", "Report whether the model is ready", schema.Health, can_be_unready=True, needs_key=False
)
LIVEZ = Route(
    "GET",
    "/livez",
    "Liveness probe",
    media_type=TEXT,
    needs_key=False,
    is_internal=True,
    is_answered_by_bentoml=True,
)
READYZ = Route(
    "GET",
    "/readyz",
    "Readiness probe",
    media_type=TEXT,
    can_be_unready=True,
    needs_key=False,
    is_answered_by_bentoml=True,
)
MODEL_INFO = Route(
    "GET", "/model/info", "Describe the model", schema.ModelInfo, group=MODEL, can_be_unready=True
)
MODEL_CARD = Route(
    "GET",
    "/model/card",
    "Say how the model was made, how good it is, and what its limits are",
    media_type=MARKDOWN,
    group=MODEL,
    can_be_unready=True,
)
DRIFT = Route(
    "GET",
    "/model/drift",
    "Compare the last texts with the held-out texts of the model",
    schema.DriftAnswer,
    group=MODEL,
    can_be_unready=True,
)
METRICS = Route("GET", "/metrics", "Prometheus metrics", media_type=TEXT, is_internal=True)
DOCS = Route("GET", "/docs", "The API as a page", media_type="text/html", needs_key=False, has_files=True)
OPENAPI = Route("GET", "/openapi.json", "The API as an OpenAPI document", dict[str, Any], needs_key=False)

ROUTES = (
    INDEX,
    HEALTH,
    LIVEZ,
    READYZ,
    PREDICT,
    PREDICT_BATCH,
    PREDICT_TOP_K,
    PREDICT_THRESHOLDS,
    PREDICT_EXPLAIN,
    CLASSIFY,
    FEEDBACK,
    MODEL_INFO,
    MODEL_CARD,
    DRIFT,
    METRICS,
    DOCS,
    OPENAPI,
)

PATHS = frozenset(route.path for route in ROUTES)

BENTOML_SCHEMA_PATH = "/schema.json"
"""BentoML's own route. Its clients wait until READYZ answers 200, and then read the schema here."""

BENTOML_PATHS = frozenset({"/healthz", BENTOML_SCHEMA_PATH})
"""Routes that BentoML adds to those of the table: an old name of its probe, and its schema."""
