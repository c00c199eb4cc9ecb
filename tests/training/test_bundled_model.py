"""The model that a fresh clone serves: its figures are true and can be reproduced."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from classifier.artifact import read_artifact, write_artifact
from classifier.pipeline import load_classifier
from classifier.settings import PreprocessingSettings
from training_import.dataset import read_dataset
from training_import.evaluation.evaluate import evaluate
from training_import.evaluation.groups import read_groups
from training_import.film_phrases import film_phrases
from training_import.training.material import DataSets, split_material
from training_import.training.train import train

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "imdb-sentiment"
GROUPS = ROOT / "tests" / "data" / "short_sentences.csv"
MAX_BYTES = 12 * 1000 * 1000


@pytest.fixture(scope="module")
def manifest():
    return read_artifact(MODEL).manifest


def test_it_loads_and_its_golden_cases_hold():
    classifier = load_classifier(MODEL)
    assert classifier.labels == ("negative", "positive")
    assert classifier.predict(["A wonderful film, I loved it."])[0].label == "positive"
    assert classifier.predict(["A terrible film, I hated it."])[0].label == "negative"


def test_it_is_small(manifest):
    files = [MODEL / name for name in ("artifact.json", *manifest.files)]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert {path.name for path in MODEL.iterdir()} == {path.name for path in files}


def test_it_is_accurate_and_calibrated_on_the_official_test_set(manifest):
    assert manifest.metrics["test_accuracy"] >= 0.926
    assert manifest.metrics["test_ece"] <= 0.02


def test_it_is_accurate_and_calibrated_on_sentences_that_it_was_not_trained_on(manifest):
    assert manifest.metrics["short_test_accuracy"] >= 0.8
    assert manifest.metrics["short_test_ece"] <= 0.02


def test_its_card_has_the_figures_of_each_group_of_short_sentences():
    card = read_artifact(MODEL).model_card
    groups = read_groups(GROUPS, "final").groups
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", card.partition("## Sentences by group")[2], re.MULTILINE)
    assert {name: int(texts) for name, texts in rows} == Counter(groups)


def test_its_smaller_weights_cost_almost_no_accuracy(manifest):
    assert manifest.quantization.dtype == "float16"
    assert 0 < manifest.quantization.largest_difference <= 0.01
    assert abs(manifest.quantization.accuracy_cost) <= 0.0005


@pytest.mark.full_data
def test_evaluating_it_on_the_official_test_set_gives_the_figures_of_the_manifest(imdb, manifest):
    figures = evaluate(load_classifier(MODEL), read_dataset(imdb / "test.parquet")).evaluation
    assert figures.rows == 25_000
    found = figures.headline("test")
    assert {name: manifest.metrics[name] for name in found} == found


@pytest.mark.full_data
def test_evaluating_it_on_the_test_part_of_the_sentences_gives_the_figures_of_the_manifest(
    sentences, manifest
):
    test = split_material(DataSets(sentences, short=sentences), seed=0).short_test
    found = evaluate(load_classifier(MODEL), test).evaluation.headline("short_test")
    assert {name: manifest.metrics[name] for name in found} == found


@pytest.mark.full_data
def test_training_it_again_gives_the_same_files(imdb, sentences, manifest, tmp_path):
    """This repeats the training of `make train`."""
    data = DataSets(
        main=read_dataset(imdb / "train.parquet"),
        short=sentences,
        phrases=film_phrases(),
        test=read_dataset(imdb / "test.parquet"),
        groups=read_groups(GROUPS, "final"),
    )
    assert data.main.sha256 == manifest.trained_on.sha256
    assert [data.short.sha256, data.phrases.sha256] == [one.sha256 for one in manifest.short_trained_on]
    trained = train(data, "linear", "imdb-sentiment", PreprocessingSettings(), 0)
    again = write_artifact(trained.artifact, tmp_path)
    assert again == manifest
    for name in ("artifact.json", *manifest.files):
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (tmp_path, MODEL)]
        assert digests[0] == digests[1], name
