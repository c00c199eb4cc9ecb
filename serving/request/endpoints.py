"""The endpoints: each passes a request's texts to the batcher, or its label to the store, and answers."""

from collections.abc import Sequence

from classifier import answers
from classifier.pipeline import UNCERTAIN, Prediction
from classifier.schema import (
    BatchAnswer,
    BatchRequest,
    FeedbackAnswer,
    FeedbackRequest,
    PredictionAnswer,
    PredictRequest,
    ThresholdsAnswer,
    ThresholdsRequest,
    TopKAnswer,
    TopKRequest,
)
from classifier.validation import MAX_SHOWN_CHARACTERS
from serving import routes
from serving.errors import FeedbackOff, FieldError, InvalidRequest
from serving.feedback import FeedbackStore
from serving.request.endpoint import Endpoint
from serving.running import RunningService
from serving.telemetry.exchange import Exchange


async def _classify(service: RunningService, texts: Sequence[str], exchange: Exchange) -> list[Prediction]:
    """Run texts through the batcher, in order; raises the error of the first text that has one."""
    exchange.texts = texts
    predictions = []
    for outcome in await service.batcher.submit(texts, exchange.timeout, exchange):
        if isinstance(outcome, Exception):
            raise outcome
        predictions.append(outcome)
    exchange.predictions = predictions
    return predictions


async def predict(service: RunningService, request: PredictRequest, exchange: Exchange) -> PredictionAnswer:
    """Classify one text."""
    (prediction,) = await _classify(service, [request.text], exchange)
    threshold = service.settings.inference.confidence_threshold
    answer = answers.prediction_answer(request.text, prediction, threshold, request.threshold)
    if answer.get("final_prediction") == UNCERTAIN:
        service.connections.recorder.metrics.uncertain_answer()
    return answer


async def predict_batch(service: RunningService, request: BatchRequest, exchange: Exchange) -> BatchAnswer:
    """Classify up to 100 texts."""
    predictions = await _classify(service, request.texts, exchange)
    threshold = service.settings.inference.confidence_threshold
    return answers.batch_answer(request.texts, predictions, threshold, request.return_probabilities)


async def predict_top_k(service: RunningService, request: TopKRequest, exchange: Exchange) -> TopKAnswer:
    """Return the k most probable labels of a text."""
    (prediction,) = await _classify(service, [request.text], exchange)
    return answers.top_k_answer(request.text, prediction, request.k)


async def predict_thresholds(
    service: RunningService, request: ThresholdsRequest, exchange: Exchange
) -> ThresholdsAnswer:
    """Show what each threshold would decide about a text."""
    answers.require_binary(service.classifier)
    (prediction,) = await _classify(service, [request.text], exchange)
    rows = service.classifier.thresholds(prediction, request.thresholds)
    return answers.thresholds_answer(request.text, rows, prediction.warnings)


async def feedback(
    service: RunningService,
    request: FeedbackRequest,
    exchange: Exchange,  # noqa: ARG001
) -> FeedbackAnswer:
    """Store the right label of a text that was classified before."""
    store = service.connections.recorder.feedback
    return await take_feedback(store, service.classifier.labels, request)


async def take_feedback(
    store: FeedbackStore | None, labels: Sequence[str], request: FeedbackRequest
) -> FeedbackAnswer:
    """Store a label; raises FeedbackOff without a store, and InvalidRequest for a label of another model."""
    if store is None:
        raise FeedbackOff("no predictions are kept; the setting feedback.path names a database for them")
    if request.label not in labels:
        message = (
            f"label is {request.label[:MAX_SHOWN_CHARACTERS]!r}, which is none of the {len(labels)} labels "
            "of the model; GET /model/info lists them"
        )
        raise InvalidRequest((FieldError(("body", "label"), message, "unknown_label"),))
    found = await store.give(request.request_id, request.index, request.label)
    return FeedbackAnswer(was_right=found.was_right, predicted=found.predicted)


async def classify(service: RunningService, texts: list[str], exchange: Exchange) -> list[PredictionAnswer]:
    """Classify texts, which BentoML batches across clients before they reach the batcher."""
    predictions = await _classify(service, texts, exchange)
    threshold = service.settings.inference.confidence_threshold
    return [
        answers.prediction_answer(text, prediction, threshold)
        for text, prediction in zip(texts, predictions, strict=True)
    ]


PREDICT = Endpoint(routes.PREDICT, predict)
PREDICT_BATCH = Endpoint(routes.PREDICT_BATCH, predict_batch)
PREDICT_TOP_K = Endpoint(routes.PREDICT_TOP_K, predict_top_k)
PREDICT_THRESHOLDS = Endpoint(routes.PREDICT_THRESHOLDS, predict_thresholds)
FEEDBACK = Endpoint(routes.FEEDBACK, feedback)

ENDPOINTS = (PREDICT, PREDICT_BATCH, PREDICT_TOP_K, PREDICT_THRESHOLDS, FEEDBACK)
