"""Find the most confident mistakes of a model, with an explanation of each."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from classifier.explain.explanation import Explanation
from training_import.dataset import Dataset
from training_import.evaluation.evaluate import MultilabelReport, Report

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
    """Why the model predicted the label that it predicted; of a model with several labels, the explanation of
    the label that it missed or gave wrongly."""


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
    return _mistakes(pairs, worst)


def find_multilabel_mistakes(
    dataset: Dataset,
    report: MultilabelReport,
    explain: Callable[[str, str], Explanation],
    most: int,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> Mistakes:
    """Explain at most `most` wrong pairs of a text and a label; see `find_mistakes`.

    The label is missing in the prediction, or is in it and should not be. The confidence is the probability
    of what was predicted: of the label, or of a text without it. `explain` receives a text and the label.
    """
    labels = report.evaluation.labels
    rows, columns = np.nonzero(report.truth != report.predicted)
    of_labels = report.probabilities[rows, columns]
    confidence = np.where(report.predicted[rows, columns], of_labels, 1 - of_labels)
    order = np.argsort(-confidence, kind="stable")[:most]
    worst = []
    for place in order.tolist():
        row, column = int(rows[place]), int(columns[place])
        truth, predicted = _with_or_without(labels[column], is_true=bool(report.truth[row, column]))
        text = dataset.texts[row]
        worst.append(
            Mistake(
                place=dataset.place_of(row) or f"text {row + 1}",
                text=text,
                truth=truth,
                predicted=predicted,
                confidence=float(confidence[place]),
                explanation=explain(text, labels[column]),
            )
        )
        advance(len(worst), len(order))
    pairs = Counter(
        _with_or_without(labels[column], is_true=is_true)
        for column, is_true in zip(columns.tolist(), report.truth[rows, columns].tolist(), strict=True)
    )
    return _mistakes(pairs, worst)


def _with_or_without(label: str, *, is_true: bool) -> Pair:
    """Return what a wrong pair of a text and a label has in place of two labels."""
    without = f"without {label}"
    return (label, without) if is_true else (without, label)


def _mistakes(pairs: Counter[Pair], worst: list[Mistake]) -> Mistakes:
    return Mistakes(tuple(sorted(pairs.items(), key=lambda item: (-item[1], item[0]))), tuple(worst))
