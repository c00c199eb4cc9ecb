"""Make an artifact from labelled texts: split, train, calibrate, evaluate, and describe."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import FORMAT_VERSION, Artifact, Calibration, Manifest, Quantization, TrainingData
from classifier.pipeline import Classifier, to_probabilities
from classifier.settings import PreprocessingSettings
from classifier.text import WORDS, TextSettings
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    Evaluation,
    class_indices,
    evaluate_classifier,
    evaluate_scores,
)
from training_import.samples import golden_cases
from training_import.stopwords import stopwords
from training_import.training.calibration import fit_calibration
from training_import.training.model_card import trained_model_card
from training_import.training.reference import held_out_reference
from training_import.training.task import Fitted, Progress, TrainingTask
from training_import.training.trainers import TRAINERS, Kind

HELD_OUT_SHARE = 0.2


def train(
    dataset: Dataset,
    kind: Kind,
    name: str,
    preprocessing: PreprocessingSettings,
    seed: int,
    test: Dataset | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Artifact, Evaluation]:
    """Train, choose and calibrate a model; returns the artifact and its evaluation on the held-out texts.

    `test` is used only once, at the end, for the figures in the manifest. The same arguments and library
    versions give the same artifact. Raises ClassifierError if the data cannot be learned from.
    """
    dataset.check_learnable()
    labels = dataset.classes
    truth = class_indices(dataset.labels, labels)
    if test is not None:
        class_indices(test.labels, labels)  # refuses an unknown label now, not after the training
    trainer = TRAINERS[kind]
    train_rows, held_out_rows = _split(truth, seed)
    settings = _text_settings(preprocessing, trainer.max_tokens)
    task = TrainingTask(dataset.texts, truth, len(labels), train_rows, held_out_rows, settings, seed)
    fitted = trainer.load()(task, progress)

    progress("calibrating")
    held_out_truth = truth[held_out_rows]
    held_out_texts = [dataset.texts[row] for row in held_out_rows]
    before = evaluate_scores(labels, held_out_truth, fitted.held_out_scores, Calibration())
    calibration = fit_calibration(fitted.held_out_scores, held_out_truth)
    after = evaluate_scores(labels, held_out_truth, fitted.held_out_scores, calibration)
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
        quantization=_quantization(fitted, held_out_truth, calibration),
        reference=held_out_reference(held_out_texts, settings, fitted, calibration),
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
    card = trained_model_card(artifact, before, after, tested, fitted.choices, held_out_texts)
    return replace(artifact, model_card=card), after


def _quantization(fitted: Fitted, truth: NDArray[np.intp], calibration: Calibration) -> Quantization | None:
    """Compare the stored weights with the trained ones on the held-out texts, whose classes are `truth`."""
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


def _split(truth: NDArray[np.intp], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows to train on, and the rows to hold out: a fifth of each class."""
    generator = np.random.default_rng(seed)
    chosen = []
    for class_ in np.unique(truth):
        rows = generator.permutation(np.flatnonzero(truth == class_))
        chosen.append(rows[: round(len(rows) * HELD_OUT_SHARE)])
    held_out_rows = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(truth)), held_out_rows), held_out_rows


def _text_settings(preprocessing: PreprocessingSettings, max_tokens: int) -> TextSettings:
    """Return the settings for an artifact that correspond to those of config.yaml, with the stop words."""
    return TextSettings(
        strip_html=preprocessing.strip_html,
        lowercase=preprocessing.lowercase,
        remove_special_chars=preprocessing.remove_special_chars,
        # If only letters and their marks are left, \w would split words at marks, which it does not match.
        token_pattern=r"[^\s]+" if preprocessing.remove_special_chars else WORDS,
        stopwords=stopwords() if preprocessing.remove_stopwords else (),
        max_tokens=min(preprocessing.max_tokens, max_tokens),
    )
