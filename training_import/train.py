"""Labelled texts to an artifact: split, choice on the held-out part, calibration, golden cases, card."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import FORMAT_VERSION, Artifact, Calibration, Manifest, Quantization, TrainingData
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, to_probabilities
from classifier.settings import PreprocessingSettings
from classifier.text import WORDS, TextSettings
from training_import.calibrate import fit_calibration
from training_import.dataset import Dataset
from training_import.metrics import Evaluation, class_indices, evaluate_classifier, evaluate_scores
from training_import.model_card import trained_model_card
from training_import.samples import golden_cases
from training_import.task import Fitted, Progress, Task, Trainer

Kind = Literal["linear", "cnn"]

HELD_OUT = 0.2

MOST_TOKENS: Mapping[Kind, int] = {"linear": 10_000, "cnn": 400}
"""A network learns from texts padded to a length, which bounds the time of learning and of an answer."""


def train(
    dataset: Dataset,
    kind: Kind,
    name: str,
    preprocessing: PreprocessingSettings,
    seed: int,
    test: Dataset | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Artifact, Evaluation]:
    """Train, choose and calibrate; returns the artifact and how it did on the held-out texts.

    `test` is looked at once, at the end, for the figures in the manifest. The same arguments and library
    versions give the same artifact.
    """
    dataset.check_learnable()
    labels = dataset.classes
    truth = class_indices(dataset.labels, labels)
    if test is not None:
        class_indices(test.labels, labels)  # an unknown label is an error now, not after the training
    learn, held_out = _split(truth, seed)
    settings = _text_settings(preprocessing, MOST_TOKENS[kind])
    task = Task(dataset.texts, truth, len(labels), learn, held_out, settings, seed)
    fitted = _trainer(kind)(task, progress)

    progress("calibrating")
    before = evaluate_scores(labels, truth[held_out], fitted.held_out_scores, Calibration())
    calibration = fit_calibration(fitted.held_out_scores, truth[held_out])
    after = evaluate_scores(labels, truth[held_out], fitted.held_out_scores, calibration)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        labels=labels,
        text=settings,
        model=fitted.model,
        calibration=calibration,
        trained_on=TrainingData(name=dataset.name, sha256=dataset.sha256, rows=len(truth)),
        seed=seed,
        versions=dict(fitted.versions),
        metrics=after.headline("validation") | {"validation_ece_uncalibrated": round(before.ece, 6)},
        quantization=_quantization(fitted, truth[held_out], calibration),
    )
    artifact = Artifact(manifest, fitted.vocabulary, fitted.weights)
    tested = None
    if test is not None:
        progress(f"testing on {len(test.texts)} texts")
        tested = evaluate_classifier(Classifier(artifact), test)
        metrics = manifest.metrics | tested.headline("test")
        artifact = replace(artifact, manifest=manifest.model_copy(update={"metrics": metrics}))
    progress("writing golden cases and model card")
    artifact = replace(artifact, golden=golden_cases(artifact, seed))
    card = trained_model_card(
        artifact, before, after, tested, fitted.choices, [dataset.texts[row] for row in held_out]
    )
    return replace(artifact, model_card=card), after


def _quantization(fitted: Fitted, truth: NDArray[np.intp], calibration: Calibration) -> Quantization | None:
    if fitted.rounding is None:
        return None
    exact = to_probabilities(fitted.rounding.exact_scores, calibration)
    stored = to_probabilities(fitted.held_out_scores, calibration)
    cost = (exact.argmax(axis=1) == truth).mean() - (stored.argmax(axis=1) == truth).mean()
    return Quantization(
        dtype=fitted.rounding.dtype,
        largest_difference=round(float(np.abs(exact - stored).max()), 6),
        accuracy_cost=round(float(cost), 6),
    )


def _trainer(kind: Kind) -> Trainer:
    if kind == "linear":
        from training_import.train_linear import train_linear

        return train_linear
    from training_import.train_cnn import train_cnn

    return train_cnn


def _split(truth: NDArray[np.intp], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from, and a fifth of every class to hold out."""
    generator = np.random.default_rng(seed)
    chosen = []
    for class_ in np.unique(truth):
        rows = generator.permutation(np.flatnonzero(truth == class_))
        chosen.append(rows[: round(len(rows) * HELD_OUT)])
    held_out = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(truth)), held_out), held_out


def _text_settings(preprocessing: PreprocessingSettings, most_tokens: int) -> TextSettings:
    """The settings of config.yaml as they go into an artifact, stop words included."""
    return TextSettings(
        strip_html=preprocessing.strip_html,
        lowercase=preprocessing.lowercase,
        remove_special_chars=preprocessing.remove_special_chars,
        # After it only letters and their marks are left, which \w would not keep together.
        token_pattern=r"[^\s]+" if preprocessing.remove_special_chars else WORDS,
        stopwords=stopwords() if preprocessing.remove_stopwords else (),
        max_tokens=min(preprocessing.max_tokens, most_tokens),
    )


def stopwords() -> tuple[str, ...]:
    """NLTK's English stop words; raises ClassifierError where the corpus is not installed."""
    from nltk.corpus import stopwords as corpus

    try:
        return tuple(sorted(corpus.words("english")))
    except LookupError as error:
        raise ClassifierError(
            "preprocessing.remove_stopwords needs NLTK's list: `python -m nltk.downloader stopwords`, or set "
            "NLTK_DATA to a folder with corpora/stopwords.zip"
        ) from error
