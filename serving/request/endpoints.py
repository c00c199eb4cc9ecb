"""The endpoints: each passes a request's texts to the batcher, or its label to the store, and answers."""

from collections.abc import Sequence

from classifier import answers
from classifier.errors import UnknownLabel
from classifier.pipeline import UNCERTAIN
from classifier.schema import (
    BatchAnswer,
    BatchRequest,
    ExplainRequest,
    ExplanationAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    PredictionAnswer,
    PredictRequest,
    ThresholdsAnswer,
    ThresholdsRequest,
    TopKAnswer,
    TopKRequest,
)
from serving import routes
from serving.errors import FeedbackForOneLabel, FeedbackOff
from serving.feedback import FeedbackStore
from serving.request.endpoint import Endpoint
from serving.request.model_runs import classify_texts, explain
from serving.running import RunningService
from serving.telemetry.exchange import Exchange


async def predict(service: RunningService, request: PredictRequest, exchange: Exchange) -> PredictionAnswer:
    """Classify one text."""
    (prediction,) = await classify_texts(service, [request.text], exchange)
    threshold = service.settings.inference.confidence_threshold
    answer = answers.prediction_answer(request.text, prediction, threshold, request.threshold)
    if answer.get("final_prediction") == UNCERTAIN:
        service.connections.recorder.metrics.uncertain_answer()
    return answer


async def predict_batch(service: RunningService, request: BatchRequest, exchange: Exchange) -> BatchAnswer:
    """Classify up to 100 texts."""
    predictions = await classify_texts(service, request.texts, exchange)
    threshold = service.settings.inference.confidence_threshold
    return answers.batch_answer(request.texts, predictions, threshold, request.return_probabilities)


async def predict_top_k(service: RunningService, request: TopKRequest, exchange: Exchange) -> TopKAnswer:
    """Return the k most probable labels of a text."""
    (prediction,) = await classify_texts(service, [request.text], exchange)
    return answers.top_k_answer(request.text, prediction, request.k)


async def predict_thresholds(
    service: RunningService, request: ThresholdsRequest, exchange: Exchange
) -> ThresholdsAnswer:
    """Show what each threshold would decide about a text."""
    answers.require_threshold(service.classifier)
    (prediction,) = await classify_texts(service, [request.text], exchange)
    rows = service.classifier.thresholds(prediction, request.thresholds)
    return answers.thresholds_answer(request.text, rows, prediction.warnings)


async def predict_explain(
    service: RunningService, request: ExplainRequest, exchange: Exchange
) -> ExplanationAnswer:
    """Classify a text, and say what each part of it adds to the score of a label."""
    explanation = await explain(service, request.text.strip(), request.label, exchange)
    threshold = service.settings.inference.confidence_threshold
    return answers.explanation_answer(request.text, explanation, threshold, request.top)


async def feedback(
    service: RunningService,
    request: FeedbackRequest,
    exchange: Exchange,  # noqa: ARG001
) -> FeedbackAnswer:
    """Store the right label of a text that was classified before.

    Raises FeedbackForOneLabel if the model can give a text several labels.
    """
    if service.classifier.has_several_labels:
        raise FeedbackForOneLabel(
            "feedback is for models with one label a text, and this model can give a text several labels"
        )
    store = service.connections.recorder.feedback
    return await take_feedback(store, service.classifier.labels, request)


async def take_feedback(
    store: FeedbackStore | None, labels: Sequence[str], request: FeedbackRequest
) -> FeedbackAnswer:
    """Store a label; raises FeedbackOff without a store, and UnknownLabel for a label of another model."""
    if store is None:
        raise FeedbackOff("no predictions are kept; the setting feedback.path names a database for them")
    if request.label not in labels:
        raise UnknownLabel(request.label, labels)
    found = await store.give(request.request_id, request.index, request.label)
    return FeedbackAnswer(was_right=found.was_right, predicted=found.predicted)


async def classify(service: RunningService, texts: list[str], exchange: Exchange) -> list[PredictionAnswer]:
    """Classify texts, which BentoML batches across clients before they reach the batcher."""
    predictions = await classify_texts(service, texts, exchange)
    threshold = service.settings.inference.confidence_threshold
    return [
        answers.prediction_answer(text, prediction, threshold)
        for text, prediction in zip(texts, predictions, strict=True)
    ]


PREDICT = Endpoint(routes.PREDICT, predict)
PREDICT_BATCH = Endpoint(routes.PREDICT_BATCH, predict_batch)
PREDICT_TOP_K = Endpoint(routes.PREDICT_TOP_K, predict_top_k)
PREDICT_THRESHOLDS = Endpoint(routes.PREDICT_THRESHOLDS, predict_thresholds)
PREDICT_EXPLAIN = Endpoint(routes.PREDICT_EXPLAIN, predict_explain)
FEEDBACK = Endpoint(routes.FEEDBACK, feedback)

ENDPOINTS = (PREDICT, PREDICT_BATCH, PREDICT_TOP_K, PREDICT_THRESHOLDS, PREDICT_EXPLAIN, FEEDBACK)
