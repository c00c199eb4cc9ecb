"""The BentoML service: its predict APIs, put together from the parts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import bentoml
import structlog

from classifier import __version__
from classifier.batching import Batcher
from classifier.errors import ClassifierError
from classifier.pipeline import Prediction
from classifier.schema import (
    BatchAnswer,
    BatchRequest,
    PredictionAnswer,
    PredictRequest,
    ThresholdsAnswer,
    ThresholdsRequest,
    TopKAnswer,
    TopKRequest,
)
from classifier.settings import load_settings
from serving import answers, listening, protocol
from serving.access import Access
from serving.address import listening_address
from serving.edge import Edge
from serving.endpoint import batchable_endpoint, endpoint, endpoints_of
from serving.heartbeat import start_heartbeat
from serving.logs import configure_logging
from serving.memory import give_back_when_idle, settle_memory
from serving.metrics import requests
from serving.model import check_model, load_model
from serving.pages import Pages
from serving.routes import CLASSIFY, PREDICT, PREDICT_BATCH, PREDICT_THRESHOLDS, PREDICT_TOP_K
from serving.stopping import drain_on_sigterm, finish_requests
from serving.supervision import supervise

try:
    settings = load_settings()
    access = Access.load(settings.api)
    address = listening_address(settings.api.host)
    check_model(settings)
except ClassifierError as error:
    raise SystemExit(f"error: {error}") from None
configure_logging(settings.logging)
protocol.install(settings)
listening.install()
supervise("text-classifier", settings.worker.max_silent_seconds)
pages = Pages("text-classifier", __version__, access.needs_key)
limit = settings.api.max_body_bytes
confidence_threshold = settings.inference.confidence_threshold
log = structlog.get_logger("classifier.service")


@bentoml.service(
    name="text-classifier",
    http={"host": address, "port": settings.api.port},
    # Ours are bounded; BentoML's label every path that a caller makes up.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # Spans cost half the throughput, and no exporter would take them.
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(pages.app, path="/")
class TextClassifier:
    """Classifies texts with the model that the settings name."""

    model = bentoml.models.BentoModel(settings.model.tag)

    def __init__(self) -> None:
        self.classifier = load_model(Path(self.model.path), settings)
        self.batcher = Batcher(self.classifier.predict, settings.batching, self.classifier.releases_gil)
        self.batcher.calibrate(self.classifier.samples)
        pages.serve(self.classifier)
        protocol.DoorProtocol.door = self.batcher
        protocol.DoorProtocol.max_connections = listening.room_for_connections(settings.api.max_connections)
        drain_on_sigterm(self.drain)
        start_heartbeat()
        settle_memory()
        give_back_when_idle(lambda: not requests.in_progress)

    def __is_ready__(self) -> bool:
        return pages.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def drain(self) -> None:
        """Say that no more requests should come, see callers off, and finish what waits."""
        if pages.is_ready:
            pages.serve(None)
            protocol.DoorProtocol.sees_off = True
            await asyncio.sleep(settings.api.lame_duck_seconds)
            left = await finish_requests(
                self.batcher, protocol.DoorProtocol.budget, settings.batching.drain_seconds
            )
            log.info("drained", unfinished_texts=left)

    async def classify_texts(self, texts: Sequence[str], timeout: float | None) -> list[Prediction]:
        """The one way from the API to the pipeline; raises the error of the first text that has one."""
        predictions = []
        for outcome in await self.batcher.submit(texts, timeout):
            if isinstance(outcome, Exception):
                raise outcome
            predictions.append(outcome)
        return predictions

    @endpoint(PREDICT, limit)
    async def predict(self, request: PredictRequest, timeout: float | None) -> PredictionAnswer:
        """Classify one text."""
        (prediction,) = await self.classify_texts([request.text], timeout)
        return answers.prediction_answer(request.text, prediction, confidence_threshold, request.threshold)

    @endpoint(PREDICT_BATCH, limit)
    async def predict_batch(self, request: BatchRequest, timeout: float | None) -> BatchAnswer:
        """Classify up to 100 texts."""
        predictions = await self.classify_texts(request.texts, timeout)
        return answers.batch_answer(
            request.texts, predictions, confidence_threshold, request.return_probabilities
        )

    @endpoint(PREDICT_TOP_K, limit)
    async def predict_top_k(self, request: TopKRequest, timeout: float | None) -> TopKAnswer:
        """Give the k most probable labels of a text."""
        (prediction,) = await self.classify_texts([request.text], timeout)
        return answers.top_k_answer(request.text, prediction, request.k)

    @endpoint(PREDICT_THRESHOLDS, limit)
    async def predict_thresholds(self, request: ThresholdsRequest, timeout: float | None) -> ThresholdsAnswer:
        """Show what each threshold would make of a text."""
        answers.require_binary(self.classifier)
        (prediction,) = await self.classify_texts([request.text], timeout)
        rows = self.classifier.thresholds(prediction, request.thresholds)
        return answers.thresholds_answer(request.text, rows, prediction.warnings)

    @batchable_endpoint(CLASSIFY, limit, max_batch_size=1000, max_latency_ms=10_000)
    async def classify(self, texts: list[str]) -> list[PredictionAnswer | Exception]:
        """Classify texts by BentoML's own batching across callers."""
        return [
            outcome
            if isinstance(outcome, Exception)
            else answers.prediction_answer(text, outcome, confidence_threshold)
            for text, outcome in zip(texts, await self.batcher.submit(texts), strict=True)
        ]


TextClassifier.add_asgi_middleware(  # type: ignore[attr-defined]
    Edge,
    endpoints=endpoints_of(TextClassifier),
    settings=settings.api,
    access=access,
    access_log=settings.logging.access,
)
