"""Every route in one table: what is mounted, described, counted and refused is read from here."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from classifier import schema
from classifier.errors import (
    BodyTooLarge,
    DeadlinePassed,
    HeadersTooLarge,
    InternalError,
    InvalidRequest,
    MalformedBody,
    MalformedRequest,
    QueueFull,
    RequestError,
    RequestTooSlow,
    UnsupportedMediaType,
)

JSON = "application/json"
TEXT = "text/plain"
_ERRORS = (MalformedRequest, HeadersTooLarge, InternalError)
_BODY_ERRORS = (
    MalformedBody,
    RequestTooSlow,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    QueueFull,
    DeadlinePassed,
)


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    summary: str
    answer: Any = None
    """Type of the JSON answer; None for another media type."""
    media_type: str = JSON
    request: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    """Fields of the request that may stand in the query instead."""
    can_be_unready: bool = False
    """Whether it answers 503 while the model cannot answer."""
    needs_key: bool = True
    """Whether it is closed to requests without an API key, where keys are set."""
    is_internal: bool = False
    """Whether only the cluster asks it, so that no way in from outside leads to it."""
    has_files: bool = False
    """Whether the paths below it are files of it."""

    @property
    def errors(self) -> tuple[type[RequestError], ...]:
        """What its answers may be but for success and 503."""
        return _ERRORS + _BODY_ERRORS if self.request is not None else _ERRORS


PREDICT = Route(
    "POST", "/predict", "Classify one text", schema.PredictionAnswer, request=schema.PredictRequest
)
PREDICT_BATCH = Route(
    "POST", "/predict/batch", "Classify up to 100 texts", schema.BatchAnswer, request=schema.BatchRequest
)
PREDICT_TOP_K = Route(
    "POST",
    "/predict/top-k",
    "The k most probable labels",
    schema.TopKAnswer,
    request=schema.TopKRequest,
    query=("k",),
)
PREDICT_THRESHOLDS = Route(
    "POST",
    "/predict/thresholds",
    "What each decision threshold would make of a text (two classes only)",
    schema.ThresholdsAnswer,
    request=schema.ThresholdsRequest,
)
CLASSIFY = Route(
    "POST",
    "/classify",
    "Classify up to 100 texts by BentoML's own batching across callers",
    list[schema.PredictionAnswer],
    request=schema.ClassifyRequest,
)
INDEX = Route("GET", "/", "What runs here", schema.ServiceInfo)
HEALTH = Route(
    "GET", "/health", "Whether the model can answer", schema.Health, can_be_unready=True, needs_key=False
)
LIVEZ = Route("GET", "/livez", "Alive", media_type=TEXT, needs_key=False, is_internal=True)
READYZ = Route("GET", "/readyz", "Able to answer", media_type=TEXT, can_be_unready=True, needs_key=False)
MODEL_INFO = Route("GET", "/model/info", "The model that answers", schema.ModelInfo, can_be_unready=True)
METRICS = Route("GET", "/metrics", "Prometheus metrics", media_type=TEXT, is_internal=True)
DOCS = Route("GET", "/docs", "This API as a page", media_type="text/html", needs_key=False, has_files=True)
OPENAPI = Route("GET", "/openapi.json", "This API as a schema", dict[str, Any], needs_key=False)

ROUTES = (
    INDEX,
    HEALTH,
    LIVEZ,
    READYZ,
    PREDICT,
    PREDICT_BATCH,
    PREDICT_TOP_K,
    PREDICT_THRESHOLDS,
    CLASSIFY,
    MODEL_INFO,
    METRICS,
    DOCS,
    OPENAPI,
)

BENTOML_SCHEMA_PATH = "/schema.json"
"""BentoML's own route, which its clients read first; before, they ask READYZ until it is ready."""
