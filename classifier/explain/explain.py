"""Explain why a text has its score."""

from collections.abc import Generator, Iterable, Sequence

import numpy as np

from classifier.explain import exact, occlusion
from classifier.explain.explanation import Explanation, Method, Unit
from classifier.explain.target import Target
from classifier.pipeline import Classifier, Prediction
from classifier.runtimes import Terms
from classifier.settings import ExplainSettings

Runs = Generator[Sequence[str], Sequence[Prediction], Explanation]
"""Yields texts that must be run through the model, is sent their predictions, and returns the explanation.

So the same steps explain a text to a caller that waits for the model, and to the service, whose batcher runs
the texts together with those of other clients.
"""


def explain_text(
    classifier: Classifier,
    text: str,
    label: str | None = None,
    max_runs: int = ExplainSettings().max_runs,
) -> Explanation:
    """Explain the score of a label, or of the predicted label, for a text.

    `max_runs` bounds the texts that are run through a model whose score is not a sum.
    Raises UnknownLabel, and FloatingPointError if the model gives a score that is not finite.
    """
    runs = explanation_runs(classifier, text, label, max_runs)
    texts = next(runs)
    while True:
        try:
            texts = runs.send(classifier.predict(texts))
        except StopIteration as finished:
            explanation: Explanation = finished.value
            return explanation


def explanation_runs(classifier: Classifier, text: str, label: str | None, max_runs: int) -> Runs:
    """Explain a text step by step; see `Runs` and `explain_text`."""
    asked = None if label is None else Target.of(classifier.manifest, label)
    (prediction,) = yield [text]
    target = asked or Target.of(classifier.manifest, prediction.label)
    terms = classifier.contributions(text, prediction)
    if terms is not None:
        return _exact(classifier, text, target, prediction, terms)
    return (yield from _occluded(classifier, text, target, prediction, max_runs))


def _exact(
    classifier: Classifier, text: str, target: Target, prediction: Prediction, terms: Terms
) -> Explanation:
    scale, bias = target.calibration(classifier)
    return Explanation(
        prediction=prediction,
        label=target.label,
        method=Method.EXACT,
        unit=Unit.NGRAM,
        compared_with=target.compared_with,
        score=target.score_of(prediction),
        bias=float(terms.bias @ target.weights),
        interaction=0.0,
        contributions=exact.contributions_of(text, terms, target),
        words=exact.words_of(terms, target),
        calibration_scale=scale,
        calibration_bias=bias,
    )


def _occluded(
    classifier: Classifier, text: str, target: Target, prediction: Prediction, max_runs: int
) -> Runs:
    tokens = classifier.places(text)
    parts = occlusion.parts_of(text, tokens, max_runs)
    numbers = range(len(parts))
    nothing, *each = map(parts.without, [numbers, *([number] for number in numbers)])
    found = {text: prediction}
    yield from _run([nothing, *each], found)
    score, bias = target.score_of(prediction), target.score_of(found[nothing])
    values = score - np.array([target.score_of(found[one]) for one in each])
    erased = occlusion.Erasures.of(parts, values)
    yield from _run([*erased.without_important, *erased.only_important], found)
    probabilities = {one: found[one].probabilities[target.label] for one in found}
    scale, calibration_bias = target.calibration(classifier)
    return Explanation(
        prediction=prediction,
        label=target.label,
        method=Method.OCCLUSION,
        unit=parts.unit,
        compared_with=target.compared_with,
        score=score,
        bias=bias,
        interaction=score - bias - float(values.sum()),
        contributions=occlusion.contributions_of(parts, values),
        words=occlusion.words_of(parts, tokens, values),
        calibration_scale=scale,
        calibration_bias=calibration_bias,
        faithfulness=erased.faithfulness(probabilities[text], probabilities),
    )


def _run(
    texts: Iterable[str], found: dict[str, Prediction]
) -> Generator[Sequence[str], Sequence[Prediction], None]:
    """Have those texts run that were not yet, and add their predictions to `found`."""
    missing = [text for text in dict.fromkeys(texts) if text not in found]
    if missing:
        found |= zip(missing, (yield missing), strict=True)
