"""Turns texts into probabilities and predictions, in the service, in training and in evaluation alike."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import GOLDEN, Artifact, Calibration, GoldenCase, Manifest, read_artifact, version_of
from classifier.errors import ArtifactError
from classifier.runtimes import Batch, Runtime, Scored, Scores, Terms, runtime_of
from classifier.schema import MAX_TEXT_CHARS

UNCERTAIN = "uncertain"
LITTLE_EVIDENCE = (
    "little evidence: the text's words have little weight in the model, so its probabilities were moved "
    "closer to equal; it may have no clear label, or another language or subject than the training texts"
)


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What one run of the model on n texts found and took."""

    characters: NDArray[np.int64]
    """The length of each text (n)."""
    known: NDArray[np.int64]
    """How many tokens of each text (n) the model reads and knows."""
    unknown: NDArray[np.int64]
    """How many tokens of each text (n) the model does not know."""
    cut: NDArray[np.bool_]
    """Which texts (n) the model did not read to their end."""
    scores: Scores
    """The scores of each text before calibration, shape (n, classes)."""
    is_doubtful: NDArray[np.bool_]
    """Which texts (n) tell the model too little; see `classifier.runtimes.Scored`."""
    probabilities: NDArray[np.float64]
    """The probabilities of each text, shape (n, classes)."""
    predicted: NDArray[np.intp]
    """The index of the predicted class of each text (n)."""
    tokenization_seconds: float
    inference_seconds: float

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted class of each text (n)."""
        confidence: NDArray[np.float64] = self.probabilities[np.arange(len(self.predicted)), self.predicted]
        return confidence

    def only(self, rows: Sequence[int]) -> "ModelRun":
        """The same run as if it had these texts only."""
        return replace(
            self,
            characters=self.characters[rows],
            known=self.known[rows],
            unknown=self.unknown[rows],
            cut=self.cut[rows],
            scores=self.scores[rows],
            is_doubtful=self.is_doubtful[rows],
            probabilities=self.probabilities[rows],
            predicted=self.predicted[rows],
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model predicts for one text."""

    label: str
    predicted_class: int
    """The index of the label."""
    probabilities: Mapping[str, float]
    """The probability of every label, in the order of the model's classes."""
    labels: tuple[str, ...] | None = None
    """All labels at or above their thresholds; None if a text has exactly one label."""
    warnings: tuple[str, ...] = ()
    run: ModelRun | None = field(default=None, compare=False, repr=False)
    """The run of the model that predicted it together with other texts."""
    row: int = field(default=0, compare=False, repr=False)
    """The index of the text in that run."""
    batch: Batch | None = field(default=None, compare=False, repr=False)
    """The texts of that run as the input of the model."""

    @property
    def confidence(self) -> float:
        """The probability of the predicted label."""
        return self.probabilities[self.label]

    def top_k(self, k: int) -> list[tuple[str, float]]:
        """The k most probable labels with their probabilities; all labels if there are fewer."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]

    def labels_at(self, threshold: float) -> tuple[str, ...]:
        """All labels whose probability is at or above one threshold, in the order of the classes."""
        return tuple(label for label, value in self.probabilities.items() if value >= threshold)

    def decide(self, threshold: float) -> tuple[str, str]:
        """The label, or "uncertain" if its confidence is below `threshold`; and the reason."""
        confidence = self.confidence
        if confidence >= threshold:
            return self.label, f"Confidence {confidence:.4f} is at or above the threshold {threshold:g}"
        return UNCERTAIN, f"Confidence {confidence:.4f} is below the threshold {threshold:g}"


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What would be predicted if the second of two classes, or each of several labels, needed `threshold`."""

    threshold: float
    predicted_class: int
    label: str
    probability_positive: float | None
    """The probability of the second of two classes; None if a text can have several labels."""
    confidence: float
    labels: tuple[str, ...] | None = None
    """All labels at or above the threshold, if a text can have several."""


def to_probabilities(scores: Scores, calibration: Calibration) -> NDArray[np.float64]:
    """Turn scores (n, classes) into calibrated probabilities of the same shape.

    Each row sums to 1, unless each label is predicted by itself.
    """
    scaled = scores * calibration.scale
    if calibration.bias is not None:
        scaled += calibration.bias
    if calibration.activation == "softmax":
        scaled -= scaled.max(axis=1, keepdims=True)
        odds = np.exp(scaled)
    else:
        odds = 1 / (1 + np.exp(-np.clip(scaled, -700, 700)))
    if calibration.activation != "sigmoid":
        odds /= odds.sum(axis=1, keepdims=True)
    return odds


def decide_labels(manifest: Manifest, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which labels n texts have by the thresholds of the labels; both are (n, classes).

    It is for a model that `has_several_labels`.
    """
    decided: NDArray[np.bool_] = probabilities >= np.array(manifest.label_thresholds)
    return decided


class Classifier:
    """A loaded artifact that predicts. It holds no state between calls, so threads may share it."""

    cost: Callable[[str], int]
    """The size of a text in a batch; the time of a batch grows with the sum of its texts' sizes."""

    def __init__(self, artifact: Artifact, batch_size: int = 100, threads: int = 0) -> None:
        """Make a classifier that runs at most `batch_size` texts through the model together.

        If the model is a network on the CPU, a run uses `threads` threads; 0 lets the runtime choose.

        Raises ArtifactError if the weights do not fit the manifest.
        """
        manifest = artifact.manifest
        self.manifest = manifest
        self.digest = artifact.digest
        self.model_card = artifact.model_card
        self.labels = manifest.labels
        self.samples = _samples([case.text for case in artifact.golden])
        self._batch_size = batch_size
        self._runtime: Runtime[Any] = runtime_of(manifest.model.kind).load(
            manifest.model,
            artifact.weights,
            artifact.vocabulary,
            manifest.text,
            len(manifest.labels),
            threads,
        )
        self.cost = self._runtime.cost

    @property
    def version(self) -> str:
        """The artifact's version in the store."""
        return version_of(self.digest)

    @property
    def device(self) -> str:
        """What the model runs on: "cpu" or "cuda"."""
        return self._runtime.device

    @property
    def releases_gil(self) -> bool:
        """Whether other threads can run while this one predicts."""
        return self._runtime.releases_gil

    @property
    def is_binary(self) -> bool:
        """Whether a text has one of two classes, so that one threshold decides."""
        return len(self.labels) == 2 and not self.has_several_labels

    @property
    def has_several_labels(self) -> bool:
        """Whether a text can have several labels, or none."""
        return self.manifest.has_several_labels

    def describe(self) -> str:
        """Say what a text costs, for the model card."""
        return self._runtime.describe()

    def encode(self, texts: Sequence[str]) -> Batch:
        """Turn n texts into the input of the model."""
        batch: Batch = self._runtime.encode(texts)
        return batch

    def score(self, texts: Sequence[str]) -> Scores:
        """Score n texts, without calibration; returns shape (n, classes)."""
        return self._joined([self._runtime.score(batch).scores for batch in self._batches(texts)])

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities of n texts, shape (n, classes). They do not depend on the other texts.

        Raises FloatingPointError if the model gives a score that is not finite.
        """
        return self._joined([run.probabilities for run in self.runs(texts)])

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the index of the predicted class of each of n texts; `probabilities` is (n, classes).

        If a text can have several labels, it is the most probable one.
        """
        if self.is_binary:
            return (probabilities[:, 1] >= self.manifest.threshold).astype(np.intp)
        predicted: NDArray[np.intp] = probabilities.argmax(axis=1)
        return predicted

    def runs(self, texts: Sequence[str]) -> Iterator[ModelRun]:
        """Run n texts through the model, in order, and yield what each run found.

        Raises FloatingPointError if the model gives a score that is not finite.
        """
        return (run for run, _ in self._runs(texts))

    def _runs(self, texts: Sequence[str]) -> Iterator[tuple[ModelRun, Batch]]:
        """Run n texts through the model, in order; yield what each run found, and the input of the model."""
        for start in range(0, len(texts), self._batch_size):
            part = texts[start : start + self._batch_size]
            begin = time.perf_counter()
            batch = self._runtime.encode(part)
            encoded = time.perf_counter()
            scored, probabilities = self._run(batch)
            end = time.perf_counter()
            run = ModelRun(
                characters=np.fromiter(map(len, part), np.int64, len(part)),
                known=batch.known,
                unknown=batch.unknown,
                cut=batch.cut,
                scores=scored.scores,
                is_doubtful=scored.is_doubtful,
                probabilities=probabilities,
                predicted=self.decide(probabilities),
                tokenization_seconds=encoded - begin,
                inference_seconds=end - encoded,
            )
            yield run, batch

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predict n texts, in order: the label, the probability of every label, and warnings."""
        predictions: list[Prediction] = []
        for run, batch in self._runs(texts):
            warnings = self._warnings(run)
            labels = self._labels(run.probabilities)
            rows = zip(run.predicted.tolist(), run.probabilities.tolist(), strict=True)
            for row, (class_, values) in enumerate(rows):
                named = dict(zip(self.labels, values, strict=True))
                label, warned = self.labels[class_], warnings.get(row, ())
                predictions.append(Prediction(label, class_, named, labels[row], warned, run, row, batch))
        return predictions

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places (n, 2) of the tokens that the model reads; see `Runtime.places`."""
        return self._runtime.places(text)

    def contributions(self, text: str, prediction: Prediction) -> Terms | None:
        """Return the scores of a text as a sum, if they are one; see `Runtime.contributions`.

        `prediction` is what this classifier predicted for the text.
        """
        if prediction.batch is None:
            raise ValueError("the prediction does not come from a run of the model")
        return self._runtime.contributions(text, prediction.batch, prediction.row)

    def thresholds(self, prediction: Prediction, thresholds: Sequence[float]) -> list[ThresholdRow]:
        """Return what each threshold would predict for a text.

        It is for a model that `is_binary` or `has_several_labels`.
        """
        if self.has_several_labels:
            class_, label, confidence = prediction.predicted_class, prediction.label, prediction.confidence
            return [
                ThresholdRow(each, class_, label, None, confidence, prediction.labels_at(each))
                for each in thresholds
            ]
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
        found = self.probabilities([case.text for case in cases])
        for number, (case, values) in enumerate(zip(cases, found.tolist(), strict=True), start=1):
            if len(case.probabilities) != len(values) or not np.allclose(
                case.probabilities, values, rtol=0, atol=self._runtime.golden_tolerance
            ):
                raise ArtifactError(
                    f"{GOLDEN} line {number}: the model gives {tuple(values)} for {case.text[:60]!r}, "
                    f"not {case.probabilities} as when it was made"
                )

    def _labels(self, probabilities: NDArray[np.float64]) -> Sequence[tuple[str, ...] | None]:
        """Return all labels of each of n texts, or None for each if a text has exactly one."""
        if not self.has_several_labels:
            return [None] * len(probabilities)
        rows = decide_labels(self.manifest, probabilities).tolist()
        return [tuple(compress(self.labels, has_label)) for has_label in rows]

    def _batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        for start in range(0, len(texts), self._batch_size):
            yield self._runtime.encode(texts[start : start + self._batch_size])

    def _run(self, batch: Batch) -> tuple[Scored, NDArray[np.float64]]:
        """Return what the model finds in n texts, and their probabilities (n, classes)."""
        scored = self._runtime.score(batch)
        probabilities = to_probabilities(scored.scores, self.manifest.calibration)
        if not np.isfinite(probabilities).all():
            raise FloatingPointError("the model gave a score that is not a finite number")
        return scored, probabilities

    def _joined(self, parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate([np.empty((0, len(self.labels))), *parts])

    def _warnings(self, run: ModelRun) -> dict[int, tuple[str, ...]]:
        """Return the warnings of those texts that have any, by their index in the run."""
        strange = run.unknown > run.known
        is_empty = run.known + run.unknown == 0
        found: dict[int, tuple[str, ...]] = {}
        for row in (run.cut | strange | is_empty | run.is_doubtful).nonzero()[0].tolist():
            warnings: tuple[str, ...] = ()
            if run.cut[row]:
                limit, part = self.manifest.text.max_tokens, self.manifest.text.keep
                warnings += (f"cut: only the {part} {limit} tokens of the text were read",)
            if strange[row]:
                known, total = run.known[row], run.known[row] + run.unknown[row]
                warnings += (f"unknown words: the model knows {known} of the text's {total} tokens",)
            if is_empty[row]:
                warnings += ("no words: the text has no word that the model could read",)
            elif run.is_doubtful[row] and not strange[row]:
                warnings += (LITTLE_EVIDENCE,)
            found[row] = warnings
        return found


def _samples(texts: Sequence[str]) -> tuple[Sequence[str], ...]:
    """Return samples of typical texts: the texts themselves, and one text of the greatest length."""
    joined = " ".join(texts) + " "
    return (texts, [(joined * (MAX_TEXT_CHARS // len(joined) + 1))[:MAX_TEXT_CHARS]]) if texts else ()


def load_classifier(folder: Path, batch_size: int = 100, threads: int = 0) -> Classifier:
    """Load an artifact and check with its golden cases that it answers as it did when it was made.

    `Classifier` says what the two numbers are.

    Raises ArtifactError, which names the file and what is wrong.
    """
    artifact = read_artifact(folder)
    try:
        classifier = Classifier(artifact, batch_size, threads)
        classifier.check_golden(artifact.golden)
    except (ArtifactError, FloatingPointError) as error:
        raise ArtifactError(f"{folder}: {error}") from error
    return classifier
