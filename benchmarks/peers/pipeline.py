"""The pipeline behind every peer: texts in, answers of the contract out."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from classifier.answers import prediction_answer
from classifier.pipeline import load_classifier
from classifier.schema import PredictionAnswer

HOST = "127.0.0.1"
MAX_BATCH_SIZE = 64
CONFIDENCE_THRESHOLD = 0.5


def port() -> int:
    """The port to listen on."""
    return int(os.environ["PORT"])


def artifact() -> Path:
    """The folder of the model."""
    return Path(os.environ["ARTIFACT"])


def load_answers() -> Callable[[Sequence[str]], list[PredictionAnswer]]:
    """Load the artifact; return a function that answers n texts in order."""
    classifier = load_classifier(artifact())

    def answers(texts: Sequence[str]) -> list[PredictionAnswer]:
        return [
            prediction_answer(text, prediction, CONFIDENCE_THRESHOLD)
            for text, prediction in zip(texts, classifier.predict(texts), strict=True)
        ]

    return answers
