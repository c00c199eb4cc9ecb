"""Texts with the probabilities of an original: what is read, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.expected import ExpectedError, read_expected
from training_import.conversion.import_model import convert_and_compare

LABELS = ("bad", "good")
TEXTS = ["a good film", "a bad film, no joy"]


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "expected.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a", "probabilities": [0.25, 0.75]},
        {"text": "a", "probabilities": {"good": 0.75, "bad": 0.25}},
        {"good": 0.75, "text": "a", "bad": 0.25, "id": 7},
    ],
    ids=["list", "by label", "columns"],
)
def test_probabilities_are_a_list_an_object_or_columns(tmp_path: Path, row: object) -> None:
    expected = read_expected(written(tmp_path, row), LABELS)
    assert (expected.texts, expected.probabilities.tolist()) == (["a"], [[0.25, 0.75]])


def test_a_csv_file_has_a_column_for_each_label(tmp_path: Path) -> None:
    path = tmp_path / "expected.csv"
    path.write_text("good,text,bad\n0.75,a,0.25\n")
    assert read_expected(path, LABELS).probabilities.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": " ", "probabilities": [0, 1]}, "row 1: text is ' '; it must be a text that is not blank"),
        ({"text": 3, "probabilities": [0, 1]}, "row 1: text is 3"),
        (
            {"text": "a", "probabilities": [0.5, 0.4]},
            "row 1: the probabilities sum to 0.9; they must sum to 1",
        ),
        ({"text": "a", "probabilities": [1]}, "row 1: probabilities has 1 numbers; the model has 2 labels"),
        ({"text": "a", "probabilities": "0.5"}, "row 1: probabilities is '0.5'; it must be a list of 2"),
        (
            {"text": "a", "probabilities": [0, float("nan")]},
            "of 'good' is nan; it must be a number from 0 to 1",
        ),
        ({"text": "a", "probabilities": [-0.5, 1.5]}, "of 'bad' is -0.5; it must be a number from 0 to 1"),
        ({"text": "a", "probabilities": {"good": 1}}, "of 'bad' is None"),
        ({"text": "a", "good": 1.0}, "has neither a column 'probabilities' nor one for the label 'bad'"),
        ({"review": "a", "probabilities": [0, 1]}, "has no column 'text'; it has 'review', 'probabilities'"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(ExpectedError, match=message):
        read_expected(written(tmp_path, row), LABELS)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "expected.csv"
    path.write_text("text,bad,good\n")
    with pytest.raises(ExpectedError, match="has no rows"):
        read_expected(path, LABELS)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match=r"none\.csv cannot be read"):
        read_expected(tmp_path / "none.csv", LABELS)


@pytest.fixture
def pipeline() -> Pipeline:
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, ["good", "bad"])


def options(tmp_path: Path, model: Pipeline, probabilities: np.ndarray) -> ImportOptions:
    joblib.dump(model, tmp_path / "model.joblib")
    rows = [
        {"text": text, "probabilities": row} for text, row in zip(TEXTS, probabilities.tolist(), strict=True)
    ]
    return ImportOptions(name="imported", trust_pickle=True, expected=written(tmp_path, *rows))


def test_the_difference_from_the_expected_probabilities_is_in_the_artifact_and_its_card(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    chosen = options(tmp_path, pipeline, pipeline.predict_proba(TEXTS).round(4))
    imported = convert_and_compare(tmp_path / "model.joblib", chosen)
    compared = imported.comparisons[-1]
    assert (compared.compared_with, compared.texts) == ("the probabilities of expected.jsonl", 2)
    assert 0 < compared.largest <= 5e-5
    metrics = imported.artifact.manifest.metrics
    assert metrics["import_expected_largest_difference"] == compared.largest
    assert metrics["import_expected_checked_texts"] == 2
    assert "Compared with the probabilities of expected.jsonl, on 2 texts" in imported.artifact.model_card


def test_a_model_that_differs_from_the_expected_probabilities_is_refused_with_the_worst_text(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    wrong = pipeline.predict_proba(TEXTS)
    wrong[1] += [2e-4, -2e-4]
    chosen = options(tmp_path, pipeline, wrong)
    message = (
        r"probabilities of expected\.jsonl by 0\.0002 where 0\.0001 is allowed: for the text 'a bad film"
    )
    with pytest.raises(UnsupportedModel, match=message):
        convert_and_compare(tmp_path / "model.joblib", chosen)


def test_without_expected_probabilities_only_the_original_is_compared_with(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    chosen = replace(options(tmp_path, pipeline, pipeline.predict_proba(TEXTS)), expected=None)
    imported = convert_and_compare(tmp_path / "model.joblib", chosen)
    assert [one.compared_with for one in imported.comparisons] == ["the original"]
    assert imported.artifact.manifest.metrics.keys() == {
        "import_largest_difference",
        "import_checked_texts",
    }
