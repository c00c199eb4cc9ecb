"""The commands that make models, run from the command line with their own model store."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from classifier.pipeline import load_classifier
from training_import.dataset import read_dataset
from training_import.evaluation.evaluate import evaluate

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
COMMANDS = ["train", "evaluate", "import", "models"]


class CommandLine:
    """Runs commands with one model store."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.environment = os.environ | {"BENTOML_HOME": str(home), "COLUMNS": "200"}

    def __call__(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )


def one_line(error: str) -> str:
    """Return the only line of an error."""
    (line,) = error.splitlines()
    return line


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return CommandLine(tmp_path_factory.mktemp("command_line") / "store")


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
    """The finished command that trained the model "news", and the folder that it wrote."""
    folder = tmp_path_factory.mktemp("trained") / "artifact"
    data = ["--data", DATA / "agnews_train.parquet", "--test", DATA / "agnews_test.jsonl"]
    return run("train", *data, "--name", "news", "--seed", "3", "--output", folder), folder


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    dataset = read_dataset(DATA / "imdb_train.csv")
    pipeline = make_pipeline(CountVectorizer(min_df=2), LogisticRegression(max_iter=1000))
    path = tmp_path_factory.mktemp("pickled") / "model.joblib"
    joblib.dump(pipeline.fit(dataset.texts, dataset.labels), path)
    return path


def test_train_prints_the_tag_the_figures_and_how_to_serve(trained):
    done, folder = trained
    assert done.returncode == 0
    first, second, third, fourth = done.stdout.splitlines()
    assert re.fullmatch(r"news:\w{12}: accuracy \d\d\.\d\d %, ECE 0\.\d{4} on 160 held-out texts", first)
    assert re.fullmatch(r"test: accuracy \d\d\.\d\d %, ECE 0\.\d{4} on 200 texts", second)
    assert third == "reference for drift: 160 texts"
    version = first.split(":")[1]
    assert f"CLASSIFIER__MODEL__NAME=news CLASSIFIER__MODEL__VERSION={version} " in fourth
    assert load_classifier(folder).digest.startswith(version)


def test_progress_is_written_to_standard_error(trained):
    done, _ = trained
    assert "done" in done.stderr
    assert "done" not in done.stdout


def test_evaluate_prints_the_overall_figures_and_those_of_each_class(run, trained):
    done = run("evaluate", "--data", DATA / "agnews_test.jsonl", "--model", "news:latest")
    assert done.returncode == 0
    report = evaluate(load_classifier(trained[1]), read_dataset(DATA / "agnews_test.jsonl")).evaluation
    for heading in ("accuracy", "ROC AUC", "log loss", "ECE", "µs per text", "precision", "recall", "F1"):
        assert heading in done.stdout
    assert f"{100 * report.accuracy:.2f} %" in done.stdout
    for row in report.by_class:
        assert re.search(rf"{row.label}\W+{row.precision:.4f}\W+{row.recall:.4f}\W+{row.f1:.4f}", done.stdout)


def test_evaluate_with_json_prints_only_json_and_writes_four_plots(run, trained, tmp_path):
    plots = tmp_path / "plots"
    data = ["--data", DATA / "agnews_test.jsonl", "--model", "news"]
    done = run("evaluate", *data, "--json", "--plots", plots)
    assert done.returncode == 0
    figures = json.loads(done.stdout)
    report = evaluate(load_classifier(trained[1]), read_dataset(DATA / "agnews_test.jsonl"))
    assert figures.pop("microseconds_per_text") > 0
    assert (figures.pop("model"), figures.pop("data")) == ("news", "agnews_test.jsonl")
    assert figures.keys() == {
        *("labels", "rows", "accuracy", "log_loss", "roc_auc", "ece", "by_class", "confusion")
    }
    expected = json.loads(json.dumps(report.as_json()))
    assert {name: expected[name] for name in figures} == figures
    names = ["confusion.png", "reliability.png", "roc.png", "thresholds.png"]
    assert sorted(path.name for path in plots.iterdir()) == names
    for name in names:
        with Image.open(plots / name) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) >= 400
            assert len(image.convert("RGB").getcolors(image.width * image.height)) > 10
        assert f"wrote {plots / name}" in done.stderr


@pytest.mark.usefixtures("trained")
def test_evaluate_uses_the_configured_model_if_none_is_named(run):
    data = ["--data", DATA / "agnews_test.jsonl", "--json"]
    done = run("evaluate", *data, CLASSIFIER__MODEL__NAME="news")
    assert json.loads(done.stdout)["model"] == "news:latest"


def test_a_trusted_pickle_is_imported(run, pickled):
    data = ["--data", DATA / "imdb_test.csv"]
    done = run("import", pickled, "--name", "foreign", "--trust-pickle", *data)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    pattern = r"foreign:\w{12}: (\d+) texts compared, largest difference (\d\.\de-\d\d)"
    count, difference = re.fullmatch(pattern, first).groups()
    assert int(count) >= 200
    assert float(difference) <= 1e-6
    assert second == "reference for drift: 200 texts"
    assert "CLASSIFIER__MODEL__NAME=foreign" in third


def test_a_pickle_is_refused_without_trust(run, pickled):
    done = run("import", pickled, "--name", "untrusted")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: .*--trust-pickle", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_models_are_listed_with_kind_classes_and_accuracy(run, trained):
    done = run("models")
    assert done.returncode == 0
    tag = trained[0].stdout.split(": ")[0]
    accuracy = re.search(r"test: accuracy (\S+ %)", trained[0].stdout)[1]
    assert re.search(rf"{tag}\W+linear\W+4\W+{accuracy}", done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_shows_an_example(run, command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: text-classifier {command}" in done.stdout


def test_the_help_lists_the_commands(run):
    done = run("--help")
    assert done.returncode == 0
    assert all(re.search(rf"\b{command}\b", done.stdout) for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "--data"),
        (["train", "--data", "x.csv", "--kind", "forest"], "forest"),
        (["train", "--data", "x.csv", "--name", "Not A Name"], "Not A Name"),
        (["fly"], "fly"),
    ],
    ids=["missing option", "unknown kind", "bad name", "unknown command"],
)
def test_wrong_usage_gives_exit_code_2(run, arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Usage: text-classifier" in done.stderr


def test_a_bad_row_gives_a_one_line_error_with_its_number(run, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "good,x\nbad,y\n" * 10 + " ,x\n")
    done = run("train", "--data", path, "--name", "bad")
    assert (done.returncode, done.stdout) == (1, "")
    assert one_line(done.stderr) == f"error: {path} row 21: text is ' '; it must be a text that is not blank"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "nowhere.csv", "--name", "none"], "nowhere.csv cannot be read"),
        (["evaluate", "--data", "tests/data/imdb_test.csv", "--model", "nobody"], "has no model 'nobody'"),
        (["import", "nowhere.joblib", "--name", "none"], "nowhere.joblib"),
        (
            ["train", "--data", "tests/data/imdb_test.csv", "--name", "none", "--text-column", "review"],
            "there is no column 'review'",
        ),
    ],
)
def test_unusable_input_gives_exit_code_1_and_a_one_line_error(run, arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_missing_stop_words_give_an_error_that_says_how_to_install_them(run, tmp_path):
    environment = {
        "CLASSIFIER__PREPROCESSING__REMOVE_STOPWORDS": "true",
        "HOME": str(tmp_path),
        "NLTK_DATA": "",
    }
    done = run("train", "--data", DATA / "imdb_test.csv", "--name", "none", **environment)
    assert done.returncode == 1
    assert "python -m nltk.downloader stopwords" in done.stderr.splitlines()[-1]
