"""The BentoML service: its predict APIs, put together from the parts."""

import gc
from collections.abc import Sequence
from pathlib import Path

import bentoml

from classifier import __version__
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
from serving import answers
from serving.edge import Edge
from serving.endpoint import batchable_endpoint, endpoint
from serving.logs import configure_logging
from serving.model import check_model, load_model
from serving.pages import Pages
from serving.routes import CLASSIFY, PREDICT, PREDICT_BATCH, PREDICT_THRESHOLDS, PREDICT_TOP_K

try:
    settings = load_settings()
    check_model(settings)
except ClassifierError as error:
    raise SystemExit(f"error: {error}") from None
configure_logging(settings.logging)
pages = Pages("text-classifier", __version__)
limit = settings.api.max_body_bytes


@bentoml.service(
    name="text-classifier",
    http={"host": settings.api.host, "port": settings.api.port},
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
        pages.serve(self.classifier)
        # What start-up made stays: full collections would only walk it again, and hold up requests.
        gc.collect()
        gc.freeze()

    def __is_ready__(self) -> bool:
        return pages.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def drain(self) -> None:
        """Say that no more requests should come."""
        pages.serve(None)

    async def classify_texts(self, texts: Sequence[str]) -> list[Prediction]:
        """The one way from the API to the pipeline."""
        return self.classifier.predict(texts)

    @endpoint(PREDICT, limit)
    async def predict(self, request: PredictRequest) -> PredictionAnswer:
        """Classify one text."""
        (prediction,) = await self.classify_texts([request.text])
        return answers.prediction_answer(
            request.text, prediction, settings.inference.confidence_threshold, request.threshold
        )

    @endpoint(PREDICT_BATCH, limit)
    async def predict_batch(self, request: BatchRequest) -> BatchAnswer:
        """Classify up to 100 texts."""
        predictions = await self.classify_texts(request.texts)
        return answers.batch_answer(
            request.texts, predictions, settings.inference.confidence_threshold, request.return_probabilities
        )

    @endpoint(PREDICT_TOP_K, limit)
    async def predict_top_k(self, request: TopKRequest) -> TopKAnswer:
        """Give the k most probable labels of a text."""
        (prediction,) = await self.classify_texts([request.text])
        return answers.top_k_answer(request.text, prediction, request.k)

    @endpoint(PREDICT_THRESHOLDS, limit)
    async def predict_thresholds(self, request: ThresholdsRequest) -> ThresholdsAnswer:
        """Show what each threshold would make of a text."""
        answers.require_binary(self.classifier)
        (prediction,) = await self.classify_texts([request.text])
        rows = self.classifier.thresholds(prediction, request.thresholds)
        return answers.thresholds_answer(request.text, rows, prediction.warnings)

    @batchable_endpoint(CLASSIFY, limit, max_batch_size=1000, max_latency_ms=10_000)
    async def classify(self, texts: list[str]) -> list[PredictionAnswer]:
        """Classify texts by BentoML's own batching across callers."""
        predictions = await self.classify_texts(texts)
        threshold = settings.inference.confidence_threshold
        return [
            answers.prediction_answer(text, prediction, threshold)
            for text, prediction in zip(texts, predictions, strict=True)
        ]


TextClassifier.add_asgi_middleware(  # type: ignore[attr-defined]
    Edge, max_body_bytes=limit, access_log=settings.logging.access
)
