"""The figures of the model card, and the calibration."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from tiny import BINARY_LABELS, FOUR_LABELS, tiny_artifact

from classifier.artifact import Calibration
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, to_probabilities
from training_import.calibration import fit_calibration
from training_import.dataset import Dataset
from training_import.evaluation.metrics import (
    ECE_BINS,
    NO_CLASS,
    Confusion,
    class_indices,
    evaluate_classifier,
    evaluate_probabilities,
    evaluate_scores,
    expected_calibration_error,
    reliability,
)


def random_case(seed: int, classes: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (n), predictions (n) and probabilities (n, classes); each class occurs in the truth."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes) * 0.7, rows)
    truth = np.concatenate([np.arange(classes), generator.integers(classes, size=rows - classes)])
    return truth, probabilities.argmax(axis=1), probabilities


def synthetic_scores(classes: int, temperature: float, bias: float = 0.0, rows: int = 10_000):
    """Scores that are `temperature` times too large and shifted by `bias`, with labels from the true ones."""
    generator = np.random.default_rng(5)
    true_scores = generator.normal(scale=1.5, size=(rows, classes))
    probabilities = to_probabilities(true_scores, Calibration())
    truth = (probabilities.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    scores = true_scores * temperature
    scores[:, -1] -= bias * temperature
    return scores, truth


def test_ece_by_hand():
    confidence = np.array([0.95, 0.95, 0.61, 0.62, 0.51])
    probabilities = np.stack([1 - confidence, confidence], axis=1)
    truth = np.array([1, 0, 1, 1, 1])
    bins = reliability(truth, np.ones(5, int), probabilities)
    # There are 15 bins: 0.51 is in the 8th, 0.61 and 0.62 are in the 10th, 0.95 is in the 15th.
    assert [(b.count, b.accuracy) for b in bins] == [(1, 1.0), (2, 1.0), (2, 0.5)]
    assert [b.confidence for b in bins] == pytest.approx([0.51, 0.615, 0.95])
    assert expected_calibration_error(bins) == pytest.approx((0.49 + 2 * 0.385 + 2 * 0.45) / 5)


def test_a_confidence_of_one_is_in_the_last_bin():
    probabilities = np.array([[0.0, 1.0], [0.0, 1.0]])
    (only,) = reliability(np.array([1, 1]), np.array([1, 1]), probabilities)
    assert (only.confidence, only.accuracy, only.count) == (1.0, 1.0, 2)


def test_the_confidence_is_that_of_the_predicted_class_even_if_another_is_more_probable():
    probabilities = np.array([[0.6, 0.4]])
    (only,) = reliability(np.array([1]), np.array([1]), probabilities)
    assert only.confidence == 0.4


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_ece_equals_a_simple_reference(seed, classes):
    truth, predicted, probabilities = random_case(seed, classes, 60)
    gaps = {}
    for row in range(60):
        confidence = probabilities[row, predicted[row]]
        place = next(i for i in range(ECE_BINS) if confidence < (i + 1) / ECE_BINS or i == ECE_BINS - 1)
        gaps.setdefault(place, []).append((confidence, truth[row] == predicted[row]))
    expected = sum(
        len(members) / 60 * abs(np.mean([c for c, _ in members]) - np.mean([hit for _, hit in members]))
        for members in gaps.values()
    )
    assert expected_calibration_error(reliability(truth, predicted, probabilities)) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_roc_auc_of_two_classes_equals_scikit_learns(seed):
    truth, predicted, probabilities = random_case(seed, 2)
    figures = evaluate_probabilities(BINARY_LABELS, truth, predicted, probabilities)
    assert figures.roc_auc == pytest.approx(metrics.roc_auc_score(truth, probabilities[:, 1]))


@given(st.integers(0, 10_000))
def test_roc_auc_of_four_classes_equals_scikit_learns_one_vs_rest(seed):
    truth, predicted, probabilities = random_case(seed, 4)
    figures = evaluate_probabilities(FOUR_LABELS, truth, predicted, probabilities)
    assert figures.roc_auc == pytest.approx(metrics.roc_auc_score(truth, probabilities, multi_class="ovr"))


def test_a_class_without_texts_is_omitted_from_roc_auc_but_not_from_the_tables():
    truth, predicted, probabilities = random_case(1, 4)
    truth[truth == 3] = 0
    figures = evaluate_probabilities(FOUR_LABELS, truth, predicted, probabilities)
    present = [metrics.roc_auc_score(truth == column, probabilities[:, column]) for column in range(3)]
    assert figures.roc_auc == pytest.approx(np.mean(present))
    assert figures.by_class[3].support == 0
    assert figures.confusion[3] == (0, 0, 0, 0)


def test_the_figures_of_each_class_by_hand():
    truth = np.array([0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 1, 1, 0])
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    figures = evaluate_probabilities(BINARY_LABELS, truth, predicted, probabilities)
    negative, positive = figures.by_class
    assert (negative.precision, negative.recall, negative.support) == (2 / 3, 2 / 3, 3)
    assert (positive.precision, positive.recall, positive.f1, positive.support) == (0.5, 0.5, 0.5, 2)
    assert figures.accuracy == 0.6
    assert figures.confusion == ((2, 1), (1, 1))
    assert figures.log_loss == pytest.approx(-(3 * np.log(0.9) + 2 * np.log(0.1)) / 5)


def test_macro_f1_equals_scikit_learns_if_each_class_has_texts():
    truth, predicted, probabilities = random_case(4, 4)
    figures = evaluate_probabilities(FOUR_LABELS, truth, predicted, probabilities)
    assert figures.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))


def test_a_class_without_texts_does_not_lower_macro_f1():
    truth, predicted = np.array([0, 1]), np.array([0, 1])
    figures = evaluate_probabilities(FOUR_LABELS, truth, predicted, np.full((2, 4), 0.25))
    assert figures.macro_f1 == 1.0


def test_confusions_are_the_pairs_that_occur_the_most_frequent_first():
    truth, predicted = np.array([0, 0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2, 3])
    figures = evaluate_probabilities(FOUR_LABELS, truth, predicted, np.full((7, 4), 0.25))
    assert figures.confusions == (
        Confusion("anger", "fear", 2, 0.5),
        Confusion("fear", "anger", 1, 1.0),
        Confusion("joy", "sadness", 1, 0.5),
    )


def test_a_headline_has_a_prefix_and_six_digits():
    truth, predicted, probabilities = random_case(3, 2)
    figures = evaluate_probabilities(BINARY_LABELS, truth, predicted, probabilities)
    assert figures.headline("test") == {
        "test_accuracy": round(figures.accuracy, 6),
        "test_log_loss": round(figures.log_loss, 6),
        "test_roc_auc": round(figures.roc_auc, 6),
        "test_ece": round(figures.ece, 6),
    }


def test_class_indices_follow_the_order_of_the_classes():
    assert class_indices(["b", "a", "b"], ("a", "b", "c")).tolist() == [1, 0, 1]


def test_a_label_is_that_of_the_class_that_files_spell_like_it() -> None:
    assert class_indices(["1", "0"], ("0.0", "1.0")).tolist() == [1, 0]
    assert class_indices(["True", None], ("false", "true")).tolist() == [1, NO_CLASS]


def test_a_class_that_is_spelled_like_another_one_keeps_its_own_label() -> None:
    assert class_indices(["1", "1.0"], ("1", "1.0")).tolist() == [0, 1]


def test_an_unknown_label_is_refused_by_its_name():
    with pytest.raises(ClassifierError, match="label 'neutral' is none of the classes negative, positive"):
        class_indices(["positive", "neutral"], BINARY_LABELS)


def test_a_model_is_evaluated_with_its_own_threshold():
    dataset = Dataset("made up", "", ["film"] * 2, ["positive", "negative"])
    artifact = tiny_artifact()
    strict = replace(artifact, manifest=artifact.manifest.model_copy(update={"threshold": 0.9}))
    assert evaluate_classifier(Classifier(artifact), dataset).confusion == ((0, 1), (0, 1))
    assert evaluate_classifier(Classifier(strict), dataset).confusion == ((1, 0), (1, 0))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 6.0])
def test_calibration_recovers_a_known_temperature(classes, temperature):
    calibration = fit_calibration(*synthetic_scores(classes, temperature))
    assert calibration.method == ("platt" if classes == 2 else "temperature")
    assert calibration.scale * temperature == pytest.approx(1, abs=0.05)


def test_calibration_of_two_classes_recovers_a_known_bias():
    calibration = fit_calibration(*synthetic_scores(2, 3.0, bias=0.8))
    assert calibration.bias == pytest.approx((0.0, 0.8), abs=0.05)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.25, 6.0])
def test_calibration_lowers_log_loss_and_ece(classes, temperature):
    scores, truth = synthetic_scores(classes, temperature)
    labels = BINARY_LABELS if classes == 2 else FOUR_LABELS
    before = evaluate_scores(labels, truth, scores, Calibration())
    after = evaluate_scores(labels, truth, scores, fit_calibration(scores, truth))
    assert after.log_loss < before.log_loss
    assert after.ece < before.ece
    assert after.ece < 0.02


def test_calibration_by_temperature_does_not_change_predictions():
    scores, truth = synthetic_scores(4, 6.0)
    probabilities = to_probabilities(scores, fit_calibration(scores, truth))
    assert (probabilities.argmax(axis=1) == scores.argmax(axis=1)).all()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sign", [1, -1], ids=["always right", "always wrong"])
def test_scores_that_are_always_right_or_wrong_still_give_finite_probabilities(classes, sign):
    truth = np.arange(40) % classes
    scores = sign * np.eye(classes)[truth] * 2.5
    probabilities = to_probabilities(scores, fit_calibration(scores, truth))
    assert np.isfinite(probabilities).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)
