"""The commands that make models, run from the command line with their own model store."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import joblib
import pytest
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

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

    def in_terminal(self, *arguments: object, **environment: str) -> str:
        """Run a command whose standard output is a terminal with 256 colours; returns what it shows."""
        ours, terminal = pty.openpty()
        with (
            os.fdopen(ours, "rb", buffering=0) as shown,
            subprocess.Popen(
                [sys.executable, "-m", "cli", *map(str, arguments)],
                cwd=ROOT,
                env=self.environment | {"TERM": "xterm-256color"} | environment,
                stdout=terminal,
            ) as process,
        ):
            os.close(terminal)
            output = b""
            with suppress(OSError):  # Linux reports the end of a terminal as an error
                while part := shown.read(4096):
                    output += part
        assert process.returncode == 0
        return output.decode()

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
    tag, *report, left_out, card, reference, hint = done.stdout.splitlines()
    assert left_out == "warning: 1 text is left out of the training, because of an overlap with test texts."
    figures = r"\d\d\.\d\d % +\d\d\.\d to \d\d\.\d % +25\.0 % +0\.\d{4}"
    assert any(re.fullmatch(f"held-out texts +160 +{figures}", line) for line in report)
    assert any(re.fullmatch(f"test texts +200 +{figures}", line) for line in report)
    assert re.fullmatch(r"news:\w{12}", tag)
    assert card.endswith("MODEL_CARD.md")
    assert reference == "reference for drift: 160 texts"
    version = tag.split(":")[1]
    assert f"CLASSIFIER__MODEL__NAME=news CLASSIFIER__MODEL__VERSION={version} " in hint
    assert load_classifier(folder).digest.startswith(version)


def test_progress_is_written_to_standard_error(trained):
    done, _ = trained
    assert "done" in done.stderr
    assert "done" not in done.stdout


def test_evaluate_prints_the_overall_figures_and_those_of_each_class(run, trained):
    done = run("evaluate", "--data", DATA / "agnews_test.jsonl", "--model", "news:latest")
    assert done.returncode == 0
    report = evaluate(load_classifier(trained[1]), read_dataset(DATA / "agnews_test.jsonl")).evaluation
    for heading in (
        "accuracy",
        "95 % interval",
        "macro F1",
        "ROC AUC",
        "log loss",
        "ECE",
        "µs per text",
        "precision",
        "recall",
        "F1",
    ):
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
        *("labels", "rows", "accuracy", "log_loss", "roc_auc", "ece", "by_class", "confusion"),
        *("accuracy_interval", "macro_f1", "trained_on_this_data"),
    }
    assert figures.pop("trained_on_this_data") is False
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
def test_evaluate_writes_the_most_confident_mistakes_as_a_page(run, tmp_path):
    page = tmp_path / "errors.html"
    data = ["--data", DATA / "agnews_test.jsonl", "--model", "news", "--json"]
    done = run("evaluate", *data, "--errors", page, "--max-errors", "5")
    assert done.returncode == 0, done.stderr
    assert f"wrote {page}" in done.stderr
    assert "explaining mistakes" in done.stderr
    figures = json.loads(done.stdout)
    content = page.read_text(encoding="utf-8")
    assert content.count("<article") == 5
    wrong = round(figures["rows"] * (1 - figures["accuracy"]))
    assert f"{wrong} of 200 texts are wrong, and this page has the 5 most confident of them." in content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--errors", "nowhere/errors.html"], "nowhere is not a folder"),
        (["--errors", "errors.html", "--max-errors", "2001"], "less than or equal to 2000"),
        (["--max-errors", "5"], "--max-errors is given without --errors"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_any_work(run, options, message):
    done = run("evaluate", "--data", "nowhere.csv", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_models_explain_lists_n_grams_of_each_class(run, trained):
    tag = trained[0].stdout.splitlines()[0]
    done = run("models", "explain", tag, "--top", "3", "--json")
    assert done.returncode == 0, done.stderr
    classes = json.loads(done.stdout)["classes"]
    assert [one["label"] for one in classes] == list(load_classifier(trained[1]).labels)
    assert [len(one["ngrams"]) for one in classes] == [3, 3, 3, 3]


@pytest.mark.usefixtures("trained")
def test_predict_explains_in_a_pipe_without_escape_codes(run):
    done = run("predict", "--model", "news", "--explain", "--top", "2", "Stocks fell on Wall Street.")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "Stocks fell on Wall Street." in done.stdout
    assert re.search(r"^score +[+-]\d", done.stdout, re.MULTILINE)


@pytest.mark.usefixtures("trained")
def test_predict_explains_in_a_terminal_with_colours(run):
    shown = run.in_terminal("predict", "--model", "news", "--explain", "Stocks fell on Wall Street.")
    assert re.search(r"\x1b\[1;38;5;231;48;5;(31|130)m\w+\x1b\[0m", shown)
    plain = run.in_terminal(
        "predict", "--model", "news", "--explain", "Stocks fell on Wall Street.", NO_COLOR="1"
    )
    assert "\x1b" not in plain


@pytest.mark.usefixtures("trained")
def test_evaluate_uses_the_configured_model_if_none_is_named(run):
    data = ["--data", DATA / "agnews_test.jsonl", "--json"]
    done = run("evaluate", *data, CLASSIFIER__MODEL__NAME="news")
    assert json.loads(done.stdout)["model"] == "news:latest"


def test_a_trusted_pickle_is_imported(run, pickled):
    data = ["--data", DATA / "imdb_test.csv"]
    done = run("import", pickled, "--name", "foreign", "--trust-pickle", *data)
    assert done.returncode == 0, done.stderr
    first, *summary, reference, hint = done.stdout.splitlines()
    assert re.fullmatch(r"foreign:\w{12}: imported from model\.joblib", first)
    shown = re.sub(r"\s+", " ", " ".join(summary))
    assert shown.startswith(
        "classes 0: negative 1: positive (the model's own names) compared with the original on "
    )
    pattern = (
        r"on (\d+) texts \(200 real\): largest difference (\d\.\de-\d\d), where 1e-06 is allowed notes - "
    )
    count, difference = re.search(pattern, shown).groups()
    assert int(count) >= 250
    assert float(difference) <= 1e-6
    card = re.search(r"card (\S+/MODEL_CARD\.md)$", shown)[1]
    assert Path(card).read_text(encoding="utf-8").startswith("# foreign\n")
    assert re.search(r"example (negative|positive): \S.* (negative|positive) [01]\.\d{4}", shown)
    assert reference == "reference for drift: 200 texts"
    assert "CLASSIFIER__MODEL__NAME=foreign" in hint


def test_the_summary_of_an_import_fits_80_columns_and_says_how_to_name_classes(run, tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression())
    joblib.dump(
        {"model": pipeline.fit(["good film", "bad film"], [1, 0]), "trained_by": "x"}, tmp_path / "m.joblib"
    )
    done = run("import", tmp_path / "m.joblib", "--name", "numbers", "--trust-pickle", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    _, *summary, _, _ = done.stdout.splitlines()
    assert max(len(line) for line in summary if "MODEL_CARD" not in line) <= 80
    shown = re.sub(r"\s+", " ", " ".join(summary))
    assert "classes 0: 0 1: 1 (called by their numbers)" in shown
    assert 'name them with --labels "…,…" in this order.' in shown
    assert "not used trained_by notes" in shown


def test_a_model_without_probabilities_is_calibrated_on_labelled_texts_and_evaluated(run, tmp_path):
    data = read_dataset(DATA / "imdb_train.csv")
    pipeline = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)), LinearSVC())
    joblib.dump(pipeline.fit(data.texts, data.labels), tmp_path / "m.joblib")
    test = DATA / "imdb_test.csv"
    given = ["import", tmp_path / "m.joblib", "--name", "svm", "--trust-pickle"]
    refused = run(*given)
    assert refused.returncode == 1
    assert "gives scores but no probabilities; give labelled texts" in refused.stderr
    done = run(*given, "--data", test, "--label-column", "label")
    assert done.returncode == 0, done.stderr
    assert "calibrated on 200 labelled texts" in re.sub(r"\s+", " ", done.stdout)
    right = pipeline.predict(read_dataset(test).texts) == read_dataset(test).labels
    shown = run("evaluate", "--data", test, "--model", done.stdout.partition(": ")[0], "--json")
    assert json.loads(shown.stdout)["accuracy"] == pytest.approx(right.mean())


def test_a_column_of_labels_needs_data(run, pickled):
    done = run("import", pickled, "--name", "x", "--trust-pickle", "--label-column", "label")
    assert done.returncode == 2
    assert "--label-column is given without --data" in done.stderr


def test_a_pickle_is_refused_without_trust(run, pickled):
    done = run("import", pickled, "--name", "untrusted")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: .*--trust-pickle", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_models_are_listed_with_kind_classes_and_accuracy(run, trained):
    done = run("models")
    assert done.returncode == 0
    tag = trained[0].stdout.splitlines()[0]
    accuracy = re.search(r"^test texts +200 +(\S+ %)", trained[0].stdout, re.MULTILINE)[1]
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


def test_too_many_bad_rows_give_a_one_line_error_with_their_lines(run, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "good,x\nbad,y\n" * 10 + " ,x\n" * 6)
    done = run("train", "--data", path, "--name", "bad")
    assert (done.returncode, done.stdout) == (1, "")
    start = f"error: {path}: 6 of 26 rows cannot be used (6 no text), the first in line 22 ('text' is ' '; "
    assert one_line(done.stderr).startswith(start)


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
        "CLASSIFIER__PREPROCESSING__MARK_NEGATION": "false",
        "HOME": str(tmp_path),
        "NLTK_DATA": "",
    }
    done = run("train", "--data", DATA / "imdb_test.csv", "--name", "none", **environment)
    assert done.returncode == 1
    assert "python -m nltk.downloader stopwords" in done.stderr.splitlines()[-1]
