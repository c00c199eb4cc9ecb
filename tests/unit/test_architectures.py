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


def test_there_are_eight_architectures() -> None:
    assert len(ARCHITECTURES) == 8


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
