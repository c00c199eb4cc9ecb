"""The command `train`: short texts, groups, what it prints, and what it refuses."""

import csv
import re
from pathlib import Path

import pytest
from labelled import reviews, sentences
from typer.testing import CliRunner, Result

from classifier.artifact import read_artifact
from classifier.errors import ClassifierError
from cli.app import app
from training_import.dataset import Dataset

GROUP_ROWS = [
    ("a great superb word1", "positive", "praise", "final"),
    ("an awful dull word2", "negative", "blame", "final"),
    ("word3 word4", "neutral", "facts", "final"),
    ("great", "positive", "other", "choose"),
]


def write(path: Path, dataset: Dataset) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(dataset.texts, dataset.labels, strict=True)])
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The files of a training, by their options."""
    groups = tmp_path / "groups.csv"
    with groups.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "group", "part"), *GROUP_ROWS])
    return {
        "data": write(tmp_path / "reviews.csv", reviews()),
        "short": write(tmp_path / "sentences.csv", sentences()),
        "test": write(tmp_path / "test.csv", reviews(count=20, seed=5)),
        "groups": groups,
    }


def train(files: dict[str, Path | str], *words: str) -> Result:
    options = [word for name, value in files.items() for word in (f"--{name}", str(value))]
    return CliRunner().invoke(app, ["train", "--name", "short", *options, *words], env={"COLUMNS": "200"})


def refusal(files: dict[str, Path | str], *words: str) -> str:
    result = train(files, *words)
    assert result.exit_code != 0
    assert isinstance(result.exception, ClassifierError), result.output
    return str(result.exception)


def test_the_command_prints_the_figures_of_long_and_short_texts(
    files: dict[str, Path], tmp_path: Path
) -> None:
    result = train(files, "--output", str(tmp_path / "artifact"))
    assert result.exit_code == 0, result.output
    figures = re.findall(
        r"^(\w.* texts) +\d+ +\d\d?\d?\.\d\d % +\d\S+ to \d\S+ % +5\d\.\d % +0\.\d{4}$",
        result.stdout,
        re.MULTILINE,
    )
    assert figures == ["held-out texts", "held-out short texts", "test texts", "short test texts"]
    assert "left out" not in result.stdout
    trained_on = read_artifact(tmp_path / "artifact").manifest.short_trained_on
    assert [data.name for data in trained_on] == ["sentences.csv"]


def test_the_model_card_has_only_the_groups_of_the_part_final(files: dict[str, Path], tmp_path: Path) -> None:
    result = train({"data": files["data"], "groups": files["groups"]}, "--output", str(tmp_path / "artifact"))
    assert result.exit_code == 0, result.output
    table = read_artifact(tmp_path / "artifact").model_card.partition("## Sentences by group")[2]
    assert re.findall(r"^\| (praise|blame|facts|other) \|", table, re.MULTILINE) == [
        "praise",
        "blame",
        "facts",
    ]


def test_the_command_prints_how_many_texts_were_left_out(files: dict[str, Path], tmp_path: Path) -> None:
    copied = write(tmp_path / "copied.csv", reviews().first(6))
    result = train({"data": files["data"], "test": copied})
    assert "warning: 6 of the 6 texts of copied.csv are also in reviews.csv.\n" in result.stdout
    assert "warning: 6 texts are left out of the training, because of an overlap with test " in result.stdout


def test_a_test_with_the_training_texts_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    copied = tmp_path / "copied.csv"
    copied.write_bytes(files["data"].read_bytes())
    message = refusal({"data": files["data"], "test": copied})
    assert message.startswith("the test texts of copied.csv are the training texts of reviews.csv; ")


def test_the_command_prints_the_classes_and_the_folder_of_the_card(files: dict[str, Path]) -> None:
    shown = train({"data": files["data"]}).stdout
    rows = re.findall(r"^(\w+) +45 +50\.0 % +9 +\d\.\d\d +\d\.\d\d +\d\.\d\d$", shown, re.MULTILINE)
    assert rows == ["negative", "positive"]
    card = re.search(r"^model card: (.*)$", shown, re.MULTILINE)
    assert card is not None
    assert Path(card[1]).read_text(encoding="utf-8").startswith("# short\n")


@pytest.mark.usefixtures("files")
def test_several_files_are_trained_on_as_one(tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", reviews(seed=7))
    options = ["--data", str(other), "--output", str(tmp_path / "artifact")]
    result = train({"data": tmp_path / "rev*.csv"}, *options)
    assert "reviews.csv + other.csv: 180 texts of 180 rows\n  2 CSV files, encoding utf-8, " in result.stdout
    trained_on = read_artifact(tmp_path / "artifact").manifest.trained_on
    assert trained_on is not None
    assert (trained_on.name, trained_on.rows) == ("reviews.csv + other.csv", 180)


@pytest.mark.parametrize(("share", "is_refused"), [("7%", False), ("0.07", False), ("1%", True), ("0", True)])
def test_the_share_of_bad_rows_can_be_set(files: dict[str, Path], share: str, is_refused: bool) -> None:
    with files["data"].open("a", encoding="utf-8") as file:
        file.write(",positive\n" * 6)
    result = train({"data": files["data"]}, "--max-bad-rows", share)
    assert isinstance(result.exception, ClassifierError) is is_refused


@pytest.mark.parametrize("share", ["101%", "-1", "many", "nan"])
def test_a_share_that_cannot_be_one_is_refused(files: dict[str, Path], share: str) -> None:
    result = train({"data": files["data"]}, "--max-bad-rows", share)
    assert result.exit_code == 2
    assert "is not a share such as 1% or 0.01" in " ".join(result.output.split())


def test_balanced_classes_are_in_the_model_card(files: dict[str, Path], tmp_path: Path) -> None:
    options = ["--class-weight", "balanced", "--output", str(tmp_path / "artifact")]
    assert train({"data": files["data"]}, *options).exit_code == 0
    assert "\n\nClass weight: balanced. " in read_artifact(tmp_path / "artifact").model_card


def test_short_texts_for_a_network_are_refused(files: dict[str, Path]) -> None:
    message = refusal({"data": files["data"], "short": files["short"]}, "--kind", "cnn")
    assert message == "short texts are only for models of kind 'linear', not 'cnn'"


def test_short_texts_with_a_label_that_is_no_class_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    short = write(tmp_path / "other.csv", sentences(("negative", "neutral")))
    message = refusal({"data": files["data"], "short": short})
    assert message == "other.csv: label 'neutral' is none of the classes negative, positive"


def test_phrases_without_short_texts_are_refused(files: dict[str, Path]) -> None:
    message = refusal({"data": files["data"], "phrases": files["short"]})
    assert message == "phrases are only for a training with short texts"


@pytest.mark.parametrize("option", ["short", "phrases", "test", "groups"])
def test_a_file_that_does_not_exist_is_named(files: dict[str, Path], option: str) -> None:
    message = refusal({"data": files["data"], option: "nowhere.csv"})
    assert message.startswith("nowhere.csv cannot be read")


def test_a_misspelt_name_of_a_corpus_is_refused_as_a_file_without_a_known_ending(
    files: dict[str, Path],
) -> None:
    message = refusal({"data": files["data"], "short": "sentence_polarty"})
    assert message.startswith("sentence_polarty: unknown kind of file ''; supported are .csv")


def test_a_file_of_groups_without_the_part_final_is_refused(files: dict[str, Path]) -> None:
    groups = files["groups"]
    groups.write_text(groups.read_text(encoding="utf-8").replace("final", "last"), encoding="utf-8")
    message = refusal({"data": files["data"], "groups": groups})
    assert message == f"{groups} has no part 'final'; it has choose, last"


@pytest.mark.parametrize("name", ["REMOVE_STOPWORDS", "REMOVE_SPECIAL_CHARS"])
def test_dropped_tokens_and_marked_negation_are_refused_together(
    files: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLASSIFIER__PREPROCESSING__{name}", "true")
    assert refusal({"data": files["data"]}) == (
        f"preprocessing.{name.lower()} and preprocessing.mark_negation are both true, but negation can be "
        "marked only where all tokens are kept; set one of them to false"
    )


def test_special_characters_can_be_removed_without_marked_negation(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER__PREPROCESSING__REMOVE_SPECIAL_CHARS", "true")
    monkeypatch.setenv("CLASSIFIER__PREPROCESSING__MARK_NEGATION", "false")
    result = train({"data": files["data"]})
    assert result.exit_code == 0, result.output
