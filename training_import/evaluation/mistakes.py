"""Find the most confident mistakes of a model, with an explanation of each."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from classifier.explain.explanation import Explanation
from training_import.dataset import Dataset
from training_import.evaluation.evaluate import Report

Pair = tuple[str, str]
"""The true label and the predicted one."""


@dataclass(frozen=True)
class Mistake:
    """A text with a wrong prediction."""

    place: str
    """Where the text is: its line or row in its file, or its number if it is not from a file."""
    text: str
    truth: str
    predicted: str
    confidence: float
    explanation: Explanation
    """Why the model predicted the label that it predicted."""


@dataclass(frozen=True)
class Mistakes:
    """The most confident mistakes on a data set."""

    pairs: tuple[tuple[Pair, int], ...]
    """How many mistakes of each pair of labels the data set has, the most frequent pair first."""
    worst: tuple[Mistake, ...]
    """The explained mistakes, the most confident first."""

    @property
    def total(self) -> int:
        """The number of all mistakes on the data set."""
        return sum(count for _, count in self.pairs)


def find_mistakes(
    dataset: Dataset,
    report: Report,
    explain: Callable[[str], Explanation],
    most: int,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> Mistakes:
    """Explain at most `most` mistakes of a report; `advance` receives how many of how many are explained.

    A text that no class is right for is not a mistake. Among mistakes of the same confidence those of the
    first rows are taken.
    """
    labels = report.evaluation.labels
    wrong = np.flatnonzero(report.has_class & (report.predicted != report.truth))
    confidence = report.probabilities[wrong, report.predicted[wrong]]
    order = np.argsort(-confidence, kind="stable")[:most]
    worst = []
    for place, row in zip(order.tolist(), wrong[order].tolist(), strict=True):
        text = dataset.texts[row]
        worst.append(
            Mistake(
                place=dataset.place_of(row) or f"text {row + 1}",
                text=text,
                truth=labels[report.truth[row]],
                predicted=labels[report.predicted[row]],
                confidence=float(confidence[place]),
                explanation=explain(text),
            )
        )
        advance(len(worst), len(order))
    pairs = Counter((labels[report.truth[row]], labels[report.predicted[row]]) for row in wrong.tolist())
    return Mistakes(tuple(sorted(pairs.items(), key=lambda item: (-item[1], item[0]))), tuple(worst))
