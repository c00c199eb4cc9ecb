"""Importing models that give a text several labels: own probabilities, thresholds, and what is refused."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from several import several_labels_artifact
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC
from skops import io as skops_io
from typer.testing import CliRunner

from classifier.artifact import Artifact, write_artifact
from classifier.explain.explain import explain_text
from classifier.explain.explanation import Method
from classifier.pipeline import Classifier, load_classifier
from cli.app import app
from training_import.conversion.comparison import Comparison
from training_import.conversion.converted import ImportOptions, Quantized, UnsupportedModel
from training_import.conversion.import_model import convert_and_compare
from training_import.conversion.label_sets import say_thresholds
from training_import.conversion.quantization import measure_quantization

WORDS = {
    "money": ("market", "bank", "price", "stock"),
    "sport": ("match", "team", "goal", "coach"),
    "tech": ("phone", "chip", "software", "robot"),
}
LABELS = tuple(WORDS)


def _corpus(count: int, seed: int) -> tuple[list[str], list[tuple[str, ...]]]:
    rng = random.Random(seed)
    texts, sets = [], []
    for _ in range(count):
        labels = tuple(label for label in LABELS if rng.random() < 0.4)
        words = ["the", "news", "of", "today", "is", "here"]
        words += [rng.choice(WORDS[label]) for label in labels for _ in range(3)]
        words += [rng.choice(WORDS[rng.choice(LABELS)]) for _ in range(rng.random() < 0.3)]
        rng.shuffle(words)
        texts.append(" ".join(words))
        sets.append(labels)
    return texts, sets


TEXTS, SETS = _corpus(300, 0)
NEW_TEXTS, NEW_SETS = _corpus(120, 1)
BINARIZER = MultiLabelBinarizer().fit(SETS)
TRUTH: NDArray[np.int64] = BINARIZER.transform(SETS)


def _trained(classifier: Any, truth: NDArray[Any] = TRUTH, features: Any = None) -> Any:
    return make_pipeline(features or TfidfVectorizer(), classifier).fit(TEXTS, truth)


def _import(folder: Path, model: Any, texts: Any = (), labels: Any = (), **options: Any) -> Artifact:
    path = folder / "model.joblib"
    joblib.dump(model, path)
    chosen = ImportOptions(name="subjects", trust_pickle=True, **options)
    return convert_and_compare(path, chosen, texts, labels).artifact


def _sets(rows: NDArray[Any], labels: tuple[str, ...] = LABELS) -> list[tuple[str, ...]]:
    return [tuple(np.array(labels)[row.astype(bool)].tolist()) for row in rows]


def _predicted(artifact: Artifact) -> list[tuple[str, ...] | None]:
    return [prediction.labels for prediction in Classifier(artifact).predict(NEW_TEXTS)]


@pytest.mark.parametrize(
    "build",
    [
        lambda: OneVsRestClassifier(LogisticRegression()),
        lambda: OneVsRestClassifier(SGDClassifier(loss="log_loss", random_state=0)),
        lambda: OneVsRestClassifier(MultinomialNB()),
        lambda: OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(), ensemble=False)),
        lambda: MultiOutputClassifier(LogisticRegression()),
        lambda: MultiOutputClassifier(BernoulliNB()),
    ],
)
@pytest.mark.parametrize("count", [2, 3])
def test_probabilities_and_labels_are_those_of_the_original(
    tmp_path: Path, build: Callable[[], Any], count: int
) -> None:
    model = _trained(build(), TRUTH[:, :count])
    artifact = _import(tmp_path, model)
    found = Classifier(artifact).probabilities(NEW_TEXTS)
    given = model.predict_proba(NEW_TEXTS)
    expected = np.stack([one[:, 1] for one in given], axis=1) if isinstance(given, list) else given
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert artifact.manifest.has_several_labels
    own = tuple(map(str, range(count)))
    assert artifact.manifest.labels == own
    assert _predicted(artifact) == _sets(model.predict(NEW_TEXTS), own)
    assert {(), own}.issubset(_predicted(artifact))


@pytest.mark.parametrize(
    "features", [make_union(TfidfVectorizer(), CountVectorizer(analyzer="char")), HashingVectorizer()]
)
def test_two_labels_are_two_columns_in_every_kind_of_features(tmp_path: Path, features: Any) -> None:
    model = _trained(OneVsRestClassifier(LogisticRegression()), TRUTH[:, :2], features)
    artifact = _import(tmp_path, model)
    write_artifact(artifact, tmp_path / "artifact")
    loaded = load_classifier(tmp_path / "artifact")
    np.testing.assert_allclose(
        loaded.probabilities(NEW_TEXTS), model.predict_proba(NEW_TEXTS), rtol=0, atol=1e-9
    )
    assert not loaded.is_binary


def test_a_package_names_labels_with_its_binarizer_and_can_be_a_skops_file(tmp_path: Path) -> None:
    package = {"model": _trained(OneVsRestClassifier(LogisticRegression())), "binarizer": BINARIZER}
    assert _import(tmp_path, package).manifest.labels == LABELS
    path = tmp_path / "model.skops"
    skops_io.dump(package, path)
    imported = convert_and_compare(path, ImportOptions(name="subjects"))
    assert imported.artifact.manifest.labels == LABELS
    assert imported.labels.source == "named by the package's 'binarizer'"


def test_labels_that_all_or_no_texts_had_keep_their_probability(tmp_path: Path) -> None:
    truth = np.hstack([TRUTH, np.zeros((len(TRUTH), 1), int), np.ones((len(TRUTH), 1), int)])
    with pytest.warns(UserWarning, match="Label"):
        model = _trained(OneVsRestClassifier(LogisticRegression()), truth)
    joblib.dump(model, tmp_path / "model.joblib")
    imported = convert_and_compare(
        tmp_path / "model.joblib", ImportOptions(name="subjects", trust_pickle=True)
    )
    found = Classifier(imported.artifact).probabilities(NEW_TEXTS)
    np.testing.assert_allclose(found, model.predict_proba(NEW_TEXTS), rtol=0, atol=1e-9)
    assert any("in the place 3, 4" in note for note in imported.notes)


@pytest.mark.parametrize(
    "build",
    [
        lambda: OneVsRestClassifier(LinearSVC()),
        lambda: OneVsRestClassifier(Perceptron()),
        lambda: MultiOutputClassifier(LinearSVC()),
        RidgeClassifier,
    ],
)
def test_decisions_are_calibrated_and_the_labels_stay_those_of_the_original(
    tmp_path: Path, build: Callable[[], Any]
) -> None:
    model = _trained(build())
    package = {"model": model, "mlb": BINARIZER}
    with pytest.raises(UnsupportedModel, match="give labelled texts"):
        _import(tmp_path, package)
    artifact = _import(tmp_path, package, NEW_TEXTS, NEW_SETS)
    assert artifact.manifest.calibration.activation == "sigmoid"
    assert _predicted(artifact) == _sets(model.predict(NEW_TEXTS))
    truth = BINARIZER.transform(NEW_SETS)
    probabilities = Classifier(artifact).probabilities(NEW_TEXTS)
    np.testing.assert_allclose(probabilities.mean(axis=0), truth.mean(axis=0), rtol=0, atol=0.02)
    order = model.decision_function(NEW_TEXTS) if hasattr(model, "decision_function") else None
    if order is not None:
        assert (np.argsort(order, axis=0) == np.argsort(probabilities, axis=0)).all()


def test_a_label_that_no_text_of_the_training_had_stays_unpredicted(tmp_path: Path) -> None:
    truth = TRUTH.copy()
    truth[:, 1] = 0
    model = _trained(OneVsRestClassifier(LinearSVC()), truth)
    artifact = _import(tmp_path, {"model": model, "mlb": BINARIZER}, NEW_TEXTS, NEW_SETS)
    assert _predicted(artifact) == _sets(model.predict(NEW_TEXTS))


def test_a_text_of_unknown_words_has_no_label_if_the_score_of_each_is_0(tmp_path: Path) -> None:
    model = _trained(OneVsRestClassifier(LinearSVC(fit_intercept=False)))
    artifact = _import(tmp_path, {"model": model, "mlb": BINARIZER}, NEW_TEXTS, NEW_SETS)
    (prediction,) = Classifier(artifact).predict(["Xylophones."])
    assert not model.predict(["Xylophones."]).any()
    assert prediction.labels == ()


def test_a_threshold_of_the_package_goes_before_those_of_the_decisions(tmp_path: Path) -> None:
    package = {"model": _trained(OneVsRestClassifier(LinearSVC())), "mlb": BINARIZER}
    artifact = _import(tmp_path, package | {"threshold": 0.8}, NEW_TEXTS, NEW_SETS)
    assert artifact.manifest.thresholds == (0.8, 0.8, 0.8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lists.jsonl", ["--label-column", "subjects"]),
        ("cells.csv", ["--label-column", "subjects", "--label-separator", "|"]),
        ("columns.csv", ["--label-columns", "tech,sport,money"]),
    ],
)
def test_the_command_reads_several_labels_of_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: list[str]
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    joblib.dump(
        {"model": _trained(OneVsRestClassifier(LinearSVC())), "mlb": BINARIZER}, tmp_path / "model.joblib"
    )
    rows = list(zip(NEW_TEXTS, NEW_SETS, strict=True))
    (tmp_path / "lists.jsonl").write_text(
        "".join(json.dumps({"text": text, "subjects": labels}) + "\n" for text, labels in rows)
    )
    (tmp_path / "cells.csv").write_text(
        "text,subjects\n" + "".join(f"{text},{'|'.join(labels)}\n" for text, labels in rows)
    )
    zeros_and_ones = (
        f"{text},{','.join(str(int(one in labels)) for one in LABELS)}\n" for text, labels in rows
    )
    (tmp_path / "columns.csv").write_text(f"text,{','.join(LABELS)}\n" + "".join(zeros_and_ones))
    result = CliRunner().invoke(
        app,
        [
            *("import", str(tmp_path / "model.joblib"), "--name", "subjects", "--trust-pickle"),
            *("--data", str(tmp_path / name), "--output", str(tmp_path / "artifact"), *options),
        ],
    )
    assert result.exit_code == 0, result.output
    expected = _import(tmp_path, joblib.load(tmp_path / "model.joblib"), NEW_TEXTS, NEW_SETS)
    assert load_classifier(tmp_path / "artifact").manifest.calibration == expected.manifest.calibration


def test_labels_without_text_unknown_labels_and_too_few_texts_are_refused(tmp_path: Path) -> None:
    package = {"model": _trained(OneVsRestClassifier(LinearSVC())), "mlb": BINARIZER}
    for texts, sets, message in (
        (NEW_TEXTS, [("money",)] * 120, "no labelled text has the label 'sport'"),
        (NEW_TEXTS, [("money", "weather")] * 120, "the label 'weather'"),
        (NEW_TEXTS[:20], [LABELS] * 20, "calibration needs at least 50"),
    ):
        with pytest.raises(UnsupportedModel, match=message):
            _import(tmp_path, package, texts, sets)


@pytest.mark.parametrize("kind", [tuple, list, np.array, pd.Series])
def test_thresholds_come_from_the_package_or_from_the_options(
    tmp_path: Path, kind: Callable[[Any], Any]
) -> None:
    model = _trained(OneVsRestClassifier(LogisticRegression()))
    package = {"model": model, "mlb": BINARIZER, "thresholds": kind([0.2, 0.5, 0.9])}
    artifact = _import(tmp_path, package)
    assert artifact.manifest.thresholds == (0.2, 0.5, 0.9)
    expected = model.predict_proba(NEW_TEXTS) >= np.array([0.2, 0.5, 0.9])
    assert _predicted(artifact) == _sets(expected)
    assert _import(tmp_path, package, thresholds=(0.1, 0.2, 0.3)).manifest.thresholds == (0.1, 0.2, 0.3)
    for by_name in [
        {"tech": 0.9, "money": 0.2, "sport": 0.5},
        pd.Series({"tech": 0.9, "money": 0.2, "sport": 0.5}),
        pd.Series({"sport": 0.5, "tech": 0.9, "money": 0.2}, dtype=object),
    ]:
        named = package | {"thresholds": by_name}
        assert _import(tmp_path, named).manifest.thresholds == (0.2, 0.5, 0.9)
    one = {"model": model, "mlb": BINARIZER, "threshold": 0.3}
    assert _import(tmp_path, one).manifest.thresholds == (0.3, 0.3, 0.3)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([0.5, 0.5], "has 2 numbers; the model has 3 labels: money, sport, tech"),
        ({"money": 0.5, "sport": 0.5, "weather": 0.5}, "has other labels than the model, such as 'tech'"),
        ([0.5, 0.5, 2], r"thresholds\[2\] is 2.0; it must be from 0 to 1"),
        ([0.5, None, 0.5], r"thresholds\[1\] is None; it must be a number from 0 to 1"),
        ({"money": 0.5, "sport": None, "tech": 0.5}, r"thresholds\['sport'\] is None; it must be a number"),
        ("high", "thresholds is 'high'; it must be a list in the order of the labels"),
        ([[0.1], [0.2, 0.3]], "it must be a list in the order of the labels"),
        (pd.DataFrame({"value": [0.1, 0.2, 0.3]}, LABELS), "it must be a list in the order of the labels"),
        (
            pd.Series([0.1, 0.2, 0.3], ["money", "tech", "tech"]),
            "it must be a list in the order of the labels",
        ),
        ({1: 0.1, "1": 0.2}, "it must be a list in the order of the labels"),
    ],
)
def test_thresholds_that_do_not_fit_the_labels_are_refused(
    tmp_path: Path, thresholds: Any, message: str
) -> None:
    model = _trained(OneVsRestClassifier(LogisticRegression()))
    with pytest.raises(UnsupportedModel, match=message):
        _import(tmp_path, {"model": model, "mlb": BINARIZER, "thresholds": thresholds})


def test_thresholds_and_several_labels_are_refused_for_a_model_with_one_label_a_text(tmp_path: Path) -> None:
    model = _trained(LogisticRegression(), TRUTH.argmax(axis=1))
    with pytest.raises(UnsupportedModel, match="--thresholds is for a model that can give a text several"):
        _import(tmp_path, model, thresholds=(0.5, 0.5, 0.5))
    with pytest.raises(UnsupportedModel, match="the labelled texts have several labels each"):
        _import(tmp_path, model, NEW_TEXTS, NEW_SETS)


@pytest.mark.parametrize(
    ("build", "truth", "message"),
    [
        (
            lambda: MultiOutputClassifier(LogisticRegression()),
            np.stack([TRUTH[:, 0], TRUTH[:, 1] + 2 * TRUTH[:, 2]], axis=1),
            r"output 1 has the classes .*each output must be one label",
        ),
        (lambda: ClassifierChain(LogisticRegression()), TRUTH, "is ClassifierChain"),
        (
            lambda: OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(), cv=3)),
            TRUTH,
            "is a OneVsRestClassifier of CalibratedClassifierCV, .* with method='sigmoid' and ensemble=False",
        ),
        (
            lambda: OneVsRestClassifier(
                CalibratedClassifierCV(LinearSVC(), method="isotonic", ensemble=False)
            ),
            TRUTH,
            "is a OneVsRestClassifier of CalibratedClassifierCV, .* with method='sigmoid' and ensemble=False",
        ),
    ],
)
def test_what_cannot_be_converted_exactly_is_refused(
    tmp_path: Path, build: Callable[[], Any], truth: NDArray[Any], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        _import(tmp_path, _trained(build(), truth))


def test_an_explanation_adds_up_to_the_log_odds_of_the_label_alone(tmp_path: Path) -> None:
    package = {"model": _trained(OneVsRestClassifier(LogisticRegression())), "mlb": BINARIZER}
    classifier = Classifier(_import(tmp_path, package))
    text = "the coach of the team talks about the price of a chip"
    for label in LABELS:
        explanation = explain_text(classifier, text, label)
        probability = explanation.prediction.probabilities[label]
        total = explanation.bias + sum(one.value for one in explanation.contributions)
        assert explanation.method is Method.EXACT
        assert total == pytest.approx(np.log(probability / (1 - probability)))
        assert max(explanation.contributions, key=lambda one: one.value).text in WORDS[label]


def test_the_card_says_that_a_text_can_have_several_labels(tmp_path: Path) -> None:
    package = {"model": _trained(OneVsRestClassifier(LogisticRegression())), "mlb": BINARIZER}
    card = _import(tmp_path, package, thresholds=(0.2, 0.5, 0.9)).model_card
    assert "3 labels, of which a text can have several: money, sport, tech" in card
    assert "The thresholds are money 0.2, sport 0.5, tech 0.9" in card


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        (None, "The threshold of each label is 0.5; --thresholds sets others."),
        ((0.25,) * 1000, "The threshold of each label is 0.25; --thresholds sets others."),
        (
            (0.25,) * 999 + (0.5,),
            f"The thresholds are {', '.join(f'label {n} 0.25' for n in range(20))} and 980 more; ",
        ),
    ],
)
def test_the_thresholds_of_many_labels_are_said_in_few_words(
    thresholds: tuple[float, ...] | None, said: str
) -> None:
    names = tuple(f"label {number}" for number in range(1000))
    manifest = several_labels_artifact().manifest
    assert said in say_thresholds(manifest.model_copy(update={"labels": names, "thresholds": thresholds}))


def test_no_quantized_answer_is_right_for_a_label_that_the_model_does_not_have() -> None:
    expected, imported = np.array([[0.9, 0.1, 0.1]] * 4), np.array([[0.1, 0.1, 0.1]] * 4)
    check = Comparison("the original", 4, 4, 0.8, 1.0, expected, imported)
    manifest = several_labels_artifact(thresholds=None).manifest
    quantized = Quantized("int8", 2, 1, 0.0)
    for labels in [("weather",), ("acting", "weather")]:
        assert measure_quantization(quantized, check, manifest, [labels] * 4).accuracy_cost == 0.0
    assert measure_quantization(quantized, check, manifest, [("acting",)] * 4).accuracy_cost == 1.0


def test_the_cost_of_quantized_weights_counts_labels_in_the_spelling_of_files() -> None:
    expected, imported = np.array([[0.9, 0.1, 0.1]] * 4), np.array([[0.1, 0.1, 0.1]] * 4)
    check = Comparison("the original", 4, 4, 0.8, 1.0, expected, imported)
    manifest = several_labels_artifact(thresholds=None).manifest.model_copy(
        update={"labels": ("1.0", "2.0", "3.0")}
    )
    measured = measure_quantization(Quantized("int8", 2, 1, 0.0), check, manifest, [("1",)] * 4)
    assert measured.accuracy_cost == 1.0
