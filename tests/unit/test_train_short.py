"""Training with short texts: weights of their own, held-out scores, figures and refusals."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from labelled import THREE, TWO, reviews, sentences
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.preprocessing import normalize

from classifier.artifact import TrainingData, write_artifact
from classifier.errors import ClassifierError
from classifier.negation import NegationSettings
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.linear import LinearRuntime, unpack_arrays
from classifier.runtimes.runtime import column_count
from classifier.settings import PreprocessingSettings
from classifier.text import TextSettings, Tokenizer
from training_import.evaluation.groups import GroupedTexts
from training_import.evaluation.metrics import class_indices, evaluate_classifier
from training_import.ngrams import ngram_tree
from training_import.rows import DatasetError
from training_import.training import linear
from training_import.training.material import DataSets, Material, split_material
from training_import.training.task import Fitted, TrainingTask
from training_import.training.train import Trained, train

PLAIN = PreprocessingSettings()
TEXT = TextSettings(max_tokens=150, negation=NegationSettings())
"""The reviews have 160 tokens, so they are cut."""
CASES = pytest.mark.parametrize(
    "fitting",
    [(TWO, True), (THREE, True), (TWO, False), (THREE, False)],
    ids=["two classes", "three classes", "two classes, no short texts", "three classes, no short texts"],
    indirect=True,
)


@dataclass(frozen=True)
class Fitting:
    """A training of a linear model, with all models that it made: one for each C, and the finished one."""

    task: TrainingTask
    fitted: Fitted
    models: list[linear._Model]

    @property
    def has_short(self) -> bool:
        return bool(self.task.is_short.any())

    @property
    def chosen(self) -> linear._Model:
        return self.models[[f"C = {c:g}" for c in linear.C_VALUES].index(self.fitted.choices["chosen"])]

    def texts(self, rows: NDArray[np.intp]) -> list[str]:
        return [self.task.texts[row] for row in rows]


def task_of(material: Material, labels: tuple[str, ...]) -> TrainingTask:
    truth = class_indices(material.labels, labels)
    rows = material.train_rows, material.held_out_rows
    kinds = material.is_short, material.is_phrase
    return TrainingTask(material.texts, truth, len(labels), *rows, *kinds, TEXT, 0)


@pytest.fixture(scope="module")
def fitting(request: pytest.FixtureRequest) -> Fitting:
    labels, has_short = request.param
    data = DataSets(reviews(labels), sentences(labels) if has_short else None)
    task, models = task_of(split_material(data, 0), labels), []
    join = linear._joined

    def recorded(*arguments: object) -> linear._Model:
        models.append(join(*arguments))
        return models[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "_joined", recorded)
        return Fitting(task, linear.train(task, lambda _: None), models)


def runtime_of(
    fitting: Fitting, model: linear._Model, rows: NDArray[np.intp]
) -> tuple[LinearRuntime, Tokenizer]:
    """Return the runtime of a model whose n-grams are those of these training texts."""
    tokenizer = Tokenizer(TEXT)
    tokens = [tokenizer.tokens(text)[: TEXT.max_tokens] for text in fitting.texts(rows)]
    vectorizer = linear._vectorizer(len(tokens)).fit(tokens)
    tree = ngram_tree([tuple(name.split(" ")) for name in vectorizer.get_feature_names_out()])
    reading = Tokenizer(TEXT, tree.vocabulary)
    arrays = {**tree.arrays, **model.arrays(tree.nodes)}
    return LinearRuntime(arrays, fitting.fitted.model, reading, column_count(fitting.task.classes)), reading


@CASES
def test_the_held_out_scores_are_those_of_the_runtime_for_the_model_that_did_not_see_the_texts(
    fitting: Fitting,
) -> None:
    runtime, tokenizer = runtime_of(fitting, fitting.chosen, fitting.task.train_rows)
    expected = runtime.score(tokenizer.encode(fitting.texts(fitting.task.held_out_rows))).scores
    np.testing.assert_allclose(fitting.fitted.held_out_scores, expected, atol=1e-6)


@CASES
def test_the_finished_artifact_scores_texts_as_the_model_that_was_trained(fitting: Fitting) -> None:
    fitted, tokenizer = fitting.fitted, Tokenizer(TEXT)
    tokens = [tokenizer.tokens(text)[: TEXT.max_tokens] for text in fitting.task.texts]
    features = normalize(linear._vectorizer(len(tokens)).fit_transform(tokens))
    runtime = LinearRuntime.load(fitted.model, fitted.weights, fitted.vocabulary, TEXT, fitting.task.classes)
    found = runtime.score(runtime.encode(fitting.task.texts)).scores
    model = replace(fitting.models[-1], min_evidence=fitted.model.min_evidence)
    np.testing.assert_allclose(found, model.stored().scores(features), atol=1e-6)


@CASES
def test_the_artifact_has_weights_for_short_texts_only_if_there_are_short_texts(fitting: Fitting) -> None:
    arrays = unpack_arrays(fitting.fitted.weights)
    assert {"short_weights", "short_intercept"} & arrays.keys() == (
        {"short_weights", "short_intercept"} if fitting.has_short else set()
    )
    settings = fitting.fitted.model
    assert (settings.term_frequency, settings.norm) == ("binary", "l2")
    assert settings.short_ngrams == (linear.SHORT_NGRAMS if fitting.has_short else None)
    assert (settings.min_evidence is None) == (not fitting.has_short)


@CASES
def test_nearly_all_held_out_short_texts_have_enough_evidence(fitting: Fitting) -> None:
    runtime, tokenizer = runtime_of(fitting, fitting.chosen, fitting.task.train_rows)
    rows = fitting.task.held_out_rows
    doubtful = runtime.score(tokenizer.encode(fitting.texts(rows))).is_doubtful
    of_short = doubtful[fitting.task.is_short[rows]]
    assert doubtful.sum() == of_short.sum() <= linear.DOUBTED_SHARE * len(of_short) + 1
    assert doubtful.any() == fitting.has_short


@CASES
def test_all_weights_are_stored_in_half_precision(fitting: Fitting) -> None:
    arrays = unpack_arrays(fitting.fitted.weights)
    assert {array.dtype for name, array in arrays.items() if name.endswith("weights")} == {
        np.dtype(np.float16)
    }


@CASES
def test_the_choice_is_the_first_c_with_the_best_accuracy_on_held_out_long_texts(fitting: Fitting) -> None:
    task, choices = fitting.task, dict(fitting.fitted.choices)
    chosen = choices.pop("chosen")
    assert chosen == max(choices, key=lambda name: float(choices[name]))
    rows = ~task.is_short[task.held_out_rows]
    predicted = fitting.fitted.held_out_scores.argmax(axis=1)
    accuracy = (predicted == task.truth[task.held_out_rows])[rows].mean()
    assert choices[chosen] == f"{accuracy:.4f}"


@CASES
def test_training_again_gives_the_same_bytes_and_scores(fitting: Fitting) -> None:
    again = linear.train(fitting.task, lambda _: None)
    assert again.weights == fitting.fitted.weights
    assert again.vocabulary == fitting.fitted.vocabulary
    assert np.array_equal(again.held_out_scores, fitting.fitted.held_out_scores)


# The parts of the training


def random_linear(columns: int, seed: int) -> linear._Linear:
    generator = np.random.default_rng(seed)
    return linear._Linear(generator.normal(size=(6, columns)), generator.normal(size=columns))


IS_WORD = np.array([True, True, True, False, False, False])
FEATURES = normalize(csr_matrix(np.random.default_rng(3).integers(0, 2, (30, 6)).astype(float)))


@pytest.mark.parametrize("columns", [1, 3])
def test_the_sum_of_two_functions_has_the_sum_of_their_scores(columns: int) -> None:
    first, second = random_linear(columns, 1), random_linear(columns, 2)
    np.testing.assert_allclose(
        first.plus(second, 0.5).scores(FEATURES), first.scores(FEATURES) + 0.5 * second.scores(FEATURES)
    )


@pytest.mark.parametrize("columns", [1, 3])
def test_a_calibrated_function_needs_no_other_calibration(columns: int) -> None:
    function = random_linear(columns, 1)
    truth = (function.scores(FEATURES) + np.random.default_rng(5).normal(size=(30, max(columns, 2)))).argmax(
        axis=1
    )
    scale, bias = linear._calibrating(function.scores(FEATURES), truth)
    again = linear._calibrating(function.scaled((scale, bias)).scores(FEATURES), truth)
    assert again[0] == pytest.approx(1, abs=2e-3)
    assert again[1] == pytest.approx(0, abs=2e-3)
    assert bias.any() == (columns == 1)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_text_with_many_n_grams_is_scored_by_the_function_for_long_texts_alone(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = random_linear(columns, 1), random_linear(columns, 2)
    monkeypatch.setattr(linear, "SHORT_NGRAMS", 0.01)
    assert np.array_equal(linear._Model(IS_WORD, long, short).scores(FEATURES[:5]), long.scores(FEATURES[:5]))
    monkeypatch.setattr(linear, "SHORT_NGRAMS", 1e12)
    np.testing.assert_allclose(
        linear._Model(IS_WORD, long, short).scores(FEATURES), short.scores(FEATURES), atol=1e-9
    )


def test_a_text_that_counts_twice_counts_in_the_ratio_as_two_equal_texts() -> None:
    is_class = np.arange(30) % 3 == 0
    once = np.ones(30)
    twice = np.where(np.arange(30) < 4, 2.0, 1.0)
    np.testing.assert_allclose(
        linear._log_count_ratio(FEATURES, is_class, twice),
        linear._log_count_ratio(
            vstack([FEATURES, FEATURES[:4]]).tocsr(), np.append(is_class, is_class[:4]), np.ones(34)
        ),
    )
    assert not np.allclose(
        linear._log_count_ratio(FEATURES, is_class, twice), linear._log_count_ratio(FEATURES, is_class, once)
    )


def test_a_word_that_says_nothing_gets_weight_from_words_with_similar_vectors() -> None:
    """The third word is in one text of each class. Its vector is that of the first word."""
    words = np.array([[1, 0, 0], [0, 1, 0]] * 10 + [[0, 0, 1]] * 2, float)
    truth = np.array([1, 0] * 11)
    task = TrainingTask([], truth, 2, np.arange(22), np.arange(0), *np.zeros((2, 22), bool), TEXT, 0)
    vectors = linear._NgramVectors(np.arange(3), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    examples = linear._examples(csr_matrix(words), truth, np.ones(22), task)
    without = linear._fit_nb(examples, task, 1.0).weights[:, 0]
    with_vectors = linear._fit_nb(examples, task, 1.0, vectors).weights[:, 0]
    assert without[2] == pytest.approx(0, abs=0.01)
    assert with_vectors[2] > 0.05
    assert with_vectors[0] > 0 > with_vectors[1]


def test_vectors_belong_to_the_n_grams_that_are_their_words() -> None:
    vectors = linear.WordVectors(
        ("film", "rare", "good"), np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]])
    )
    found = linear._by_ngram(vectors, ["bad", "film", "film good", "good"])
    assert found.columns.tolist() == [1, 3]
    assert found.vectors.tolist() == [
        [pytest.approx(linear.VECTOR_SCALE)],
        [pytest.approx(9 * linear.VECTOR_SCALE)],
    ]


# The whole training

GROUPS = GroupedTexts(
    "groups.csv",
    "6" * 64,
    ("a great superb word1", "an awful dull word2", "word3 word4"),
    ("positive", "negative", None),
    ("praise", "blame", "facts"),
)
DATA = DataSets(reviews(), sentences(), test=reviews(count=20, seed=5), groups=GROUPS)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(DATA, "linear", "short", PLAIN, 0)


@pytest.fixture(scope="module")
def material() -> Material:
    return split_material(DATA, 0)


def test_the_artifact_of_a_training_with_short_texts_can_be_loaded(trained: Trained, tmp_path: Path) -> None:
    write_artifact(trained.artifact, tmp_path)
    assert load_classifier(tmp_path).manifest.model.short_ngrams == linear.SHORT_NGRAMS


def test_the_manifest_has_figures_of_long_and_short_texts(trained: Trained) -> None:
    names = ("accuracy", "log_loss", "roc_auc", "ece")
    assert trained.artifact.manifest.metrics.keys() == {
        "validation_ece_uncalibrated",
        *(
            f"{part}_{name}"
            for part in ("validation", "short_validation", "test", "short_test")
            for name in names
        ),
    }


def test_the_figures_of_the_tests_are_those_of_the_finished_model(
    trained: Trained, material: Material
) -> None:
    classifier, metrics = Classifier(trained.artifact), trained.artifact.manifest.metrics
    assert material.short_test is not None
    expected: Mapping[str, float] = {
        **evaluate_classifier(classifier, DATA.test).headline("test"),
        **evaluate_classifier(classifier, material.short_test).headline("short_test"),
    }
    assert {name: metrics[name] for name in expected} == expected


def test_the_evaluations_are_named_by_their_texts(trained: Trained, material: Material) -> None:
    is_short = material.is_short[material.held_out_rows]
    assert {name: figures.rows for name, figures in trained.evaluations.items()} == {
        "held-out texts": (~is_short).sum(),
        "held-out short texts": is_short.sum(),
        "test texts": 20,
        "short test texts": len(material.short_test.texts),
    }


def test_the_manifest_says_how_many_long_and_short_texts_the_model_was_trained_on(
    trained: Trained, material: Material
) -> None:
    manifest = trained.artifact.manifest
    assert (manifest.trained_on.name, manifest.trained_on.rows) == ("reviews.csv", 90)
    rows = int(material.is_short.sum())
    assert manifest.short_trained_on == (TrainingData(name="sentences.csv", sha256="5" * 64, rows=rows),)


def sections(card: str) -> dict[str, str]:
    return dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE))


def test_the_model_card_has_a_section_for_each_kind_of_texts(trained: Trained) -> None:
    found = sections(trained.artifact.model_card)
    assert list(found) == [
        "Choice",
        "Held-out texts",
        "Held-out short texts",
        "Test texts, evaluated once",
        "Short test texts, evaluated once",
        "Sentences by group, evaluated once",
        "Smaller weights",
        "Strongest word groups",
        "Cost of one text",
        "Limits",
    ]
    metrics = trained.artifact.manifest.metrics
    for title, prefix in (
        ("Held-out texts", "validation"),
        ("Held-out short texts", "short_validation"),
        ("Test texts, evaluated once", "test"),
        ("Short test texts, evaluated once", "short_test"),
    ):
        assert f"| {100 * metrics[prefix + '_accuracy']:.2f} % |" in found[title]


def test_the_model_card_names_both_data_sets_and_the_overlap(trained: Trained, material: Material) -> None:
    card = trained.artifact.model_card
    short = material.is_short.sum()
    assert (
        f"Trained on 90 texts of reviews.csv (SHA-256 {'5' * 64}) and on {short} texts of sentences.csv"
        in card
    )
    assert "Overlap with the test: no text was left out of the training. A text would be left out if" in card


def test_the_model_card_has_a_row_for_each_group_and_no_accuracy_for_a_neutral_one(trained: Trained) -> None:
    table = sections(trained.artifact.model_card)["Sentences by group, evaluated once"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:5]]
    assert [row[:3] for row in rows] == [
        ["praise", "1", "100.0 %"],
        ["blame", "1", "100.0 %"],
        ["facts", "1", ""],
    ]


def test_texts_that_were_left_out_are_counted_in_the_card_and_in_the_result() -> None:
    data = DataSets(reviews(), test=reviews().first(4))
    found = train(data, "linear", "copied", PLAIN, 0)
    assert any(warning.startswith("4 texts are left out of the training") for warning in found.warnings)
    assert found.artifact.manifest.trained_on.rows == 86
    assert "4 more texts were left out" in found.artifact.model_card


def test_without_other_data_sets_the_card_and_the_manifest_are_about_the_held_out_texts_only() -> None:
    found = train(DataSets(reviews()), "linear", "alone", PLAIN, 0)
    assert list(found.evaluations) == ["held-out texts"]
    assert found.artifact.manifest.short_trained_on == ()
    assert not any("test" in name or "short" in name for name in found.artifact.manifest.metrics)
    assert not any(
        "est texts" in title or "by group" in title for title in sections(found.artifact.model_card)
    )
    assert "Overlap" not in found.artifact.model_card


def test_three_classes_are_trained_with_short_texts() -> None:
    found = train(DataSets(reviews(THREE), sentences(THREE, 300)), "linear", "three", PLAIN, 0)
    assert found.artifact.manifest.calibration.method == "temperature"
    assert unpack_arrays(found.artifact.weights)["short_weights"].shape[1] == 3
    assert found.artifact.manifest.metrics["short_test_accuracy"] > 0.6
    predicted = Classifier(found.artifact).predict(
        ["a dull weak awful word1", "fine superb great", "usual uneven"]
    )
    assert [one.label for one in predicted] == list(THREE)


def test_a_word_of_short_texts_counts_in_short_texts() -> None:
    """Only sentences have the word "meh", and all of these are negative."""
    short = sentences()
    said = [
        f"{text} meh" if label == "negative" else text
        for text, label in zip(short.texts, short.labels, strict=True)
    ]
    found = Classifier(
        train(DataSets(reviews(), replace(short, texts=said)), "linear", "meh", PLAIN, 0).artifact
    )
    with_word, without = (one.probabilities["negative"] for one in found.predict(["word1 meh", "word1"]))
    assert with_word > without + 0.1


PHRASES = replace(sentences(count=30, seed=9), name="phrases.csv", sha256="7" * 64)


def test_phrases_are_trained_on_and_are_in_no_figure() -> None:
    phrases = replace(PHRASES, texts=[f"{text} meh" for text in PHRASES.texts], labels=["negative"] * 30)
    found = train(DataSets(reviews(), sentences(), phrases), "linear", "phrases", PLAIN, 0)
    without = train(DataSets(reviews(), sentences()), "linear", "plain", PLAIN, 0)
    assert {name: one.rows for name, one in found.evaluations.items()} == {
        name: one.rows for name, one in without.evaluations.items()
    }
    assert "meh" in found.artifact.vocabulary
    with_word, alone = (
        one.probabilities["negative"] for one in Classifier(found.artifact).predict(["word1 meh", "word1"])
    )
    assert with_word > alone + 0.1


def test_the_manifest_and_the_card_say_how_many_phrases_the_model_was_trained_on() -> None:
    phrases = replace(PHRASES, texts=[*PHRASES.texts[:-1], GROUPS.texts[0]])  # The last one is left out.
    found = train(replace(DATA, phrases=phrases), "linear", "phrases", PLAIN, 0)
    short, of_phrases = found.artifact.manifest.short_trained_on
    assert short.rows == split_material(DATA, 0).is_short.sum()
    assert of_phrases == TrainingData(name="phrases.csv", sha256="7" * 64, rows=29)
    assert f"and on 29 texts of phrases.csv (SHA-256 {'7' * 64})" in found.artifact.model_card


def test_word_vectors_are_made_without_the_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    make = linear.word_vectors

    def counted(texts: list[list[str]], seed: int) -> linear.WordVectors | None:
        read.append(len(texts))
        return make(texts, seed)

    monkeypatch.setattr(linear, "word_vectors", counted)
    material = split_material(DataSets(reviews(), sentences(), PHRASES), 0)
    linear.train(task_of(material, TWO), lambda _: None)
    assert read == [len(material.train_rows) - 30, len(material.texts) - 30]


def test_a_model_doubts_no_text_if_many_short_texts_have_no_evidence() -> None:
    short = sentences()
    unknown = [" ".join(f"{row}x{place}" for place in range(5)) for row in range(60)]
    short = replace(short, texts=short.texts + unknown, labels=short.labels + list(TWO) * 30)
    found = train(DataSets(reviews(), short), "linear", "unknown", PLAIN, 0).artifact
    assert found.manifest.model.short_ngrams == linear.SHORT_NGRAMS
    assert found.manifest.model.min_evidence is None


# Refusals


def test_phrases_without_short_texts_are_refused_before_the_training() -> None:
    steps: list[str] = []
    with pytest.raises(ClassifierError, match=r"^phrases are only for a training with short texts$"):
        train(DataSets(reviews(), phrases=PHRASES), "linear", "x", PLAIN, 0, steps.append)
    assert steps == []


@pytest.mark.parametrize("name", ["short", "phrases", "test"])
def test_a_label_that_is_no_class_is_refused_before_the_training(name: str) -> None:
    steps: list[str] = []
    data = replace(DataSets(reviews(), sentences()), **{name: sentences(("negative", "neutral"))})
    with pytest.raises(ClassifierError, match="label 'neutral' is none of the classes negative, positive"):
        train(data, "linear", "x", PLAIN, 0, steps.append)
    assert steps == []


def test_a_label_of_a_group_that_is_no_class_is_refused_before_the_training() -> None:
    steps: list[str] = []
    groups = replace(GROUPS, labels=("positive", "so-so", None))
    with pytest.raises(ClassifierError, match="label 'so-so' is none of the classes negative, positive"):
        train(DataSets(reviews(), groups=groups), "linear", "x", PLAIN, 0, steps.append)
    assert steps == []


def test_short_texts_for_a_network_are_refused_before_the_training() -> None:
    steps: list[str] = []
    with pytest.raises(
        ClassifierError, match=r"^short texts are only for models of kind 'linear', not 'cnn'$"
    ):
        train(DataSets(reviews(), sentences()), "cnn", "x", PLAIN, 0, steps.append)
    assert steps == []


def test_too_few_short_texts_are_refused_before_the_training() -> None:
    steps: list[str] = []
    with pytest.raises(DatasetError, match=r"^sentences\.csv: class '\w+' has no text "):
        train(DataSets(reviews(), sentences(count=3)), "linear", "x", PLAIN, 0, steps.append)
    assert steps == ["looking for training texts that overlap with test texts"]


@pytest.mark.parametrize("name", ["remove_stopwords", "remove_special_chars"])
def test_settings_that_drop_tokens_are_refused_if_negation_is_marked(name: str) -> None:
    preprocessing = PreprocessingSettings(**{name: True})
    with pytest.raises(
        ClassifierError, match=rf"^preprocessing\.{name} and preprocessing\.mark_negation are both true"
    ):
        train(DataSets(reviews()), "linear", "x", preprocessing, 0)


@pytest.mark.parametrize("mark_negation", [False, True])
def test_the_artifact_marks_negation_if_the_setting_says_so(mark_negation: bool) -> None:
    preprocessing = PreprocessingSettings(mark_negation=mark_negation)
    found = train(DataSets(reviews()), "linear", "x", preprocessing, 0).artifact.manifest.text
    assert found.negation == (NegationSettings() if mark_negation else None)
