"""The command `evaluate`: several models side by side, their files, and data that a model was trained on."""

import hashlib
import json
from pathlib import Path

import pytest
from tiny import tiny_artifact, with_golden
from typer.testing import CliRunner, Result

import model_store
from classifier.artifact import Artifact, TrainingData, write_artifact
from classifier.errors import ClassifierError
from cli.app import app
from cli.evaluation_report import comparison_sentence
from training_import.evaluation.comparison import McNemar

ROWS = [("great", "positive"), ("good", "positive"), ("awful", "negative"), ("film", "negative")]
"""The model `plain` is wrong about the last one, and `strict` about the second one."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of labelled texts; the models plain, strict, other and trained are in the store."""
    folder = tmp_path_factory.mktemp("models")
    path = folder / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS), encoding="utf-8")
    known = TrainingData(name="old.csv", sha256=hashlib.sha256(path.read_bytes()).hexdigest(), rows=len(ROWS))

    def save(name: str, artifact: Artifact) -> None:
        write_artifact(with_golden(artifact), folder / name)
        model_store.save(folder / name)

    save("plain", tiny_artifact(name="plain"))
    save("strict", tiny_artifact(name="strict", threshold=0.85))
    save("other", tiny_artifact(("bad", "good"), name="other"))
    save("trained", tiny_artifact(name="trained", trained_on=known))
    return path


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--data", str(path), *words], env={"COLUMNS": "80"})


def shown(path: Path, *words: str) -> str:
    """What is printed, in one line."""
    result = run(path, *words)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def models(*names: str) -> list[str]:
    return [word for name in names for word in ("--model", name)]


def test_two_models_are_printed_side_by_side(rows: Path) -> None:
    printed = shown(rows, *models("plain", "strict"))
    assert "2 models on rows.csv: 4 texts" in printed
    assert "1 plain 75.00 % " in printed
    assert "2 strict 75.00 % " in printed


def test_f1_of_two_models_is_in_one_table(rows: Path) -> None:
    assert "negative 2 0.6667 0.8000 positive 2 0.8000 0.6667" in shown(rows, *models("plain", "strict"))


def test_two_models_are_compared_in_a_sentence(rows: Path) -> None:
    assert (
        "Of 4 texts, plain alone is right about 1 (b), and strict alone about 1 (c). McNemar's exact test: "
        "p = 1.0000. The difference may be chance."
    ) in shown(rows, *models("plain", "strict"))


def test_a_difference_that_is_more_than_chance_names_the_better_model() -> None:
    said = comparison_sentence("plain", "strict", 900, McNemar(30, 90, 1e-7))
    assert said.endswith("p < 0.0001. The difference is more than chance: strict is right more often.")


def test_f1_of_more_models_than_fit_is_left_to_the_json(rows: Path) -> None:
    names = [name + version for name in ("plain", "strict", "trained") for version in ("", ":latest")]
    printed = shown(rows, *models(*names))
    assert "The F1 of each class for 6 models does not fit here; --json prints it." in printed
    assert "F1 of 1" not in printed


def test_each_further_model_is_compared_with_the_first(rows: Path) -> None:
    printed = shown(rows, *models("plain", "strict", "trained"))
    assert "plain alone is right about 1 (b), and strict alone about 1 (c)" in printed
    assert "plain alone is right about 0 (b), and trained alone about 0 (c)" in printed


def test_json_of_several_models_has_the_figures_of_each_and_the_tests(rows: Path) -> None:
    answer = json.loads(run(rows, *models("plain", "strict"), "--json").stdout)
    assert answer["data"] == "rows.csv"
    assert [(one["model"], one["accuracy"]) for one in answer["models"]] == [
        ("plain", 0.75),
        ("strict", 0.75),
    ]
    (test,) = answer["mcnemar"]
    assert test == {"first": "plain", "second": "strict", "only_first": 1, "only_second": 1, "p_value": 1.0}


def test_models_with_other_classes_are_refused(rows: Path) -> None:
    error = run(rows, *models("plain", "other")).exception
    assert isinstance(error, ClassifierError)
    assert str(error).startswith("other has other classes than plain: without 'negative', 'positive'")


def test_a_model_that_is_named_twice_is_refused(rows: Path) -> None:
    result = run(rows, *models("plain", "plain"))
    assert result.exit_code == 2
    assert "--model names a model twice: plain, plain" in " ".join(result.output.split())


def test_each_of_several_models_has_its_own_folder_of_plots(rows: Path, tmp_path: Path) -> None:
    shown(rows, *models("plain", "strict:latest"), "--plots", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "strict@latest"]
    assert (tmp_path / "strict@latest" / "confusion.png").is_file()


def test_each_of_several_models_has_its_own_page_of_mistakes(rows: Path, tmp_path: Path) -> None:
    shown(rows, *models("plain", "strict:latest"), "--errors", str(tmp_path / "errors.html"))
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert sorted(pages) == ["errors-plain.html", "errors-strict@latest.html"]
    assert "<strong>strict:latest</strong>" in pages["errors-strict@latest.html"]


def test_data_that_the_model_was_trained_on_is_noticed(rows: Path) -> None:
    said = " ".join(run(rows, *models("trained")).stderr.split())
    assert "warning: trained was trained on 4 texts of this data, so its figures say how well it " in said


def test_json_says_which_model_was_trained_on_the_data(rows: Path) -> None:
    answer = json.loads(run(rows, *models("plain", "trained"), "--json").stdout)
    assert [one["trained_on_this_data"] for one in answer["models"]] == [False, True]


def test_other_data_is_not_noticed(rows: Path) -> None:
    assert "warning" not in run(rows, *models("plain")).stderr
