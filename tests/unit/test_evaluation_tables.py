"""What `text-classifier evaluate` prints about one model, on 80 columns."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import tiny_artifact, with_golden
from typer.testing import CliRunner, Result

import model_store
from classifier.artifact import write_artifact
from cli.app import app

LONG = "label-without-a-space-" * 4
STRANGE = "bad\x1b[2J [red]"
MANY = tuple(f"everything that is about the subject number {number}" for number in range(20))
"""The tiny model makes mistakes about nearly all of them."""


def save(folder: Path, name: str, labels: Sequence[str]) -> Path:
    """Put a tiny model into the store; returns a file with two texts of each class."""
    write_artifact(with_golden(tiny_artifact(tuple(labels), name=name)), folder / name)
    model_store.save(folder / name)
    words = ["good", "great film"]
    rows = "".join(f'{word} {number},"{label}"\n' for word in words for number, label in enumerate(labels))
    path = folder / f"{name}.csv"
    path.write_text("text,label\n" + rows, encoding="utf-8")
    return path


def run(path: Path, *words: str) -> Result:
    result = CliRunner().invoke(app, ["evaluate", "--data", str(path), *words], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed for a model whose labels are hard to show."""
    path = save(tmp_path_factory.mktemp("strange"), "strange-labels", (STRANGE, LONG))
    return run(path, "--model", "strange-labels").stdout


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("many"), "many-labels", MANY)


@pytest.fixture(scope="module")
def many(many_rows: Path) -> str:
    """What is printed for a model with 20 classes."""
    return run(many_rows, "--model", "many-labels").stdout


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed for a model with two classes."""
    path = save(tmp_path_factory.mktemp("few"), "few-labels", ("negative", "positive"))
    return run(path, "--model", "few-labels").stdout


def _first_column(printed: str, header: str) -> str:
    """The text of the first column of the table whose header begins with `header`, without white space."""
    lines = printed.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    rows = lines[start + 2 :]
    end = next((number for number, line in enumerate(rows) if not line.strip()), len(rows))
    width = lines[start].index("precision") if "precision" in lines[start] else None
    return "".join("".join(line[:width].split()) for line in rows[:end])


def test_no_label_can_control_the_terminal(strange: str) -> None:
    assert "\x1b" not in strange


def test_brackets_in_a_label_are_shown_as_they_are(strange: str) -> None:
    assert "[red]" in _first_column(strange, "class")


def test_a_label_that_is_wider_than_its_column_is_shown_in_full(strange: str) -> None:
    assert LONG in _first_column(strange, "class")
    assert "…" not in strange


def test_no_line_for_20_classes_is_longer_than_the_screen(many: str) -> None:
    assert max(len(line) for line in many.splitlines()) <= 80


def test_each_of_20_classes_has_its_name_in_full(many: str) -> None:
    column = _first_column(many, "class")
    assert all(label.replace(" ", "") in column for label in MANY)


def test_no_figure_of_20_classes_is_cut(many: str) -> None:
    assert "…" not in many


def test_20_classes_get_a_list_of_confusions_which_says_where_the_whole_matrix_is(many: str) -> None:
    assert "truth / predicted as" not in many
    said = " ".join(many.split())
    assert "The 15 most frequent of " in said
    assert "--plots draws the whole confusion matrix, and --json prints it." in said


def test_few_classes_get_the_confusion_matrix(few: str) -> None:
    header, _, negative, positive = few.splitlines()[-4:]
    assert header.split() == ["truth", "/", "predicted", "as", "negative", "positive"]
    assert negative.split() == ["negative", "0", "2"]
    assert positive.split() == ["positive", "0", "2"]


def test_the_first_line_names_model_data_and_texts(few: str) -> None:
    assert few.startswith("few-labels on few-labels.csv: 4 texts, ")


def test_the_accuracy_has_its_interval(few: str) -> None:
    assert " 50.00 %   15.0 to 85.0 %" in few


def test_json_has_the_whole_confusion_matrix_of_20_classes(many_rows: Path) -> None:
    answer = json.loads(run(many_rows, "--model", "many-labels", "--json").stdout)
    assert [len(row) for row in answer["confusion"]] == [20] * 20
