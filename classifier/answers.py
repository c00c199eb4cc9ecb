"""Turns predictions into the answers of the contract."""

from collections.abc import Sequence

from classifier.drift.report import DriftReport, DriftStatus
from classifier.errors import NotBinary
from classifier.explain.explanation import Explanation
from classifier.pipeline import Classifier, Prediction, ThresholdRow
from classifier.schema import (
    BatchAnswer,
    DriftAnswer,
    ExplanationAnswer,
    OfOcclusion,
    PredictionAnswer,
    ThresholdAnswer,
    ThresholdsAnswer,
    TopKAnswer,
)


def prediction_answer(
    text: str,
    prediction: Prediction,
    confidence_threshold: float,
    threshold: float | None = None,
    with_probabilities: bool = True,
) -> PredictionAnswer:
    """The answer for one text.

    `confidence_threshold` decides `is_confident`. `threshold` is the client's own and decides
    `final_prediction`; it may be None. If a text can have several labels, it is also the threshold of all of
    them instead of the model's own.
    """
    confidence = prediction.confidence
    answer = PredictionAnswer(
        text=text,
        predicted_class=prediction.predicted_class,
        label=prediction.label,
        confidence=confidence,
        is_confident=confidence >= confidence_threshold,
    )
    if prediction.labels is not None:
        found = prediction.labels if threshold is None else prediction.labels_at(threshold)
        answer["labels"] = list(found)
    if with_probabilities:
        answer["probabilities"] = dict(prediction.probabilities)
        if prediction.probabilities.keys() == {"negative", "positive"}:
            answer["probability_positive"] = prediction.probabilities["positive"]
            answer["probability_negative"] = prediction.probabilities["negative"]
    if threshold is not None:
        answer["final_prediction"], answer["reason"] = prediction.decide(threshold)
    if prediction.warnings:
        answer["warnings"] = list(prediction.warnings)
    return answer


def batch_answer(
    texts: Sequence[str],
    predictions: Sequence[Prediction],
    confidence_threshold: float,
    with_probabilities: bool,
) -> BatchAnswer:
    """The answer for a batch, in the order of its texts."""
    answers = [
        prediction_answer(text, prediction, confidence_threshold, with_probabilities=with_probabilities)
        for text, prediction in zip(texts, predictions, strict=True)
    ]
    return BatchAnswer(predictions=answers, total_processed=len(answers))


def top_k_answer(text: str, prediction: Prediction, k: int) -> TopKAnswer:
    """The answer with the k most probable labels."""
    ranked = prediction.top_k(k)
    answer = TopKAnswer(
        text=text,
        top_predictions=[{"label": label, "probability": probability} for label, probability in ranked],
    )
    if prediction.warnings:
        answer["warnings"] = list(prediction.warnings)
    return answer


def thresholds_answer(text: str, rows: Sequence[ThresholdRow], warnings: Sequence[str]) -> ThresholdsAnswer:
    """The answer with the decision of each threshold."""
    answer = ThresholdsAnswer(text=text, results=list(map(_threshold_answer, rows)))
    if warnings:
        answer["warnings"] = list(warnings)
    return answer


def _threshold_answer(row: ThresholdRow) -> ThresholdAnswer:
    if row.probability_positive is not None:
        return {
            "threshold": row.threshold,
            "predicted_class": row.predicted_class,
            "label": row.label,
            "probability_positive": row.probability_positive,
            "confidence": row.confidence,
        }
    return {
        "threshold": row.threshold,
        "predicted_class": row.predicted_class,
        "label": row.label,
        "confidence": row.confidence,
        "labels": list(row.labels or ()),
    }


def explanation_answer(
    text: str, explanation: Explanation, confidence_threshold: float, top: int
) -> ExplanationAnswer:
    """The answer with the `top` largest contributions.

    `text` is as the client sent it. The explanation is of the text without white space at both ends, so its
    places are moved by what is at the beginning.
    """
    offset = len(text) - len(text.lstrip())
    shown, remainder = explanation.top(top)
    places, shares = explanation.words.places + offset, explanation.words.shares
    return {
        **prediction_answer(text, explanation.prediction, confidence_threshold),
        **_of_occlusion(explanation),
        "explained_label": explanation.label,
        "method": explanation.method.value,
        "unit": explanation.unit.value,
        "compared_with": explanation.compared_with.value,
        "score": explanation.score,
        "bias": explanation.bias,
        "contributions": [
            {
                "text": one.text,
                "places": [[start + offset, end + offset] for start, end in one.places],
                "contribution": one.value,
            }
            for one in shown
        ],
        "remainder": {"count": remainder.count, "contribution": remainder.value},
        "interaction": explanation.interaction,
        "words": [
            {"start": start, "end": end, "share": share}
            for start, end, share in zip(*places.T.tolist(), shares.tolist(), strict=True)
        ],
        "calibration": {"scale": explanation.calibration_scale, "bias": explanation.calibration_bias},
    }


def _of_occlusion(explanation: Explanation) -> OfOcclusion:
    found = explanation.faithfulness
    if found is None:
        return {}
    return {
        "faithfulness": {
            "comprehensiveness": found.comprehensiveness,
            "sufficiency": found.sufficiency,
        }
    }


def drift_answer(report: DriftReport | None) -> DriftAnswer:
    """The answer with a comparison of texts, which is None if the model has no reference."""
    if report is None:
        return DriftAnswer(status=DriftStatus.NO_REFERENCE, texts=0, reference_texts=0, features=[])
    return DriftAnswer(
        status=report.status,
        texts=report.texts,
        reference_texts=report.reference_texts,
        features=[
            {
                "feature": found.feature,
                "alarm": found.is_alarm,
                "psi": found.psi,
                "test": found.test.name,
                "statistic": found.test.statistic,
                "p_value": found.test.p_value,
                "bins": [
                    {"bin": bin_.name, "reference": bin_.reference, "window": bin_.window}
                    for bin_ in found.bins
                ],
            }
            for found in report.features
        ],
    )


def require_threshold(classifier: Classifier) -> None:
    """Raise NotBinary for a model that gives a text one of several classes, which no threshold decides."""
    if not classifier.is_binary and not classifier.has_several_labels:
        raise NotBinary(
            f"thresholds cannot be tried: the model has {len(classifier.labels)} classes, "
            "and one threshold decides between two"
        )
