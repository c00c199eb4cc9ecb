"""The commands `evaluate` and `train` with several labels a text, on 80 columns."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from tiny import tiny_artifact, with_golden
from typer.testing import CliRunner, Result

import model_store
from classifier.artifact import Calibration, write_artifact
from classifier.errors import ClassifierError
from classifier.pipeline import load_classifier
from cli.app import app

LABELS = ("anger", "fear", "joy")
ROWS: list[tuple[str, list[str]]] = [
    ("great film", ["joy"]),
    ("awful awful", ["anger", "fear"]),
    ("good", []),
    ("bad film", ["fear"]),
    ("not bad", ["joy", "anger"]),
    ("awful film", ["anger", "fear", "joy"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled texts; the models moods, strict and single are in the store."""
    folder = tmp_path_factory.mktemp("moods")
    sigmoid = Calibration(activation="sigmoid")
    for name, artifact in {
        "moods": tiny_artifact(LABELS, name="moods", calibration=sigmoid),
        "strict": tiny_artifact(LABELS, name="strict", calibration=sigmoid, thresholds=(0.9, 0.1, 0.6)),
        "single": tiny_artifact(LABELS, name="single"),
    }.items():
        write_artifact(with_golden(artifact), folder / name)
        model_store.save(folder / name)
    lines = [{"text": text, "label": labels, "length": len(text.split())} for text, labels in ROWS]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cells = [
        f"{text},{'|'.join(labels)},{','.join(str(int(label in labels)) for label in LABELS)}"
        for text, labels in ROWS
    ]
    (folder / "rows.csv").write_text("\n".join([f"text,label,{','.join(LABELS)}", *cells]))
    (folder / "one.csv").write_text("text,label\ngreat film,joy\nawful,fear\n")
    return folder


def run(path: Path, *words: str, model: str = "moods") -> Result:
    arguments = ["evaluate", "--data", str(path), "--model", model, *words]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


def answer(path: Path, *words: str, model: str = "moods") -> dict[str, object]:
    result = run(path, *words, "--json", model=model)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def refused(path: Path, *words: str, model: str = "moods") -> str:
    error = run(path, *words, model=model).exception
    assert isinstance(error, ClassifierError)
    return str(error)


def wrong_usage(path: Path, *words: str) -> str:
    result = run(path, *words)
    assert result.exit_code == 2
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("model", ["moods", "strict"])
def test_the_figures_are_those_of_the_served_labels(folder: Path, model: str) -> None:
    predictions = load_classifier(folder / model).predict([text for text, _ in ROWS])
    truth, predicted = (
        np.array([[label in labels for label in LABELS] for labels in sets])
        for sets in ([labels for _, labels in ROWS], [one.labels or () for one in predictions])
    )
    found = answer(folder / "rows.jsonl", model=model)
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(truth, predicted))
    micro = found["micro"]
    assert isinstance(micro, dict)
    assert micro["f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="micro"))


def test_all_ways_to_write_the_labels_have_the_same_figures(folder: Path) -> None:
    ways = [
        answer(folder / "rows.jsonl"),
        answer(folder / "rows.csv", "--label-separator", "|"),
        answer(folder / "rows.csv", "--label-columns", "anger, fear,joy"),
    ]
    for way in ways:
        del way["microseconds_per_text"], way["data"]
    assert ways[0] == ways[1] == ways[2]


def test_the_tables_are_not_wider_than_the_screen(folder: Path) -> None:
    printed = run(folder / "rows.jsonl", "--group-column", "length").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed


def test_no_matrix_of_confusions_is_printed(folder: Path) -> None:
    printed = run(folder / "rows.jsonl").stdout
    assert "predicted as" not in printed
    assert "exactly right" in printed


def test_the_best_thresholds_say_that_other_texts_must_measure_them(folder: Path) -> None:
    said = " ".join(run(folder / "rows.jsonl").stdout.split())
    assert "because the threshold was chosen on the same texts that measure it; so measure it on" in said


def test_the_best_thresholds_are_printed_as_the_import_takes_them(folder: Path) -> None:
    printed = run(folder / "rows.jsonl").stdout.splitlines()
    by_label = answer(folder / "rows.jsonl")["by_label"]
    assert isinstance(by_label, list)
    best = ",".join(str(row["best"]["threshold"]) for row in by_label)
    assert "To use them, import the model again with this option:" in printed
    assert printed[-1] == f"--thresholds {best}"


def test_a_label_without_a_best_threshold_keeps_its_own(folder: Path) -> None:
    last = run(folder / "one.csv", model="strict").stdout.splitlines()[-1]
    assert last.startswith("--thresholds 0.9,")


def test_a_threshold_is_printed_as_it_is(folder: Path) -> None:
    sigmoid = Calibration(activation="sigmoid")
    artifact = tiny_artifact(LABELS, name="exact", calibration=sigmoid, thresholds=(0.21895, 0.5, 0.71603512))
    write_artifact(with_golden(artifact), folder / "exact")
    model_store.save(folder / "exact")
    rows = [line.split() for line in run(folder / "rows.jsonl", model="exact").stdout.splitlines()]
    shown = {row[0]: row[2] for row in rows if len(row) == 6 and row[0] in LABELS}
    assert shown == dict(zip(LABELS, ("0.21895", "0.5", "0.716035"), strict=True))


def test_a_label_without_a_column_is_a_warning(folder: Path) -> None:
    said = " ".join(run(folder / "rows.csv", "--label-columns", "joy").stderr.split())
    assert (
        "warning: --label-columns has no column for the labels 'anger', 'fear' of moods, so every text "
        "counts as one without them" in said
    )
    assert "warning" not in run(folder / "rows.csv", "--label-columns", "anger,fear,joy").stderr


def test_a_label_that_no_text_has_is_printed_without_figures(folder: Path) -> None:
    rows = [line.split() for line in run(folder / "one.csv").stdout.splitlines()]
    assert ["anger", "–", "–", "–", "–"] in rows


def test_single_labels_are_sets_of_one(folder: Path) -> None:
    found = answer(folder / "one.csv")
    assert (found["rows"], found["labels_per_text"]) == (2, 1.0)


def test_groups_have_figures_of_several_labels(folder: Path) -> None:
    groups = answer(folder / "rows.jsonl", "--group-column", "length")["groups"]
    assert isinstance(groups, list)
    assert [(group["group"], group["texts"]) for group in groups] == [("2", 5), ("1", 1)]
    assert groups[0].keys() == {
        "group",
        "texts",
        "labels_per_text",
        "subset_accuracy",
        "hamming_loss",
        "micro_f1",
    }


def test_plots_and_the_page_of_mistakes_are_written(folder: Path, tmp_path: Path) -> None:
    result = run(folder / "rows.jsonl", "--plots", str(tmp_path), "--errors", str(tmp_path / "errors.html"))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "errors.html",
        "reliability.png",
        "roc.png",
        "thresholds.png",
    ]


def test_two_models_are_compared_by_their_texts_with_exactly_right_labels(folder: Path) -> None:
    result = run(folder / "rows.jsonl", "--model", "strict")
    said = " ".join(result.stdout.split())
    assert "A model is right about a text here if all labels of the text are exactly right." in said
    assert "McNemar's exact test: p = " in said
    assert len(json.loads(run(folder / "rows.jsonl", "--model", "strict", "--json").stdout)["mcnemar"]) == 1


def test_the_f1_of_more_models_than_fit_is_left_to_the_json(folder: Path) -> None:
    names = ["moods:latest", "strict", "strict:latest"]
    versions = [str(tag) for name in ("moods", "strict") for tag in [_tag(name)]]
    words = [word for name in (*names, *versions) for word in ("--model", name)]
    said = " ".join(run(folder / "rows.jsonl", *words).stdout.split())
    assert "The F1 of each label for 6 models does not fit here; --json prints it." in said


def _tag(name: str) -> str:
    return f"{name}:{model_store.folder_of(name).name}"


def test_models_of_both_kinds_are_not_compared(folder: Path) -> None:
    assert refused(folder / "rows.jsonl", "--model", "single") == (
        "moods can give a text several labels, and single gives it exactly one; their figures are not the "
        "same, so they are not compared"
    )


def test_several_labels_are_refused_for_a_model_that_gives_one(folder: Path) -> None:
    assert refused(folder / "rows.jsonl", model="single") == (
        "rows.jsonl: the text in line 2 has 2 labels ('anger', 'fear'); single is a model that gives each "
        "text exactly one"
    )


def test_a_cell_with_several_labels_hints_at_the_separator(folder: Path) -> None:
    (folder / "joined.csv").write_text("text,label\nawful,anger|fear\n")
    assert refused(folder / "joined.csv") == (
        "label 'anger|fear' is none of the classes anger, fear, joy; if it is several labels, add "
        "--label-separator '|'"
    )


def test_a_neutral_label_is_refused(folder: Path) -> None:
    words = ("--group-column", "length", "--neutral-label", "none")
    assert "is right for is a text without labels" in wrong_usage(folder / "rows.jsonl", *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--label-separator", "|", "--label-columns", "a,b"], "--label-separator and --label-columns are"),
        (["--label-column", "mood", "--label-columns", "a,b"], "--label-column and --label-columns are both"),
        (["--label-separator", ""], "--label-separator is empty"),
        (["--label-columns", "a,,b"], "--label-columns is 'a,,b'; it must be distinct names"),
        (["--label-columns", "a,a"], "--label-columns is 'a,a'; it must be distinct names"),
    ],
)
def test_options_that_contradict_are_wrong_usage(folder: Path, words: list[str], sentence: str) -> None:
    assert sentence in wrong_usage(folder / "rows.csv", *words)


@pytest.mark.parametrize("words", [[], ["--encoder", "nowhere"]], ids=["linear", "encoder"])
def test_a_training_on_several_labels_is_refused_in_one_sentence(folder: Path, words: list[str]) -> None:
    arguments = ["train", "--data", str(folder / "rows.jsonl"), "--name", "none", *words]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ClassifierError)
    assert str(error) == (
        "rows.jsonl: the text in line 2 has 2 labels ('anger', 'fear'); training makes only models that give "
        "a text one label; import a model that gives it several from scikit-learn or Hugging Face"
    )
