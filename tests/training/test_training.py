"""Models of both kinds are trained end to end on slices of real data."""

import functools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.artifact import Artifact, read_artifact, write_artifact
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.network import NETWORK
from classifier.settings import PreprocessingSettings
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.evaluate import evaluate
from training_import.training.material import DataSets
from training_import.training.train import train
from training_import.training.trainers import Kind

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
NLTK_DATA = Path(os.environ.get("NLTK_DATA") or ROOT.parent / "shared" / "nltk_data")

SLICES = {
    "imdb": ("imdb_train.csv", "imdb_test.csv"),
    "agnews": ("agnews_train.parquet", "agnews_test.jsonl"),
}
LEFT_OUT = {"imdb": 0, "agnews": 1}
"""How many training texts overlap with test texts. AG News has one report also with "AP - " before it."""
MODELS: list[tuple[Kind, str]] = [
    ("linear", "imdb"),
    ("linear", "agnews"),
    ("cnn", "imdb"),
    ("cnn", "agnews"),
]
EVERY_MODEL = pytest.mark.parametrize(("kind", "name"), MODELS, ids=[f"{k}-{n}" for k, n in MODELS])


@functools.cache
def part(file: str) -> Dataset:
    return read_dataset(DATA / file)


@functools.cache
def trained(kind: Kind, name: str, seed: int = 0) -> Artifact:
    learn, test = SLICES[name]
    data = DataSets(part(learn), test=part(test))
    return train(data, kind, name, PreprocessingSettings(), seed).artifact


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@EVERY_MODEL
def test_a_trained_artifact_loads_and_its_golden_cases_hold(tmp_path, kind, name):
    write_artifact(trained(kind, name), tmp_path)
    classifier = load_classifier(tmp_path)
    assert classifier.labels == part(SLICES[name][0]).classes
    assert len(read_artifact(tmp_path).golden) >= 20
    assert classifier.manifest.trained_on.sha256 == part(SLICES[name][0]).sha256
    assert classifier.manifest.trained_on.rows == len(part(SLICES[name][0]).texts) - LEFT_OUT[name]


@pytest.mark.parametrize(
    ("kind", "name", "bound"),
    [("linear", "imdb", 0.70), ("linear", "agnews", 0.70), ("cnn", "imdb", 0.55), ("cnn", "agnews", 0.35)],
)
def test_test_texts_are_classified_far_better_than_by_the_most_frequent_class(kind, name, bound):
    labels = part(SLICES[name][1]).labels
    majority = max(map(labels.count, set(labels))) / len(labels)
    assert trained(kind, name).manifest.metrics["test_accuracy"] > bound > majority


@EVERY_MODEL
def test_the_manifest_has_the_figures_of_evaluate(kind, name):
    artifact = trained(kind, name)
    figures = evaluate(Classifier(artifact), part(SLICES[name][1])).evaluation
    # The last digits of a network's answer to a text depend on the width of the batch.
    got = {name: artifact.manifest.metrics[name] for name in figures.headline("test")}
    assert got == pytest.approx(figures.headline("test"), abs=1e-5)


@EVERY_MODEL
def test_evaluate_uses_the_probabilities_that_predict_gives(kind, name):
    classifier = Classifier(trained(kind, name))
    dataset = part(SLICES[name][1])
    report = evaluate(classifier, dataset)
    predictions = classifier.predict(dataset.texts)
    assert report.predicted.tolist() == [prediction.predicted_class for prediction in predictions]
    assert report.probabilities.tolist() == [
        list(prediction.probabilities.values()) for prediction in predictions
    ]


@EVERY_MODEL
def test_the_model_card_has_every_section(kind, name):
    artifact = trained(kind, name)
    card, labels = artifact.model_card, artifact.manifest.labels
    sections = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE))
    linear = ["Smaller weights", "Strongest word groups"] if kind == "linear" else []
    assert list(sections) == [
        "Choice",
        "Held-out texts",
        "Test texts, evaluated once",
        *linear,
        "Cost of one text",
        "Limits",
    ]
    assert "| chosen | " in sections["Choice"]
    for title in ("Held-out texts", "Test texts, evaluated once"):
        assert "| texts | accuracy | ROC AUC | log loss | ECE |" in sections[title]
        assert "| class | precision | recall | F1 | texts |" in sections[title]
        assert f"| truth \\\\ predicted | {' | '.join(labels)} |" in sections[title]
        assert all(
            len(re.findall(rf"^\| {label} \| ", sections[title], re.MULTILINE)) == 2 for label in labels
        )
    assert re.search(r"ECE before calibration \d\.\d{4}, after \d\.\d{4}", sections["Held-out texts"])
    assert (
        f"{100 * artifact.manifest.metrics['test_accuracy']:.2f} %" in sections["Test texts, evaluated once"]
    )
    assert "tokens" in sections["Cost of one text"]


@EVERY_MODEL
def test_calibration_lowers_the_held_out_log_loss(kind, name):
    artifact = trained(kind, name)
    plain = replace(
        artifact,
        manifest=artifact.manifest.model_copy(update={"calibration": type(artifact.manifest.calibration)()}),
    )
    assert artifact.manifest.calibration.method == ("platt" if name == "imdb" else "temperature")
    # The calibration was not fitted on the test texts.
    before = evaluate(Classifier(plain), part(SLICES[name][1])).evaluation
    after = evaluate(Classifier(artifact), part(SLICES[name][1])).evaluation
    assert after.log_loss < before.log_loss


@pytest.mark.parametrize(("kind", "name"), [("linear", "imdb"), ("cnn", "agnews")])
def test_the_same_seed_gives_the_same_files_in_another_process(tmp_path, kind, name):
    write_artifact(trained(kind, name), tmp_path / "here")
    learn, test = SLICES[name]
    command = [
        sys.executable,
        "-m",
        "cli",
        "train",
        "--kind",
        kind,
        "--name",
        name,
        "--seed",
        "0",
    ]
    command += ["--data", str(DATA / learn), "--test", str(DATA / test), "--output", str(tmp_path / "there")]
    (tmp_path / "store").mkdir()
    environment = os.environ | {"BENTOML_HOME": str(tmp_path / "store"), "PYTHONHASHSEED": "7"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_network_reports_its_progress_with_loss_and_accuracy():
    reported: list[tuple[str, float]] = []

    def progress(step: str, share: float | None = None) -> None:
        if share is not None:
            reported.append((step, share))

    train(DataSets(part("agnews_train.parquet").first(200)), "cnn", "x", PreprocessingSettings(), 0, progress)
    shares = [share for _, share in reported]
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
    assert re.fullmatch(r"epoch \d of at most 6: loss \d\.\d{3}, accuracy \d+\.\d %", reported[-1][0])


def test_a_rare_class_is_found_more_often_by_a_network_with_balanced_classes():
    news = part("agnews_train.parquet")
    rare = news.only(
        [
            label in {"Sports", "World"} and (label == "World" or row % 6 == 0)
            for row, label in enumerate(news.labels)
        ]
    )
    recalls = [
        train(DataSets(rare), "cnn", "x", PreprocessingSettings(), 0, class_weight=class_weight)
        .evaluations["held-out texts"]
        .by_class[0]
        .recall
        for class_weight in (None, "balanced")
    ]
    assert recalls[0] < recalls[1]


def test_nothing_of_tensorflow_reaches_the_screen(tmp_path):
    (tmp_path / "store").mkdir()
    command = [sys.executable, "-m", "cli", "train", "--kind", "cnn", "--name", "x"]
    command += ["--data", str(DATA / "imdb_train.csv")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment["BENTOML_HOME"] = str(tmp_path / "store")
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert re.fullmatch(r" *done [━╸ ]*[\d:]+ [\d:]+ *\n", done.stderr)


def test_training_a_network_again_in_one_process_gives_the_same_files(tmp_path):
    learn, test = SLICES["agnews"]
    data = DataSets(part(learn), test=part(test))
    again = train(data, "cnn", "agnews", PreprocessingSettings(), 0).artifact
    write_artifact(trained("cnn", "agnews"), tmp_path / "first")
    write_artifact(again, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    assert (tmp_path / "again" / NETWORK).stat().st_size > 100_000


def test_a_different_seed_holds_out_different_texts():
    first, other = trained("linear", "agnews"), trained("linear", "agnews", seed=1)
    held_out = ["validation_accuracy", "validation_log_loss", "validation_ece"]
    assert [first.manifest.metrics[name] for name in held_out] != [
        other.manifest.metrics[name] for name in held_out
    ]
    assert [case.text for case in first.golden] != [case.text for case in other.golden]


def test_the_artifact_contains_the_cleaning_settings(tmp_path):
    settings = PreprocessingSettings(
        strip_html=False, lowercase=False, remove_special_chars=True, mark_negation=False, max_tokens=50
    )
    artifact = train(DataSets(part("imdb_train.csv")), "linear", "letters", settings, 0).artifact
    write_artifact(artifact, tmp_path)
    classifier = load_classifier(tmp_path)
    text = classifier.manifest.text
    assert (text.strip_html, text.lowercase, text.remove_special_chars, text.max_tokens) == (
        False,
        False,
        True,
        50,
    )
    assert not any(re.search(r"[\d_\W]", token) for token in artifact.vocabulary)
    assert any(token != token.lower() for token in artifact.vocabulary)
    shouted, plain = classifier.predict(["Great!!! 10/10 http://example.com/great Great", "Great Great"])
    assert shouted.probabilities == plain.probabilities


@pytest.mark.skipif(
    not NLTK_DATA.exists() and "REQUIRE_FULL_DATA" not in os.environ, reason=f"{NLTK_DATA} is missing"
)
def test_the_artifact_contains_the_configured_stop_words(tmp_path):
    (tmp_path / "store").mkdir()
    command = [sys.executable, "-m", "cli", "train", "--data", str(DATA / "imdb_train.csv")]
    command += ["--name", "no-stop-words", "--output", str(tmp_path / "artifact")]
    environment = os.environ | {
        "BENTOML_HOME": str(tmp_path / "store"),
        "NLTK_DATA": str(NLTK_DATA),
        "CLASSIFIER__PREPROCESSING__REMOVE_STOPWORDS": "true",
        "CLASSIFIER__PREPROCESSING__REMOVE_SPECIAL_CHARS": "true",
        "CLASSIFIER__PREPROCESSING__MARK_NEGATION": "false",
    }
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    artifact = read_artifact(tmp_path / "artifact")
    assert artifact.manifest.text.remove_special_chars
    assert {"the", "not", "and"} <= set(artifact.manifest.text.stopwords)
    assert not set(artifact.vocabulary) & set(artifact.manifest.text.stopwords)
    # This process has neither NLTK data nor this configuration, like the one that serves the model.
    with_stop_words, without = load_classifier(tmp_path / "artifact").predict(
        ["This was the best film of the year, and not a bad one.", "best film year bad one"]
    )
    assert with_stop_words.probabilities == without.probabilities


@pytest.mark.parametrize("kind", ["linear", "cnn"])
@pytest.mark.parametrize("words", ["word{0} other{0}", "???"], ids=["every word once", "no word"])
def test_texts_without_any_word_to_learn_from_are_refused(kind, words):
    dataset = Dataset("made up", "", [words.format(i) for i in range(20)], ["x", "y"] * 10)
    with pytest.raises(ClassifierError, match="nothing to learn"):
        train(DataSets(dataset), kind, "nothing", PreprocessingSettings(), 0)


@pytest.mark.parametrize("kind", ["linear", "cnn"])
@pytest.mark.parametrize("texts", [["good"] * 20, ["good", "bad"] * 10], ids=["all the same", "a word each"])
def test_texts_that_separate_classes_not_at_all_or_completely_still_give_a_model(tmp_path, kind, texts):
    dataset = Dataset("made up", "", texts, ["x", "y"] * 10)
    artifact = train(DataSets(dataset), kind, "plain", PreprocessingSettings(), 0).artifact
    write_artifact(artifact, tmp_path)
    x, y = load_classifier(tmp_path).predict(["good"])[0].probabilities.values()
    if texts[1] == "good":
        assert (x, y) == pytest.approx((0.5, 0.5), abs=0.01)
    else:
        # With two held-out texts of each class, Platt's target is (2 + 1) / (2 + 2).
        assert x == pytest.approx(0.75, abs=0.01)


def test_a_test_label_that_is_not_a_class_is_refused_before_the_training():
    steps: list[str] = []
    with pytest.raises(ClassifierError, match="label 'Business' is none of the classes negative, positive"):
        train(
            DataSets(part("imdb_train.csv"), test=part("agnews_test.jsonl")),
            "linear",
            "x",
            PreprocessingSettings(),
            0,
            steps.append,
        )
    assert steps == []


def test_a_trained_network_gives_a_text_the_same_probabilities_alone_and_in_a_batch():
    classifier = Classifier(trained("cnn", "agnews"))
    texts = part("agnews_test.jsonl").texts[:40]
    together = [list(prediction.probabilities.values()) for prediction in classifier.predict(texts)]
    single = [list(classifier.predict([text])[0].probabilities.values()) for text in texts]
    assert np.abs(np.array(together) - np.array(single)).max() < 1e-5
