"""Texts in, probabilities and predictions out."""

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st
from numpy.typing import NDArray
from tiny import (
    BINARY_LABELS,
    FOUR_LABELS,
    doubting_artifact,
    tiny_artifact,
    with_golden,
    write_tiny,
)

from classifier.artifact import Calibration, GoldenCase, read_artifact, version_of
from classifier.errors import ArtifactError
from classifier.pipeline import (
    LITTLE_EVIDENCE,
    Classifier,
    Prediction,
    ThresholdRow,
    load_classifier,
    to_probabilities,
)
from classifier.runtimes import Scores
from classifier.runtimes.linear import LinearRuntime, pack_arrays, unpack_arrays
from classifier.schema import MAX_TEXT_CHARS
from classifier.text import Encoded, TextSettings

BINARY = Classifier(tiny_artifact())
FOUR = Classifier(tiny_artifact(FOUR_LABELS))
CALIBRATIONS = [
    Calibration(),
    Calibration(method="temperature", scale=0.3),
    Calibration(activation="one-vs-rest"),
    Calibration(method="platt", activation="one-vs-rest", scale=1.7, bias=(0.5, -1.0, 0.0)),
]


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


# Scores to probabilities


@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=str)
@given(scores=numpy_st.arrays(np.float64, (4, 3), elements=st.floats(-1e6, 1e6)))
def test_the_probabilities_of_a_text_sum_to_one(
    calibration: Calibration, scores: NDArray[np.float64]
) -> None:
    np.testing.assert_allclose(to_probabilities(scores, calibration).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=str)
@given(scores=numpy_st.arrays(np.float64, (4, 3), elements=st.floats(-1e6, 1e6)))
def test_computing_probabilities_does_not_change_the_scores(
    calibration: Calibration, scores: NDArray[np.float64]
) -> None:
    before = scores.copy()
    to_probabilities(scores, calibration)
    assert np.array_equal(scores, before)


@given(st.floats(-30, 30))
def test_a_softmax_over_zero_and_a_score_is_its_sigmoid(score: float) -> None:
    table = to_probabilities(np.array([[0.0, score]]), Calibration())
    assert table[0, 1] == pytest.approx(_sigmoid(score), rel=1e-12)


def test_a_temperature_scales_the_scores() -> None:
    table = to_probabilities(np.array([[0.0, 2.0]]), Calibration(method="temperature", scale=0.25))
    assert table[0, 1] == pytest.approx(_sigmoid(0.5), rel=1e-12)


@given(numpy_st.arrays(np.float64, (1, 4), elements=st.integers(-20, 20)), st.floats(0.1, 4))
def test_a_temperature_keeps_the_order_of_the_classes(scores: NDArray[np.float64], scale: float) -> None:
    table = to_probabilities(scores, Calibration(method="temperature", scale=scale))
    rank = scores[0].argsort(kind="stable")
    assert (np.diff(table[0, rank]) >= 0).all()


def test_platt_scales_the_scores_and_adds_a_bias() -> None:
    calibration = Calibration(method="platt", scale=2.0, bias=(0.0, -1.0))
    table = to_probabilities(np.array([[0.0, 1.5]]), calibration)
    assert table[0, 1] == pytest.approx(_sigmoid(2 * 1.5 - 1), rel=1e-12)


def test_one_vs_rest_divides_the_sigmoid_of_each_class_by_their_sum() -> None:
    table = to_probabilities(np.array([[1.0, -2.0, 0.5]]), Calibration(activation="one-vs-rest"))
    odds = np.array([_sigmoid(1.0), _sigmoid(-2.0), _sigmoid(0.5)])
    np.testing.assert_allclose(table[0], odds / odds.sum(), rtol=1e-12)


def test_the_calibration_of_the_artifact_is_applied() -> None:
    classifier = Classifier(tiny_artifact(calibration=Calibration(method="temperature", scale=0.5)))
    assert classifier.predict(["great"])[0].probabilities["positive"] == pytest.approx(_sigmoid(1.0))


# Predictions


def test_a_prediction_has_the_label_its_class_and_every_probability() -> None:
    (prediction,) = BINARY.predict(["Great film!"])
    positive = pytest.approx(_sigmoid(2.125))
    negative = pytest.approx(1 - _sigmoid(2.125))
    assert (prediction.label, prediction.predicted_class, dict(prediction.probabilities)) == (
        "positive",
        1,
        {"negative": negative, "positive": positive},
    )


def test_n_grams_count_in_addition_to_their_words() -> None:
    assert BINARY.predict(["not good"])[0].probabilities["positive"] == pytest.approx(_sigmoid(1 - 2.25))


def test_predictions_are_in_the_order_of_the_texts() -> None:
    labels = [prediction.label for prediction in BINARY.predict(["great", "awful", "great", "bad"])]
    assert labels == ["positive", "negative", "positive", "negative"]


def test_an_empty_list_of_texts_gives_no_predictions() -> None:
    assert BINARY.predict([]) == []


def test_an_empty_list_of_texts_gives_no_scores() -> None:
    assert FOUR.score([]).shape == (0, 4)


def test_scores_are_not_calibrated() -> None:
    classifier = Classifier(tiny_artifact(calibration=Calibration(method="temperature", scale=0.5)))
    assert classifier.score(["great"]).tolist() == [[0, 2]]


def test_the_most_probable_of_many_labels_is_predicted() -> None:
    (prediction,) = FOUR.predict(["great film"])
    assert prediction.confidence == max(prediction.probabilities.values())


def test_the_confidence_is_the_probability_of_the_predicted_label() -> None:
    assert BINARY.predict(["awful"])[0].confidence == pytest.approx(1 - _sigmoid(-2.5))


@pytest.mark.parametrize(("threshold", "label"), [(0.73, "positive"), (0.74, "negative"), (1.0, "negative")])
def test_the_threshold_decides_between_two_classes(threshold: float, label: str) -> None:
    classifier = Classifier(tiny_artifact(threshold=threshold))  # "good" has the probability 0.7311
    assert classifier.predict(["good"])[0].label == label


def test_a_probability_equal_to_the_threshold_predicts_the_second_class() -> None:
    assert BINARY.predict(["nothing known"])[0].label == "positive"


def test_a_label_below_one_half_can_be_predicted_with_its_own_confidence() -> None:
    (prediction,) = Classifier(tiny_artifact(threshold=0.15)).predict(["bad"])
    assert (prediction.label, prediction.confidence) == ("positive", pytest.approx(_sigmoid(-1.5)))


def test_the_threshold_has_no_effect_on_four_classes() -> None:
    texts = ["great film", "awful", "not bad"]
    assert Classifier(tiny_artifact(FOUR_LABELS, threshold=0.99)).predict(texts) == FOUR.predict(texts)


@pytest.mark.parametrize(("classifier", "is_binary"), [(BINARY, True), (FOUR, False)], ids=["2", "4"])
def test_only_two_classes_are_binary(classifier: Classifier, is_binary: bool) -> None:
    assert classifier.is_binary is is_binary


@pytest.mark.parametrize("value", [1e308, 2e307])
def test_predictions_from_scores_that_are_not_finite_raise(value: float) -> None:
    artifact = tiny_artifact(FOUR_LABELS, calibration=Calibration(method="temperature", scale=10.0))
    arrays = unpack_arrays(artifact.weights) | {"intercept": np.array([0, 0, 0, value])}
    with (
        np.errstate(invalid="ignore", over="ignore"),
        pytest.raises(FloatingPointError, match="score that is not a finite number"),
    ):
        Classifier(replace(artifact, weights=pack_arrays(arrays))).predict(["good"])


KNOWN_AND_UNKNOWN = ["good", "great", "bad", "awful", "film", "not", "xyz"]
wordy_texts = st.lists(
    st.lists(st.sampled_from(KNOWN_AND_UNKNOWN), max_size=10).map(" ".join),
    max_size=9,
)


@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["2 classes", "4 classes"])
@given(texts=wordy_texts, batch_size=st.integers(1, 10))
def test_the_batch_size_does_not_change_any_answer(
    labels: tuple[str, ...], texts: list[str], batch_size: int
) -> None:
    artifact = tiny_artifact(labels)
    whole = Classifier(artifact, batch_size=100).predict(texts)
    parts = Classifier(artifact, batch_size=batch_size).predict(texts)
    # A processor may round the last bit of an exponential differently in a longer array.
    assert [(one.label, one.warnings, dict(one.probabilities)) for one in parts] == [
        (one.label, one.warnings, pytest.approx(dict(one.probabilities), rel=1e-12)) for one in whole
    ]


@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_texts_get_one_prediction_each(texts: list[str]) -> None:
    assert len(FOUR.predict(texts)) == len(texts)


# The parts of a prediction

FOUR_WAY = Prediction("joy", 2, {"anger": 0.1, "fear": 0.25, "joy": 0.4, "sadness": 0.25})


def test_top_k_lists_the_most_probable_first() -> None:
    assert FOUR_WAY.top_k(2) == [("joy", 0.4), ("fear", 0.25)]


def test_top_k_keeps_the_order_of_the_model_between_equals() -> None:
    assert [label for label, _ in FOUR_WAY.top_k(4)] == ["joy", "fear", "sadness", "anger"]


def test_top_k_above_the_number_of_classes_gives_all_classes() -> None:
    assert FOUR_WAY.top_k(100) == FOUR_WAY.top_k(4)


@pytest.mark.parametrize("threshold", [0.0, 0.39, 0.4])
def test_a_confidence_at_or_above_the_threshold_decides_for_the_label(threshold: float) -> None:
    assert FOUR_WAY.decide(threshold)[0] == "joy"


def test_a_confidence_below_the_threshold_is_uncertain() -> None:
    assert FOUR_WAY.decide(0.41)[0] == "uncertain"


def test_the_reason_for_a_decision_states_confidence_and_threshold() -> None:
    assert FOUR_WAY.decide(0.25)[1] == "Confidence 0.4000 is at or above the threshold 0.25"


def test_the_reason_for_uncertain_states_confidence_and_threshold() -> None:
    assert FOUR_WAY.decide(0.8)[1] == "Confidence 0.4000 is below the threshold 0.8"


def test_each_threshold_gives_a_row() -> None:
    prediction = Prediction("positive", 1, {"negative": 0.4, "positive": 0.6})
    assert BINARY.thresholds(prediction, [0.5, 0.6, 0.7]) == [
        ThresholdRow(0.5, 1, "positive", 0.6, 0.6),
        ThresholdRow(0.6, 1, "positive", 0.6, 0.6),
        ThresholdRow(0.7, 0, "negative", 0.6, 0.4),
    ]


@given(st.floats(0, 1))
def test_a_row_at_the_threshold_of_the_model_agrees_with_the_prediction(threshold: float) -> None:
    classifier = Classifier(tiny_artifact(threshold=threshold))
    (prediction,) = classifier.predict(["good"])
    (row,) = classifier.thresholds(prediction, [threshold])
    assert (row.predicted_class, row.label, row.confidence) == (
        prediction.predicted_class,
        prediction.label,
        prediction.confidence,
    )


# Warnings


@pytest.mark.parametrize(
    "text", ["good film", "good " * 8, "good xyz", "not bad xyz abc"], ids=lambda text: text[:20]
)
def test_a_text_that_is_read_completely_and_half_known_has_no_warning(text: str) -> None:
    assert BINARY.predict([text])[0].warnings == ()


@pytest.mark.parametrize("text", ["", "...", "\U0001f600"])
def test_a_text_without_words_has_a_warning(text: str) -> None:
    assert BINARY.predict([text])[0].warnings == ("no words: the text has no word that the model could read",)


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("good", ()),
        ("film", (LITTLE_EVIDENCE,)),
        ("not film", (LITTLE_EVIDENCE,)),
        ("film xyz abc", ("unknown words: the model knows 1 of the text's 3 tokens",)),
        ("...", ("no words: the text has no word that the model could read",)),
    ],
)
def test_a_text_whose_words_say_little_has_a_warning(text: str, warnings: tuple[str, ...]) -> None:
    (prediction,) = Classifier(doubting_artifact()).predict([text])
    assert prediction.warnings == warnings


def test_a_doubtful_text_has_a_lower_confidence_and_a_sure_one_the_same() -> None:
    sure, doubting = Classifier(doubting_artifact(0.1)), Classifier(doubting_artifact(1.0))
    low, same = doubting.predict(["film", "good"])
    assert 0.5 < low.confidence < sure.predict(["film"])[0].confidence
    assert same.confidence == sure.predict(["good"])[0].confidence


def test_the_run_says_which_texts_are_doubtful() -> None:
    (run,) = Classifier(doubting_artifact()).runs(["good", "film", "", "great film"])
    assert run.is_doubtful.tolist() == [False, True, True, False]


@pytest.mark.parametrize("keep", ["first", "last"])
def test_the_warning_for_a_cut_text_states_how_much_was_read(keep: str) -> None:
    classifier = Classifier(tiny_artifact(text=TextSettings(max_tokens=8, keep=keep)))
    assert classifier.predict(["good " * 9])[0].warnings == (
        f"cut: only the {keep} 8 tokens of the text were read",
    )


@pytest.mark.parametrize("unknown", ["keep", "drop"])
def test_the_warning_for_mostly_unknown_words_states_how_many_are_known(unknown: str) -> None:
    classifier = Classifier(tiny_artifact(text=TextSettings(max_tokens=8, unknown=unknown)))
    assert classifier.predict(["good xyz abc"])[0].warnings == (
        "unknown words: the model knows 1 of the text's 3 tokens",
    )


def test_a_long_text_of_unknown_words_has_a_warning_if_unknown_words_are_dropped() -> None:
    classifier = Classifier(tiny_artifact(text=TextSettings(max_tokens=8, unknown="drop")))
    assert classifier.predict(["xyz " * 19 + "good"])[0].warnings == (
        "unknown words: the model knows 1 of the text's 20 tokens",
    )


def test_a_cut_text_of_unknown_words_has_both_warnings() -> None:
    kinds = [warning.split(":")[0] for warning in BINARY.predict(["xyz " * 9])[0].warnings]
    assert kinds == ["cut", "unknown words"]


def test_a_warning_stays_with_its_text() -> None:
    predictions = BINARY.predict(["good", "xyz", "good film"])
    assert [bool(prediction.warnings) for prediction in predictions] == [False, True, False]


# Golden cases


def test_the_samples_are_the_golden_texts_and_a_text_of_maximum_length_made_of_them() -> None:
    texts, (long,) = Classifier(with_golden(tiny_artifact())).samples
    assert texts == [case.text for case in with_golden(tiny_artifact()).golden]
    assert len(long) == MAX_TEXT_CHARS
    assert long == (" ".join([*texts] * MAX_TEXT_CHARS))[:MAX_TEXT_CHARS]


def test_a_model_without_golden_cases_has_no_samples() -> None:
    assert Classifier(tiny_artifact()).samples == ()


def test_correct_golden_cases_pass() -> None:
    BINARY.check_golden([GoldenCase(text="good", probabilities=(1 - _sigmoid(1), _sigmoid(1)))])


def test_the_first_golden_case_that_fails_is_named_with_its_text() -> None:
    cases = [GoldenCase(text=text, probabilities=(0.5, 0.5)) for text in ("nothing known", "good film")]
    with pytest.raises(ArtifactError, match=r"golden\.jsonl line 2: .* for 'good film', not \(0\.5, 0\.5\)"):
        BINARY.check_golden(cases)


@pytest.mark.parametrize(("off_by", "holds"), [(5e-5, True), (2e-4, False), (0.2, False)])
def test_a_probability_may_differ_from_its_golden_case_by_the_tolerance(off_by: float, holds: bool) -> None:
    probability = _sigmoid(1) - off_by
    case = GoldenCase(text="good", probabilities=(1 - probability, probability))
    with contextlib.nullcontext() if holds else pytest.raises(ArtifactError, match="line 1"):
        BINARY.check_golden([case])


def test_a_loaded_classifier_has_the_digest_and_version_of_its_artifact(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path)
    digest = read_artifact(folder).digest
    classifier = load_classifier(folder)
    assert (classifier.digest, classifier.version) == (digest, version_of(digest))


@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["2 classes", "4 classes"])
@given(texts=wordy_texts)
def test_predictions_name_the_rows_of_the_probabilities(labels: tuple[str, ...], texts: list[str]) -> None:
    classifier = Classifier(tiny_artifact(labels, threshold=0.6), batch_size=4)
    probabilities = classifier.probabilities(texts)
    predictions = classifier.predict(texts)
    assert probabilities.shape == (len(texts), len(labels))
    assert probabilities.dtype == np.float64
    assert [tuple(p.probabilities.values()) for p in predictions] == list(map(tuple, probabilities.tolist()))
    assert [p.predicted_class for p in predictions] == classifier.decide(probabilities).tolist()


@pytest.mark.parametrize("value", [1e308, 2e307])
def test_probabilities_of_scores_that_are_not_finite_raise(value: float) -> None:
    artifact = tiny_artifact(FOUR_LABELS, calibration=Calibration(method="temperature", scale=10.0))
    arrays = unpack_arrays(artifact.weights) | {"intercept": np.array([0, 0, 0, value])}
    with (
        np.errstate(invalid="ignore", over="ignore"),
        pytest.raises(FloatingPointError, match="score that is not a finite number"),
    ):
        Classifier(replace(artifact, weights=pack_arrays(arrays))).probabilities(["good"])


def test_the_batch_size_does_not_change_any_score() -> None:
    texts = ["good", "bad", "not good", "film", "awful film"]
    whole, parts = (Classifier(tiny_artifact(FOUR_LABELS), size).score(texts) for size in (100, 2))
    assert parts.shape == (5, 4)
    assert parts == pytest.approx(whole)


def test_a_loaded_classifier_runs_at_most_batch_size_texts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny(tmp_path)
    sizes: list[int] = []
    score = LinearRuntime.score

    def counted(self: LinearRuntime, batch: Encoded) -> Scores:
        sizes.append(len(batch.ends))
        return score(self, batch)

    monkeypatch.setattr(LinearRuntime, "score", counted)
    classifier = load_classifier(folder, 2)
    assert set(sizes) == {2}
    sizes.clear()
    assert len(classifier.predict(["good", "bad", "good", "bad", "good"])) == 5
    assert sizes == [2, 2, 1]
