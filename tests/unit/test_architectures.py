"""Transformers of eight architectures, in tests/data/transformers, answer as the library transformers did."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.artifact import Artifact
from classifier.pipeline import Classifier
from training_import.conversion.converted import ImportOptions
from training_import.conversion.import_model import convert_and_compare

FOLDERS = Path(__file__).parents[1] / "data" / "transformers"
SEVERAL_LABELS = "several-labels"
"""The sample of BERT whose texts can have several labels."""
ARCHITECTURES = sorted(path.parent.name for path in FOLDERS.glob("*/expected.jsonl"))
MAX_TOKENS = 64
"""What the texts were cut to when transformers answered."""


def rows(name: str) -> list[dict[str, Any]]:
    lines = (FOLDERS / name / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def artifact(name: str, **options: Any) -> Artifact:
    chosen = ImportOptions(name=name, max_tokens=MAX_TOKENS, **options)
    return convert_and_compare(FOLDERS / name, chosen).artifact


@pytest.fixture(scope="module", params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_eight_architectures_and_one_with_several_labels() -> None:
    assert len(ARCHITECTURES) == 9
    assert SEVERAL_LABELS in ARCHITECTURES


def test_a_text_has_the_labels_that_transformers_gave_it() -> None:
    expected = rows(SEVERAL_LABELS)
    found = artifact(SEVERAL_LABELS, thresholds=(0.3, 0.5, 0.9))
    names = found.manifest.labels
    assert names == ("business", "science", "sports")
    predictions = Classifier(found).predict([row["text"] for row in expected])
    for row, prediction in zip(expected, predictions, strict=True):
        each = zip(names, row["probabilities"], (0.3, 0.5, 0.9), strict=True)
        assert prediction.labels == tuple(name for name, value, least in each if value >= least)
        assert prediction.label == names[int(np.argmax(row["probabilities"]))]


def test_in_int8_the_agreement_is_the_share_of_texts_that_keep_all_of_their_labels() -> None:
    texts = [row["text"] for row in rows(SEVERAL_LABELS)] * 3
    chosen = ImportOptions(name=SEVERAL_LABELS, max_tokens=MAX_TOKENS, quantize="int8", min_agreement=0.5)
    small = convert_and_compare(FOLDERS / SEVERAL_LABELS, chosen, texts).artifact
    before, after = (
        [prediction.labels for prediction in Classifier(each).predict(texts)]
        for each in (artifact(SEVERAL_LABELS), small)
    )
    agreement = np.mean([one == other for one, other in zip(before, after, strict=True)])
    assert small.manifest.quantization is not None
    assert small.manifest.quantization.agreement == pytest.approx(agreement)
    assert agreement < 1


def test_its_probabilities_are_those_of_transformers(name: str) -> None:
    found = artifact(name, expected=FOLDERS / name / "expected.jsonl").manifest.metrics
    assert found["import_expected_checked_texts"] == 40
    assert found["import_expected_largest_difference"] <= 1e-4


def test_a_text_has_the_same_answer_in_every_batch(name: str) -> None:
    texts = [row["text"] for row in rows(name)]
    alone = Classifier(artifact(name), batch_size=1).probabilities(texts)
    for seed in range(3):
        order = random.Random(seed).sample(range(len(texts)), len(texts))
        together = Classifier(artifact(name), batch_size=7).probabilities([texts[row] for row in order])
        np.testing.assert_allclose(together, alone[order], rtol=0, atol=1e-5)


def test_in_int8_a_text_has_exactly_the_same_answer_in_every_batch(name: str) -> None:
    texts = [row["text"] for row in rows(name)]
    small = artifact(name, quantize="int8", min_agreement=0.5)
    alone = Classifier(small, batch_size=1).probabilities(texts)
    assert np.array_equal(Classifier(small).probabilities(texts), alone)


def test_the_places_of_its_words_cover_the_text(name: str) -> None:
    text = "The film was  surprisingly good, naïve and unforgettable!"
    places = Classifier(artifact(name)).places(text)
    assert (places[1:, 0] >= places[:-1, 1]).all()
    read = "".join(text[start:end] for start, end in places)
    assert read.replace(" ", "") == text.replace(" ", "")
