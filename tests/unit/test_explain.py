"""Explanations: what each part of a text adds to the score of a label."""

import math
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from tiny import BINARY_LABELS, FOUR_LABELS, NGRAM_WEIGHTS, tiny_artifact
from tiny_network import network_artifact

from classifier.artifact import Calibration
from classifier.errors import UnknownLabel
from classifier.explain.explain import explain_text
from classifier.explain.explanation import Comparison, Contributions, Explanation, Method, Unit
from classifier.explain.occlusion import FIXED_RUNS, MAX_SENTENCE_WORDS, parts_of
from classifier.pipeline import Classifier, Prediction, load_classifier
from classifier.runtimes.linear import LinearSettings, pack_arrays, unpack_arrays
from classifier.text import TextSettings
from training_import.conversion.converted import ImportOptions
from training_import.conversion.import_model import import_model

TEXT = TextSettings(max_tokens=100)
TINY = Classifier(tiny_artifact(text=TEXT))
WORDS = ["good", "Great", "BAD", "awful", "film", "not", "xyz", "<br />", "wasn't", "cafe\u0301", "."]
wordy_texts = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)


def check_sum(classifier: Classifier, text: str, label: str) -> Explanation:
    """Explain a label, and check that everything adds up to the score that the classifier gives."""
    explanation = explain_text(classifier, text, label)
    (scores,) = classifier.score([text])
    own = classifier.labels.index(label)
    others = np.delete(scores, own)
    is_own = classifier.manifest.calibration.activation == "one-vs-rest" and len(others) > 1
    expected = scores[own] - (0 if is_own else others.mean())
    assert explanation.score == pytest.approx(expected, rel=1e-12, abs=1e-12)
    added = sum(one.value for one in explanation.contributions)
    assert explanation.bias + added + explanation.interaction == pytest.approx(explanation.score, abs=1e-9)
    assert sum(word.share for word in explanation.words) == pytest.approx(added, abs=1e-9)
    return explanation


# Linear models


def test_each_n_gram_has_its_weight_and_its_place() -> None:
    explanation = explain_text(TINY, "Not good, GREAT film!", "positive")
    found = {one.text: (one.places, one.value) for one in explanation.contributions}
    assert found == {
        "Not good": (((0, 8),), -2.25),
        "GREAT": (((10, 15),), 2.0),
        "good": (((4, 8),), 1.0),
        "film": (((16, 20),), 0.125),
    }
    assert [one.value for one in explanation.contributions] == [-2.25, 2.0, 1.0, 0.125]


def test_an_n_gram_that_occurs_twice_has_two_places_and_the_value_of_both() -> None:
    (good,) = explain_text(TINY, "good, xyz good", "positive").contributions
    assert (good.text, good.places, good.value) == ("good", ((0, 4), (10, 14)), 2.0)


def test_an_n_gram_across_a_tag_is_shown_as_it_was_written() -> None:
    first, _ = explain_text(TINY, "Not<br />good", "positive").contributions
    assert (first.text, first.places) == ("Not<br />good", ((0, 13),))


def test_the_words_of_an_n_gram_share_its_value_equally() -> None:
    words = explain_text(TINY, "it is not good", "positive").words
    assert [word.place for word in words] == [(0, 2), (3, 5), (6, 9), (10, 14)]
    assert [word.share for word in words] == [0, 0, -1.125, -1.125 + 1]


def test_the_other_label_has_the_opposite_contributions() -> None:
    text = "not good but great"
    of_one, of_other = (explain_text(TINY, text, label) for label in BINARY_LABELS)
    assert of_one.score == -of_other.score
    assert [one.value for one in of_one.contributions] == [-one.value for one in of_other.contributions]


def test_the_predicted_label_is_explained_by_default() -> None:
    assert explain_text(TINY, "an awful film").label == "negative"
    assert explain_text(TINY, "a great film").label == "positive"


def test_an_unknown_label_is_refused_by_name() -> None:
    with pytest.raises(UnknownLabel, match="label is 'neutral', which is none of the 2 labels of the model"):
        explain_text(TINY, "good", "neutral")


def test_the_prediction_is_that_of_the_classifier() -> None:
    assert explain_text(TINY, "a great film").prediction == TINY.predict(["a great film"])[0]


@pytest.mark.parametrize("text", ["", "xyz", "...", "it is"])
def test_a_text_without_known_words_has_only_the_bias(text: str) -> None:
    explanation = check_sum(TINY, text, "positive")
    assert len(explanation.contributions) == 0
    assert explanation.score == explanation.bias


@given(st.lists(wordy_texts, min_size=1, max_size=6))
def test_the_terms_of_a_text_do_not_depend_on_the_batch_in_which_it_was_predicted(texts: list[str]) -> None:
    for text, prediction in zip(texts, TINY.predict(texts), strict=True):
        (alone,) = TINY.predict([text])
        in_batch, expected = TINY.contributions(text, prediction), TINY.contributions(text, alone)
        assert in_batch is not None
        assert expected is not None
        for name in ("places", "bias", "values", "counts", "first", "length"):
            assert np.array_equal(getattr(in_batch, name), getattr(expected, name))


def test_a_prediction_without_a_run_has_no_terms() -> None:
    with pytest.raises(ValueError, match="does not come from a run"):
        TINY.contributions("good", Prediction("positive", 1, {"negative": 0.1, "positive": 0.9}))


def test_what_is_not_shown_is_in_the_remainder() -> None:
    explanation = explain_text(TINY, "Not good, GREAT film!", "positive")
    shown, remainder = explanation.top(1)
    assert [one.text for one in shown] == ["Not good"]
    assert (remainder.count, remainder.value) == (3, 3.125)


@pytest.mark.parametrize("count", [4, 100])
def test_nothing_remains_if_all_are_shown(count: int) -> None:
    shown, remainder = explain_text(TINY, "Not good, GREAT film!", "positive").top(count)
    assert (len(shown), remainder.count, remainder.value) == (4, 0, 0)


@given(
    st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.25, 0.5, 1.0, 2.0]), max_size=12).map(np.array),
    st.integers(0, 14),
)
def test_the_largest_contributions_are_the_first_of_all_also_if_some_are_equal(
    values: NDArray[np.float64], count: int
) -> None:
    numbers = np.arange(len(values))
    bounds = np.stack([numbers, numbers + 1], axis=1)
    contributions = Contributions("x" * 14, values.astype(float), bounds, bounds)
    shown, rest = contributions.largest(count)
    assert shown == contributions[:count] == list(contributions)[:count]
    assert [abs(one.value) for one in contributions] == sorted(np.abs(values), reverse=True)
    assert rest == sum(one.value for one in contributions[count:])


@pytest.mark.parametrize("keep", ["first", "last"])
def test_only_the_tokens_that_are_read_have_contributions(keep: str) -> None:
    cut = Classifier(tiny_artifact(text=TextSettings(max_tokens=2, keep=keep)))
    explanation = check_sum(cut, "good bad film great", "positive")
    assert [word.place for word in explanation.words] == {
        "first": [(0, 4), (5, 8)],
        "last": [(9, 13), (14, 19)],
    }[keep]


SETTINGS = [
    LinearSettings(term_frequency=frequency, norm=norm, short_ngrams=short_ngrams, min_evidence=min_evidence)
    for frequency in ("binary", "count", "log")
    for norm in (None, "l1", "l2")
    for short_ngrams, min_evidence in ((None, None), (2.0, None), (2.0, 3.0))
]


def weighted(
    labels: tuple[str, ...], model: LinearSettings, has_scale: bool, **changes: object
) -> Classifier:
    artifact = tiny_artifact(labels, model=model, text=TEXT, **changes)
    arrays = unpack_arrays(artifact.weights)
    generator = np.random.default_rng(5)
    arrays = dict(arrays) | {"intercept": generator.normal(size=len(arrays["intercept"]))}
    if model.short_ngrams is not None:
        arrays["short_weights"] = generator.normal(size=arrays["weights"].shape)
        arrays["short_intercept"] = generator.normal(size=len(arrays["intercept"]))
    if has_scale:
        arrays["scale"] = np.where(np.arange(len(arrays["weights"])) == 1, 0, generator.uniform(0.5, 2))
    return Classifier(replace(artifact, weights=pack_arrays(arrays)))


@pytest.mark.parametrize("has_scale", [False, True])
@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["two labels", "four labels"])
@pytest.mark.parametrize("model", SETTINGS, ids=str)
@given(text=wordy_texts)
def test_bias_and_contributions_add_up_to_the_score_for_every_setting(
    model: LinearSettings, labels: tuple[str, ...], has_scale: bool, text: str
) -> None:
    classifier = weighted(labels, model, has_scale)
    for label in labels:
        assert check_sum(classifier, text, label).interaction == 0


CALIBRATIONS = [
    Calibration(method="platt", scale=1.7, bias=(0.25, -0.5)),
    Calibration(method="temperature", scale=0.3),
    Calibration(),
]


@pytest.mark.parametrize("label", BINARY_LABELS)
@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=str)
@given(text=wordy_texts)
def test_the_calibrated_score_gives_the_probability(calibration: Calibration, label: str, text: str) -> None:
    explanation = check_sum(Classifier(tiny_artifact(text=TEXT, calibration=calibration)), text, label)
    logit = explanation.calibration_scale * explanation.score + explanation.calibration_bias
    assert explanation.prediction.probabilities[label] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-9)


def test_labels_scored_one_against_the_rest_have_their_own_log_odds() -> None:
    calibration = Calibration(activation="one-vs-rest", scale=2.0, bias=(0.5, 0.0, -1.0, 0.25))
    classifier = Classifier(tiny_artifact(FOUR_LABELS, calibration=calibration))
    explanation = check_sum(classifier, "a good film", "joy")
    assert explanation.compared_with is Comparison.REST
    assert (explanation.calibration_scale, explanation.calibration_bias) == (2.0, -1.0)


def test_the_labels_of_a_softmax_are_compared_with_the_mean_of_the_others() -> None:
    explanation = check_sum(Classifier(tiny_artifact(FOUR_LABELS)), "a good film", "joy")
    assert explanation.compared_with is Comparison.MEAN


@pytest.mark.parametrize("activation", ["softmax", "one-vs-rest"])
@pytest.mark.parametrize("label", BINARY_LABELS)
def test_each_of_two_labels_is_compared_with_the_other(activation: str, label: str) -> None:
    classifier = Classifier(tiny_artifact(text=TEXT, calibration=Calibration(activation=activation)))
    explanation = check_sum(classifier, "a great film", label)
    assert explanation.compared_with is Comparison.OTHER_LABEL
    assert abs(explanation.score) == 2.125


@pytest.fixture(scope="module")
def bundled_classifier(bundled: Path) -> Classifier:
    return load_classifier(bundled)


@given(text=st.one_of(wordy_texts, st.text()))
def test_bias_and_contributions_of_the_bundled_model_add_up(
    bundled_classifier: Classifier, text: str
) -> None:
    for label in bundled_classifier.labels:
        check_sum(bundled_classifier, text, label)


TRAINING = [
    "a good film with a great cast",
    "not good at all",
    "a bad film",
    "awful and not funny",
    "a film like any other",
    "not bad, not great",
] * 3
TWO = ["good", "bad", "bad", "bad", "good", "good"] * 3
THREE = ["good", "bad", "bad", "bad", "so-so", "so-so"] * 3
PIPELINES = {
    "tf-idf and logistic regression": lambda: make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()
    ),
    "features that are not words": lambda: make_pipeline(
        TfidfVectorizer(ngram_range=(2, 3), use_idf=False, norm="l1"), LogisticRegression()
    ),
    "sublinear and naive Bayes": lambda: make_pipeline(TfidfVectorizer(sublinear_tf=True), MultinomialNB()),
    "one-vs-rest": lambda: make_pipeline(CountVectorizer(), OneVsRestClassifier(LogisticRegression())),
    "SGD": lambda: make_pipeline(
        CountVectorizer(stop_words=["a"]), SGDClassifier(loss="log_loss", random_state=1)
    ),
}


@pytest.mark.parametrize("truth", [TWO, THREE], ids=["two classes", "three classes"])
@pytest.mark.parametrize("build", PIPELINES.values(), ids=PIPELINES)
def test_imported_models_are_explained_exactly(tmp_path: Path, build, truth) -> None:  # type: ignore[no-untyped-def]
    joblib.dump(build().fit(TRAINING, truth), tmp_path / "model.joblib")
    options = ImportOptions(name="imported", trust_pickle=True)
    classifier = Classifier(import_model(tmp_path / "model.joblib", options))
    for text in [*TRAINING[:6], "never seen", "a good, good film"]:
        for label in classifier.labels:
            assert check_sum(classifier, text, label).method is Method.EXACT


# Networks


NET = Classifier(network_artifact())


def test_a_contribution_by_occlusion_is_how_much_the_score_falls_without_the_word() -> None:
    text = "A great film, not bad"
    explanation = explain_text(NET, text, "positive")
    assert (explanation.method, explanation.unit) == (Method.OCCLUSION, Unit.WORD)
    whole, without = NET.score([text, "A  film, not bad"])[:, 1]
    (great,) = (one for one in explanation.contributions if one.text == "great")
    assert great.places == ((2, 7),)
    assert great.value == pytest.approx(whole - without, abs=1e-12)


@given(wordy_texts)
def test_what_occlusion_cannot_attribute_is_the_interaction(text: str) -> None:
    for label in BINARY_LABELS:
        check_sum(NET, text, label)


def test_the_bias_of_a_network_is_the_score_without_any_word() -> None:
    assert explain_text(NET, "great film", "positive").bias == NET.score([" "])[0, 1]


def test_the_important_words_change_the_probability_and_suffice() -> None:
    faithfulness = explain_text(NET, "great xyz xyz xyz", "positive").faithfulness
    assert faithfulness is not None
    assert faithfulness.comprehensiveness > 0.15
    assert abs(faithfulness.sufficiency) < 0.01


def test_faithfulness_is_the_mean_fall_of_the_probability() -> None:
    text = "great good film"
    explanation = explain_text(NET, text, "positive")
    texts = [text, "  good film", "great   ", "great good  ", "    film"]
    p = {one: NET.predict([one])[0].probabilities["positive"] for one in texts}
    assert explanation.faithfulness is not None
    assert explanation.faithfulness.comprehensiveness == pytest.approx(
        p[text] - (3 * p["  good film"] + p["    film"]) / 4
    )
    assert explanation.faithfulness.sufficiency == pytest.approx(
        p[text] - (3 * p["great   "] + p["great good  "]) / 4
    )


def test_an_exact_explanation_has_no_faithfulness() -> None:
    assert explain_text(TINY, "good").faithfulness is None


def counting(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    runs: list[int] = []
    predict = classifier.predict
    monkeypatch.setattr(classifier, "predict", lambda texts: (runs.append(len(texts)), predict(texts))[1])
    return runs


@pytest.mark.parametrize("max_runs", [20, 50, 250])
@pytest.mark.parametrize("words", [1, 9, 40, 41, 300, 1500])
def test_the_runs_are_bounded(words: int, max_runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(network_artifact())
    runs = counting(classifier, monkeypatch)
    explain_text(classifier, "good. bad " * (words // 2) + "film", max_runs=max_runs)
    assert sum(runs) <= max_runs
    assert len(runs) <= 3


# The parts that are left out


def shown_parts(text: str, max_runs: int) -> tuple[Unit, list[str]]:
    parts = parts_of(text, NET.places(text), max_runs)
    return parts.unit, [text[start:end] for start, end in parts.places.tolist()]


def test_words_are_left_out_if_they_are_few() -> None:
    assert shown_parts("Good, isn't it?", FIXED_RUNS + 4) == (Unit.WORD, ["Good", "isn", "t", "it"])


def test_sentences_are_left_out_if_there_are_too_many_words() -> None:
    text = "Good film! Is it? \u201cYes.\u201d 3.5 stars<br />Bad\nend"
    unit, parts = shown_parts(text, FIXED_RUNS + 8)
    assert unit is Unit.SENTENCE
    assert parts == ["Good film", "Is it", "Yes", "3.5 stars", "Bad", "end"]


def test_neighbouring_sentences_are_left_out_together_if_there_are_too_many() -> None:
    _, parts = shown_parts("A b. C d. E f. G h. I j.", FIXED_RUNS + 3)
    assert parts == ["A b. C d", "E f. G h", "I j"]


def test_a_million_full_stops_are_read_once_each_also_if_a_letter_follows() -> None:
    _, parts = shown_parts("A b. C d" + "." * 1_000_000 + "e f. G", FIXED_RUNS + 3)
    assert [len(part) for part in parts] == [3, 1_000_006, 1]


def test_sentences_of_chinese_end_at_its_own_full_stop() -> None:
    _, parts = shown_parts("好。不好！吗？好。", FIXED_RUNS + 3)
    assert parts == ["好。不好", "吗", "好"]


def test_a_text_without_full_stops_is_cut_after_fifty_words() -> None:
    _, parts = shown_parts("good " * 130, FIXED_RUNS + 10)
    assert [len(part.split()) for part in parts] == [MAX_SENTENCE_WORDS, MAX_SENTENCE_WORDS, 30]


def test_tokens_from_the_same_characters_are_one_part() -> None:
    artifact = tiny_artifact(text=TextSettings(max_tokens=9, strip_accents="unicode"))
    text = "½ cup"
    tokens = Classifier(artifact).places(text)
    parts = parts_of(text, tokens, 100)
    assert (tokens.tolist(), parts.places.tolist()) == ([[0, 1], [0, 1], [2, 5]], [[0, 1], [2, 5]])


@given(wordy_texts, st.integers(FIXED_RUNS + 1, FIXED_RUNS + 30))
def test_parts_ascend_do_not_overlap_and_hold_all_tokens(text: str, max_runs: int) -> None:
    tokens = NET.places(text)
    parts = parts_of(text, tokens, max_runs)
    flat = parts.places.ravel()
    assert (np.diff(flat) >= 0).all()
    assert len(parts) <= max_runs - FIXED_RUNS
    for (start, end), part in zip(tokens.tolist(), parts.part_of.tolist(), strict=True):
        assert parts.places[part, 0] <= start <= end <= parts.places[part, 1]


@given(wordy_texts)
def test_a_text_without_its_parts_has_no_token(text: str) -> None:
    parts = parts_of(text, NET.places(text), 250)
    assert NET.places(parts.without(range(len(parts)))).tolist() == []
    assert parts.without([]) == text


def test_leaving_a_word_out_makes_no_new_word() -> None:
    artifact = tiny_artifact(text=TextSettings(max_tokens=9, token_pattern=r"\w+|!"))  # noqa: S106
    text = "good!bad"
    assert parts_of(text, Classifier(artifact).places(text), 100).without([1]) == "good bad"


def test_the_weights_of_the_tiny_model_are_all_explained() -> None:
    text = " xyz ".join(map(" ".join, NGRAM_WEIGHTS))
    explanation = explain_text(TINY, text, "positive")
    assert {one.text for one in explanation.contributions} == set(map(" ".join, NGRAM_WEIGHTS))
