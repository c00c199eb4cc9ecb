"""Mistakes of a made-up model on made-up texts, for tests of the page that shows them."""

from collections.abc import Callable, Sequence

import numpy as np
from explained import explained

from classifier.explain.explanation import Explanation
from training_import.dataset import Dataset
from training_import.evaluation.evaluate import Report
from training_import.evaluation.metrics import class_indices, evaluate_probabilities

Row = tuple[str, str, str, float]
"""A text, its true label, its predicted label, and the confidence."""


def dataset_of(rows: Sequence[Row]) -> Dataset:
    texts = [text for text, *_ in rows]
    return Dataset("made-up.csv", "5" * 64, texts, [truth for _, truth, *_ in rows])


def report_of(rows: Sequence[Row], labels: Sequence[str]) -> Report:
    """What `evaluate` returns for a model that predicts so."""
    truth = class_indices([truth for _, truth, *_ in rows], labels)
    predicted = class_indices([label for _, _, label, _ in rows], labels)
    confidence = np.array([confidence for *_, confidence in rows])
    probabilities = np.repeat((1 - confidence)[:, None] / (len(labels) - 1), len(labels), axis=1)
    probabilities[np.arange(len(rows)), predicted] = confidence
    evaluation = evaluate_probabilities(labels, truth, predicted, probabilities)
    return Report(evaluation, 1.0, truth, predicted, probabilities)


def explaining(**values: float) -> Callable[[str], Explanation]:
    """A function that explains texts, in which each word has its value."""
    return lambda text: explained(text, {word: values[word] for word in values if word in text.lower()})
