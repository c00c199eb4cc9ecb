"""`text-classifier drift` compares a file with a model's reference, and its exit code says the result."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import tiny_artifact, with_golden, write_tiny
from typer.testing import CliRunner, Result

import model_store
from classifier.artifact import Calibration, write_artifact
from classifier.drift.features import FEATURES
from classifier.drift.reference import build_reference
from classifier.drift.window import features_of
from classifier.pipeline import Classifier
from cli.app import app

TEXTS = [f"{'good ' * (number % 3)}film {'bad ' * (number % 4)}" for number in range(600)]
OTHERS = ["something else altogether " * 5] * 300


@pytest.fixture(scope="module", autouse=True)
def _stored(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("drift")
    features = features_of(list(Classifier(tiny_artifact()).runs(TEXTS)))
    artifact = tiny_artifact(name="with-reference", reference=build_reference(features, 2))
    write_artifact(with_golden(artifact), folder / "with")
    model_store.save(folder / "with")
    model_store.save(write_tiny(folder / "without", name="without-reference"))


def write(path: Path, texts: Sequence[object], column: str = "text") -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({column: texts}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({column: text}) + "\n" for text in texts), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            csv.writer(file, delimiter=delimiter).writerows([[column], *([text] for text in texts)])
    return path


def run(path: Path, *words: str, model: str = "with-reference") -> Result:
    return CliRunner().invoke(app, ["drift", "--data", str(path), "--model", model, *words])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(("texts", "exit_code", "status"), [(TEXTS, 0, "quiet"), (OTHERS, 3, "drifted")])
def test_the_exit_code_says_whether_texts_differ(
    tmp_path: Path, ending: str, texts: list[str], exit_code: int, status: str
) -> None:
    result = run(write(tmp_path / f"texts{ending}", texts), "--json")
    assert result.exit_code == exit_code, result.output
    answer = json.loads(result.stdout)
    assert answer["status"] == status
    assert answer["texts"] == len(texts)
    assert answer["reference_texts"] == len(TEXTS)
    assert [one["feature"] for one in answer["features"]] == list(FEATURES)


def test_the_tables_have_each_feature_with_its_bins_and_the_verdict(tmp_path: Path) -> None:
    shown = run(write(tmp_path / "texts.csv", OTHERS)).stdout
    assert "300 texts of texts.csv against 600 held-out texts of with-reference" in shown
    for feature in FEATURES:
        assert feature in shown
    assert "negative" in shown
    assert "other" not in shown
    assert shown.splitlines()[-1].startswith("drifted: characters, unknown_share")


def test_labels_are_shown_as_they_are_without_control_characters(tmp_path: Path) -> None:
    labels = ("[/bad]", "good\x1b[32m")
    artifact = tiny_artifact(labels, name="coloured")
    features = features_of(list(Classifier(artifact).runs(TEXTS)))
    artifact = replace(
        artifact,
        manifest=artifact.manifest.model_copy(update={"reference": build_reference(features, 2)}),
    )
    write_artifact(with_golden(artifact), tmp_path / "artifact")
    model_store.save(tmp_path / "artifact")
    result = run(write(tmp_path / "texts.csv", TEXTS), model="coloured")
    assert "[/bad]" in result.stdout, result.exception
    assert "good [32m" in result.stdout
    assert "\x1b" not in result.stdout


def test_another_column_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.csv", TEXTS, "review")
    assert run(path, "--text-column", "review").exit_code == 0


def test_each_feature_gets_a_plot(tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    run(write(tmp_path / "texts.csv", OTHERS), "--plots", str(plots))
    assert {path.name for path in plots.iterdir()} == {f"drift_{feature}.svg" for feature in FEATURES}
    assert all(path.read_text(encoding="utf-8").rstrip().endswith("</svg>") for path in plots.iterdir())


def test_a_model_without_a_reference_is_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "texts.csv", TEXTS), model="without-reference")
    assert str(result.exception).startswith("the model without-reference has no reference")


def test_several_files_are_compared_as_one(tmp_path: Path) -> None:
    write(tmp_path / "part-1.csv", TEXTS[:300])
    write(tmp_path / "part-2.csv", TEXTS[300:])
    answer = json.loads(run(tmp_path / "part-*.csv", "--json").stdout)
    assert (answer["texts"], answer["data"]) == (600, "part-1.csv + part-2.csv")


def test_too_few_texts_are_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "texts.csv", TEXTS[:199]))
    assert str(result.exception) == "texts.csv has 199 texts; at least 200 are needed to compare them"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_rows_without_a_text_are_skipped_and_counted(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"texts{ending}", [*TEXTS[:300], "", " \t", *TEXTS[300:], ""])
    result = run(path, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["texts"], answer["status"]) == (len(TEXTS), "quiet")
    assert answer["skipped"] == {"no text": 3}
    assert f"{path.name}: 3 rows are skipped: 3 no text" in run(path).stdout


def test_null_and_other_types_are_counted_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.jsonl", [*TEXTS, None, 5, {"a": "b"}, None])
    assert json.loads(run(path, "--json").stdout)["skipped"] == {
        "no text": 2,
        "text of another type": 2,
    }
    assert "4 rows are skipped: 2 no text, 2 text of another type" in run(path).stdout


def test_a_file_with_a_text_in_each_row_says_nothing_of_skipped_ones(tmp_path: Path) -> None:
    assert "skipped" not in run(write(tmp_path / "texts.csv", TEXTS)).stdout


def test_a_file_without_any_text_is_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "texts.jsonl", [" "] * 300 + [None]))
    assert str(result.exception) == (
        "texts.jsonl has 0 texts; at least 200 are needed to compare them; skipped: 301 no text"
    )


def test_the_setting_says_how_large_a_difference_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER__DRIFT__PSI_ALARM", "1000")
    assert run(write(tmp_path / "texts.csv", OTHERS)).exit_code == 0


@pytest.mark.parametrize(("texts", "exit_code"), [(TEXTS, 0), (OTHERS, 3)])
def test_a_model_with_several_labels_is_compared_by_the_most_probable_one(
    tmp_path: Path, texts: list[str], exit_code: int
) -> None:
    labels, sigmoid = ("anger", "fear", "joy"), Calibration(activation="sigmoid")
    artifact = tiny_artifact(labels, name="moods-reference", calibration=sigmoid)
    features = features_of(list(Classifier(artifact).runs(TEXTS)))
    manifest = artifact.manifest.model_copy(update={"reference": build_reference(features, 3)})
    write_artifact(with_golden(replace(artifact, manifest=manifest)), tmp_path / "moods")
    model_store.save(tmp_path / "moods")
    result = run(write(tmp_path / "texts.csv", texts), "--json", model="moods-reference")
    assert result.exit_code == exit_code, result.output
