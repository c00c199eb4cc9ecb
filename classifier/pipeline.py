"""Texts in, predictions out: the one way that service, training and evaluation share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import GOLDEN, Artifact, Calibration, GoldenCase, read_artifact, version_of
from classifier.errors import ArtifactError
from classifier.runtime import LinearRuntime, OnnxRuntime, Runtime, Scores
from classifier.schema import MAX_TEXT_CHARS
from classifier.text import Encoded, Tokenizer

GOLDEN_TOLERANCE = 1e-4
"""How far a probability may be from its golden case: processors differ in the last digits of a network."""

UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one text."""

    label: str
    predicted_class: int
    """The label's index."""
    probabilities: Mapping[str, float]
    """Of every label, in the model's order."""
    warnings: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """The probability of the predicted label."""
        return self.probabilities[self.label]

    def top_k(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels with their probabilities; all, where there are fewer."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]

    def decide(self, threshold: float) -> tuple[str, str]:
        """The label, or "uncertain" where its confidence is below `threshold`; and the reason."""
        confidence = self.confidence
        if confidence >= threshold:
            return self.label, f"Confidence {confidence:.4f} is at or above the threshold {threshold:g}"
        return UNCERTAIN, f"Confidence {confidence:.4f} is below the threshold {threshold:g}"


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What would be predicted if the second of two classes needed at least `threshold`."""

    threshold: float
    predicted_class: int
    label: str
    probability_positive: float
    confidence: float


def probabilities(scores: Scores, calibration: Calibration) -> NDArray[np.float64]:
    """Turn scores (n, classes) into calibrated probabilities of the same shape; each row sums to 1."""
    scaled = scores * calibration.scale
    if calibration.bias is not None:
        scaled += calibration.bias
    if calibration.activation == "softmax":
        scaled -= scaled.max(axis=1, keepdims=True)
        odds = np.exp(scaled)
    else:
        odds = 1 / (1 + np.exp(-np.clip(scaled, -700, 700)))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


class Classifier:
    """A loaded artifact that predicts. It holds no state between calls, so threads may share it."""

    def __init__(self, artifact: Artifact, batch_size: int = 100) -> None:
        """`batch_size`: texts in one run of the model."""
        manifest = artifact.manifest
        self.manifest = manifest
        self.digest = artifact.digest
        self.labels = manifest.labels
        self.samples = _samples([case.text for case in artifact.golden])
        self._batch_size = batch_size
        self._tokenizer = Tokenizer(manifest.text, artifact.vocabulary)
        self._runtime = _runtime(artifact, self._tokenizer)

    @property
    def version(self) -> str:
        """The artifact's version in the store."""
        return version_of(self.digest)

    @property
    def device(self) -> str:
        """What the model runs on."""
        return self._runtime.device

    @property
    def releases_gil(self) -> bool:
        """Whether other threads run while it predicts."""
        return self._runtime.releases_gil

    def cost(self, text: str) -> int:
        """x"""
        return 100 + len(text.encode(errors="surrogatepass"))

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes, so that one threshold decides."""
        return len(self.labels) == 2

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Texts to what the model eats."""
        return self._tokenizer.encode(texts)

    def score(self, texts: Sequence[str]) -> Scores:
        """Uncalibrated scores (n, classes)."""
        starts = range(0, len(texts), self._batch_size)
        parts = [
            self._runtime.score(self.encode(texts[start : start + self._batch_size])) for start in starts
        ]
        return np.concatenate([np.empty((0, len(self.labels))), *parts])

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predict n texts, in order. A text's prediction does not depend on the others."""
        predictions: list[Prediction] = []
        for start in range(0, len(texts), self._batch_size):
            encoded = self.encode(texts[start : start + self._batch_size])
            table = probabilities(self._runtime.score(encoded), self.manifest.calibration)
            if not np.isfinite(table).all():
                raise FloatingPointError("the model gave a score that is not a finite number")
            predicted = self._decide(table).tolist()
            warnings = self._warnings(encoded)
            for row, (class_, values) in enumerate(zip(predicted, table.tolist(), strict=True)):
                named = dict(zip(self.labels, values, strict=True))
                predictions.append(Prediction(self.labels[class_], class_, named, warnings.get(row, ())))
        return predictions

    def thresholds(self, prediction: Prediction, thresholds: Sequence[float]) -> list[ThresholdRow]:
        """What each threshold would make of a prediction; only where `is_binary`."""
        negative, positive = self.labels
        p = prediction.probabilities[positive]
        rows = []
        for threshold in thresholds:
            is_positive = p >= threshold
            label = positive if is_positive else negative
            rows.append(ThresholdRow(threshold, int(is_positive), label, p, prediction.probabilities[label]))
        return rows

    def check_golden(self, cases: Sequence[GoldenCase]) -> None:
        """Raise ArtifactError unless each golden case still gets its probabilities."""
        for number, (case, got) in enumerate(
            zip(cases, self.predict([case.text for case in cases]), strict=True), start=1
        ):
            values = tuple(got.probabilities.values())
            if len(case.probabilities) != len(values) or not np.allclose(
                case.probabilities, values, rtol=0, atol=GOLDEN_TOLERANCE
            ):
                raise ArtifactError(
                    f"{GOLDEN} line {number}: the model gives {values} for {case.text[:60]!r}, "
                    f"not {case.probabilities} as when it was made"
                )

    def _decide(self, table: NDArray[np.float64]) -> NDArray[np.intp]:
        predicted: NDArray[np.intp] = table.argmax(axis=1)
        if self.is_binary:
            predicted = (table[:, 1] >= self.manifest.threshold).astype(np.intp)
        return predicted

    def _warnings(self, encoded: Encoded) -> dict[int, tuple[str, ...]]:
        """The warnings of those texts that have any, by their place in the batch."""
        lengths = np.diff(encoded.ends, prepend=-1) - 1
        known = lengths - encoded.unknown if self.manifest.text.unknown == "keep" else lengths
        strange = encoded.unknown > known
        found: dict[int, tuple[str, ...]] = {}
        for row in (encoded.cut | strange).nonzero()[0].tolist():
            warnings: tuple[str, ...] = ()
            if encoded.cut[row]:
                limit, part = self.manifest.text.max_tokens, self.manifest.text.keep
                warnings += (f"cut: only the {part} {limit} tokens of the text were read",)
            if strange[row]:
                total = int(encoded.unknown[row] + known[row])
                warnings += (f"unknown words: the model knows {known[row]} of the text's {total} tokens",)
            found[row] = warnings
        return found


def _samples(texts: Sequence[str]) -> tuple[Sequence[str], ...]:
    """Samples of typical texts: as they are, and as one text of the greatest length that the API takes."""
    joined = " ".join(texts) + " "
    return (texts, [(joined * (MAX_TEXT_CHARS // len(joined) + 1))[:MAX_TEXT_CHARS]]) if texts else ()


def _runtime(artifact: Artifact, tokenizer: Tokenizer) -> Runtime:
    settings, classes = artifact.manifest.model, len(artifact.manifest.labels)
    if settings.kind == "linear":
        return LinearRuntime(artifact.arrays, settings, tokenizer.unknown_id, tokenizer.id_count, classes)
    return OnnxRuntime(artifact.network, settings, tokenizer.unknown_id, classes)


def load_classifier(folder: Path, batch_size: int = 100) -> Classifier:
    """Load an artifact and prove with its golden cases that it answers as when it was made.

    Raises ArtifactError, which names the file and what is wrong.
    """
    artifact = read_artifact(folder)
    try:
        classifier = Classifier(artifact, batch_size)
        classifier.check_golden(artifact.golden)
    except (ArtifactError, FloatingPointError) as error:
        raise ArtifactError(f"{folder}: {error}") from error
    return classifier
