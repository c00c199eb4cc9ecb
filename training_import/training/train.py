"""Make an artifact from labelled texts: split, train, calibrate, evaluate, and describe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import FORMAT_VERSION, Artifact, Calibration, Manifest, Quantization, TrainingData
from classifier.errors import ClassifierError
from classifier.negation import NegationSettings
from classifier.pipeline import Classifier, to_probabilities
from classifier.settings import PreprocessingSettings
from classifier.text import WORDS, TextSettings
from training_import.calibration import fit_calibration
from training_import.dataset import Dataset
from training_import.evaluation.groups import GroupMetrics, evaluate_groups
from training_import.evaluation.metrics import (
    Evaluation,
    class_indices,
    evaluate_classifier,
    evaluate_scores,
)
from training_import.samples import golden_cases
from training_import.sentence_encoder import SentenceEncoder
from training_import.stopwords import stopwords
from training_import.training.class_weights import ClassWeight, text_weights
from training_import.training.doubts import doubts
from training_import.training.material import DataSets
from training_import.training.model_card import Figures, trained_model_card
from training_import.training.reference import held_out_reference
from training_import.training.task import Fitted, Progress, TrainingTask
from training_import.training.trainers import TRAINERS, Kind, TrainerEntry


@dataclass(frozen=True)
class Trained:
    """A trained model, and what is said of it."""

    artifact: Artifact
    evaluations: Mapping[str, Evaluation]
    """The figures by the name of the texts, in the plural."""
    notes: tuple[str, ...]
    """What was decided for the user, one sentence each."""
    warnings: tuple[str, ...]
    """What a person should know before trusting it, one sentence each."""


def train(
    data: DataSets,
    kind: Kind,
    name: str,
    preprocessing: PreprocessingSettings,
    seed: int,
    progress: Progress = lambda _step, _share=None: None,
    class_weight: ClassWeight | None = None,
    encoder: SentenceEncoder | None = None,
) -> Trained:
    """Train, choose and calibrate a model.

    A class weight also weights the held-out texts of the calibration, which would otherwise undo it.
    The test texts are used only once, at the end, for the figures in the manifest. The same arguments and
    library versions give the same artifact. Raises ClassifierError if the data cannot be learned from.
    """
    trainer = TRAINERS[kind]
    _check_encoder(kind, trainer, encoder)
    data.main.check_learnable(trainer.min_rows_of_a_class)
    _check_test(data)
    labels = data.main.classes
    if data.short is not None and not trainer.reads_short_texts:
        raise ClassifierError(f"short texts are only for models of kind 'linear', not {kind!r}")
    if data.phrases is not None and data.short is None:
        raise ClassifierError("phrases are only for a training with short texts")
    for other in (data.short, data.phrases, data.test, data.groups):
        if other is not None:  # An unknown label is refused now, not after the training.
            _check_labels(other.name, other.labels, labels)
    progress("looking for training texts that overlap with test texts")
    material = trainer.split(data, seed)
    settings = _text_settings(preprocessing, trainer) if encoder is None else encoder.text_settings
    task = TrainingTask(
        material.texts,
        class_indices(material.labels, labels),
        len(labels),
        material.train_rows,
        material.held_out_rows,
        material.is_short,
        material.is_phrase,
        settings,
        seed,
        class_weight,
        encoder,
    )
    fitted = trainer.load()(task, progress)

    progress("calibrating")
    held_out_truth = task.truth[task.held_out_rows]
    is_short = task.is_short[task.held_out_rows]
    held_out_texts = [task.texts[row] for row in task.held_out_rows[~is_short]]
    calibration = fit_calibration(
        fitted.held_out_scores, held_out_truth, text_weights(class_weight, held_out_truth, len(labels))
    )

    def held_out_figures(rows: NDArray[np.bool_], calibration: Calibration) -> Evaluation:
        return evaluate_scores(labels, held_out_truth[rows], fitted.held_out_scores[rows], calibration)

    before, after = held_out_figures(~is_short, Calibration()), held_out_figures(~is_short, calibration)
    short_after = held_out_figures(is_short, calibration) if is_short.any() else None
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        labels=labels,
        text=settings,
        model=fitted.model,
        calibration=calibration,
        trained_on=_trained_on(data.main, int((~task.is_short).sum())),
        short_trained_on=tuple(
            _trained_on(other, int(rows.sum()))
            for other, rows in (
                (data.short, task.is_short & ~task.is_phrase),
                (data.phrases, task.is_phrase),
            )
            if other is not None
        ),
        seed=seed,
        versions=dict(fitted.versions),
        metrics=after.headline("validation")
        | {"validation_ece_uncalibrated": round(before.ece, 6)}
        | ({} if short_after is None else short_after.headline("short_validation")),
        quantization=_quantization(fitted, held_out_truth, calibration),
        reference=held_out_reference(held_out_texts, fitted, ~is_short, calibration),
    )
    artifact = Artifact(manifest, fitted.vocabulary, fitted.weights)
    classifier = Classifier(artifact)
    tested: dict[str, Evaluation] = {}
    for prefix, texts in (("test", material.test), ("short_test", material.short_test)):
        if texts is not None:
            progress(f"testing on {len(texts.texts)} texts")
            tested[prefix] = evaluate_classifier(classifier, texts)
    metrics = manifest.metrics | {
        name: value for prefix, figures in tested.items() for name, value in figures.headline(prefix).items()
    }
    artifact = replace(artifact, manifest=manifest.model_copy(update={"metrics": metrics}))
    progress("writing golden cases and model card")
    artifact = replace(artifact, golden=golden_cases(artifact, artifact.vocabulary or fitted.words, seed))
    figures = Figures(
        before=before,
        after=after,
        short_after=short_after,
        test=tested.get("test"),
        short_test=tested.get("short_test"),
        groups=_groups(classifier, data),
        choices=fitted.choices,
        chosen_on=fitted.chosen_on,
        notes=fitted.notes,
        left_out=material.left_out,
        class_weight=class_weight,
    )
    card = trained_model_card(artifact, figures, held_out_texts)
    warnings = doubts(data, after, figures.test, material.left_out, trainer.few_rows_of_a_class)
    evaluations = {
        "held-out texts": after,
        "held-out short texts": short_after,
        "test texts": figures.test,
        "short test texts": figures.short_test,
    }
    return Trained(
        replace(artifact, model_card=card),
        {name: evaluation for name, evaluation in evaluations.items() if evaluation is not None},
        fitted.notes,
        warnings,
    )


def _check_encoder(kind: Kind, trainer: TrainerEntry, encoder: SentenceEncoder | None) -> None:
    if trainer.needs_encoder and encoder is None:
        raise ClassifierError(
            f"a model of kind {kind!r} needs a sentence encoder; --encoder names its folder"
        )
    if encoder is not None and not trainer.needs_encoder:
        raise ClassifierError(f"an encoder has no effect on a model of kind {kind!r}")


def _check_test(data: DataSets) -> None:
    if data.test is not None and data.test.texts == data.main.texts:
        raise ClassifierError(
            f"the test texts of {data.test.name} are the training texts of {data.main.name}; test with other "
            "texts, or without --test: a fifth is held out in any case"
        )


def _check_labels(name: str, found: Sequence[str | None], labels: Sequence[str]) -> None:
    try:
        class_indices(found, labels)
    except ClassifierError as error:
        raise ClassifierError(f"{name}: {error}") from error


def _trained_on(dataset: Dataset, rows: int) -> TrainingData:
    return TrainingData(name=dataset.name, sha256=dataset.sha256, rows=rows)


def _groups(classifier: Classifier, data: DataSets) -> tuple[GroupMetrics, ...]:
    groups = data.groups
    if groups is None:
        return ()
    return evaluate_groups(classifier, groups.texts, groups.labels, groups.groups)


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


def _text_settings(preprocessing: PreprocessingSettings, trainer: TrainerEntry) -> TextSettings:
    """Return the settings for an artifact that correspond to those of config.yaml, with the stop words.

    Raises ClassifierError if negation cannot be marked because other settings drop tokens.
    """
    marks_negation = trainer.marks_negation and preprocessing.mark_negation
    for name in ("remove_stopwords", "remove_special_chars"):
        if marks_negation and getattr(preprocessing, name):
            raise ClassifierError(
                f"preprocessing.{name} and preprocessing.mark_negation are both true, but negation can be "
                "marked only where all tokens are kept; set one of them to false"
            )
    return TextSettings(
        strip_html=preprocessing.strip_html,
        lowercase=preprocessing.lowercase,
        remove_special_chars=preprocessing.remove_special_chars,
        # If only letters and their marks are left, \w would split words at marks, which it does not match.
        token_pattern=r"[^\s]+" if preprocessing.remove_special_chars else WORDS,
        negation=NegationSettings() if marks_negation else None,
        stopwords=stopwords() if preprocessing.remove_stopwords else (),
        max_tokens=min(preprocessing.max_tokens, trainer.max_tokens),
    )
