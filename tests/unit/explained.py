"""Explanations with given shares, for tests of how they are shown."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from classifier.explain.explanation import (
    Comparison,
    Contributions,
    Explanation,
    Faithfulness,
    Method,
    Place,
    Unit,
    Words,
)
from classifier.pipeline import Prediction

BIAS = 0.25
SCALE = 1.5
CALIBRATION_BIAS = -0.125


def explained(
    text: str,
    values: Mapping[str, float],
    labels: Sequence[str] = ("negative", "positive"),
    faithfulness: Faithfulness | None = None,
    interaction: float = 0.0,
) -> Explanation:
    """An explanation of the last label, which is predicted with 0.9.

    Each word that occurs in the text has its value, for all occurrences together.
    """
    occurrences: dict[str, list[Place]] = {word: [] for word in values}
    for match in re.finditer(r"\w+", text):
        occurrences.setdefault(match[0].lower(), []).append(match.span())
    shares = [
        (place, values.get(word, 0.0) / len(found)) for word, found in occurrences.items() for place in found
    ]
    shares.sort()
    there = [word for word in values if occurrences[word]]
    counts = np.array([len(occurrences[word]) for word in there], np.int64)
    ends = counts.cumsum()
    rest = 0.1 / (len(labels) - 1)
    return Explanation(
        prediction=Prediction(labels[-1], len(labels) - 1, dict.fromkeys(labels, rest) | {labels[-1]: 0.9}),
        label=labels[-1],
        method=Method.EXACT if faithfulness is None else Method.OCCLUSION,
        unit=Unit.NGRAM if faithfulness is None else Unit.WORD,
        compared_with=Comparison.OTHER_LABEL if len(labels) == 2 else Comparison.MEAN,
        score=BIAS + sum(values[word] for word in there) + interaction,
        bias=BIAS,
        interaction=interaction,
        contributions=Contributions(
            text,
            np.array([values[word] for word in there]),
            np.array([place for word in there for place in occurrences[word]], np.int64).reshape(-1, 2),
            np.stack([ends - counts, ends], axis=1),
        ),
        words=Words(
            np.array([place for place, _ in shares], np.int64).reshape(-1, 2),
            np.array([share for _, share in shares]),
        ),
        calibration_scale=SCALE,
        calibration_bias=CALIBRATION_BIAS,
        faithfulness=faithfulness,
    )
