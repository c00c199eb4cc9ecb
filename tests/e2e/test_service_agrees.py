"""The service and `evaluate` give the same answers to the same texts with the same model."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier.pipeline import load_classifier
from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.evaluate import evaluate

SAMPLE = 2000


def check_text_by_text(server: Any, bundled: Path, dataset: Dataset) -> None:
    """Send all texts in batches, and compare class and probabilities with those of `evaluate`."""
    report = evaluate(load_classifier(bundled), dataset)
    answers: list[dict[str, Any]] = []
    with httpx.Client(base_url=server.url, timeout=60) as http:
        for start in range(0, len(dataset.texts), MAX_TEXTS):
            texts = dataset.texts[start : start + MAX_TEXTS]
            answers += (
                http.post("/predict/batch", json={"texts": texts}).raise_for_status().json()["predictions"]
            )
    assert len(answers) == len(dataset.texts)
    for row, answer in enumerate(answers):
        assert answer["predicted_class"] == report.predicted[row], dataset.texts[row]
        assert list(answer["probabilities"].values()) == pytest.approx(
            report.probabilities[row].tolist(), abs=1e-9
        )


def test_the_service_agrees_with_evaluate_on_a_slice(server: Any, bundled: Path, project: Path) -> None:
    check_text_by_text(server, bundled, read_dataset(project / "tests" / "data" / "imdb_test.csv"))


@pytest.mark.full_data
def test_the_service_agrees_with_evaluate_on_the_official_test_set(
    server: Any, bundled: Path, imdb: Path
) -> None:
    whole = read_dataset(imdb / "test.parquet")
    rows = [row for row, text in enumerate(whole.texts) if len(text.strip()) <= MAX_TEXT_CHARS]
    rows = sorted(random.Random(0).sample(rows, SAMPLE))
    texts, labels = [whole.texts[row] for row in rows], [whole.labels[row] for row in rows]
    check_text_by_text(server, bundled, replace(whole, texts=texts, labels=labels))
