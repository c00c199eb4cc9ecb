"""One request and what is known about its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from classifier.errors import Refusal
from classifier.pipeline import Prediction
from serving.errors import refusal_of
from serving.routes import BENTOML_PATHS, HEALTH, LIVEZ, METRICS, PATHS, READYZ
from serving.telemetry.catalogue import OTHER

EXCHANGE = "classifier.exchange"
"""The key of a request's scope under which the edge puts the exchange."""

_ROUTINE = frozenset({LIVEZ.path, READYZ.path, HEALTH.path, METRICS.path, *BENTOML_PATHS})
NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch of texts of several requests, as each of them remembers it."""

    texts: int
    begin: float
    end: float
    tokenization_seconds: float
    inference_seconds: float
    span_context: Any
    """The OpenTelemetry context of its span; None if it has none."""


class Exchange:
    """A request and what its log line, its timings and its spans say about it.

    Times are seconds of `time.perf_counter`; `begin` is when the request had arrived with its body. The edge
    makes the exchange, the observer of the batcher adds the batches, and the endpoint adds the predictions.
    Most requests set few of the values below. The others stay those of the class, because setting all of them
    for each request would take twice as long.
    """

    timeout: float | None = None
    """Seconds that the client is willing to wait in the queue."""
    texts: Sequence[str] = ()
    """Its texts."""
    queued_at: float | None = None
    """When the first of its texts joined the queue."""
    batches: Sequence[BatchRecord] = ()
    """The batches that its texts ran in."""
    occludes: bool = False
    """Whether the texts that now run are versions of its text without some words, which no client sent."""
    predictions: Sequence[Prediction] = ()
    """The predictions of its texts, in order."""
    refusal: Refusal | None = None
    """Why it was refused or not finished; None if it was not."""
    span: Any = None
    """Its OpenTelemetry span; None if nothing is traced."""

    def __init__(
        self,
        request_id: bytes = b"",
        method: str = "",
        path: str = "",
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        begin: float = 0.0,
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.headers = headers
        self.begin = begin
        self.route = path if path in PATHS else OTHER
        """The path in the table of routes."""

    @property
    def is_routine(self) -> bool:
        """Whether it is a probe or a scrape, which comes every few seconds."""
        return self.path in _ROUTINE

    def refuse(self, error: Exception, deadline_seconds: float) -> None:
        """Note why the request was refused or not finished, if it was.

        `deadline_seconds` is the service's own deadline.
        """
        self.refusal = refusal_of(error)
        is_own = self.timeout is not None and self.timeout < deadline_seconds
        if self.refusal is Refusal.DEADLINE and is_own:
            self.refusal = Refusal.CLIENT_TIMEOUT

    @property
    def queue_seconds(self) -> float | None:
        """How long it took until the first of its texts ran; None if none did."""
        if self.queued_at is None or not self.batches:
            return None
        return self.batches[0].begin - self.queued_at

    @property
    def tokenization_seconds(self) -> float | None:
        """How long tokenization took in the batches of its texts; None if there are none."""
        return sum(batch.tokenization_seconds for batch in self.batches) if self.batches else None

    @property
    def inference_seconds(self) -> float | None:
        """How long the model took in the batches of its texts; None if there are none."""
        return sum(batch.inference_seconds for batch in self.batches) if self.batches else None
