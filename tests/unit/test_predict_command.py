"""`text-classifier predict` answers as the API does, reads any number of lines, and names invalid lines."""

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tiny import write_tiny
from typer.testing import CliRunner, Result

import model_store
from classifier.answers import explanation_answer, prediction_answer
from classifier.artifact import Calibration
from classifier.explain.explain import explain_text
from classifier.pipeline import load_classifier
from cli.app import app
from cli.bars import MAX_SHOWN_LABELS, bar
from cli.predict import MAX_LINE_BYTES, InputError, read_lines

TEXTS = ["good", "bad", "good good bad", "nothing that it knows"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny(tmp_path_factory.mktemp("tiny"), name="predicted")
    model_store.save(folder)
    return folder


MOODS = ("anger", "fear", "joy")


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sigmoid = Calibration(activation="sigmoid")
    folder = tmp_path_factory.mktemp("moods")
    write_tiny(folder, MOODS, name="moods", calibration=sigmoid, thresholds=(0.3, 0.9, 0.4))
    model_store.save(folder)
    return folder


def run(*words: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(app, ["predict", "--model", "predicted", *words], input=given)


def answers(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def expected(folder: Path, texts: list[str], threshold: float | None = None) -> list[Any]:
    """The API's answer to each text."""
    predictions = load_classifier(folder).predict(texts)
    return [
        prediction_answer(text, one, 0.5, threshold) for text, one in zip(texts, predictions, strict=True)
    ]


def test_each_argument_is_answered_as_the_api_answers_it(folder: Path) -> None:
    assert answers(run("--json", *TEXTS)) == expected(folder, TEXTS)


@pytest.mark.parametrize("words", [[], ["--file", "-"]], ids=["nothing named", "a dash"])
def test_each_line_of_standard_input_is_a_text(folder: Path, words: list[str]) -> None:
    assert answers(run("--json", *words, given="good\nbad\r\n good good bad ")) == expected(folder, TEXTS[:3])


def test_each_line_of_a_file_is_a_text(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8-sig")
    assert answers(run("--json", "--file", str(path))) == expected(folder, TEXTS)


def test_many_lines_keep_their_order_over_several_batches(folder: Path) -> None:
    texts = [f"{'good ' * (number % 5)}bad {number}" for number in range(250)]
    assert answers(run("--json", given="\n".join(texts))) == expected(folder, texts)


def test_no_lines_print_nothing(folder: Path) -> None:  # noqa: ARG001
    assert answers(run("--json")) == []


def test_below_the_threshold_the_answer_is_uncertain(folder: Path) -> None:
    (answer,) = answers(run("--json", "--threshold", "1", "good"))
    assert answer == expected(folder, ["good"], 1.0)[0]
    assert answer["final_prediction"] == "uncertain"
    assert "uncertain" in run("--threshold", "1", "good").stdout


def test_the_table_has_one_head_and_one_row_per_text(folder: Path) -> None:
    texts = ["good"] * 150
    head, *rows = run(given="\n".join(texts)).stdout.splitlines()
    (answer,) = expected(folder, ["good"])
    assert head.split() == ["label", "probability", "text"]
    shown = [answer["label"], f"{answer['confidence']:.4f}", bar(answer["confidence"], 10).strip(), "good"]
    assert [row.split() for row in rows] == [shown] * 150


@pytest.mark.parametrize("long", ["bad " * 100, "坏" * 100])
def test_a_text_of_the_table_is_one_line_of_80_cells_without_control_characters(
    folder: Path,  # noqa: ARG001
    long: str,
) -> None:
    _, row = run(given=f"good \x1b[31m{long}\n").stdout.splitlines()
    assert "\x1b" not in row
    assert row.endswith("…")
    assert 79 <= cell_len(row) <= 80


def test_an_argument_is_shown_with_a_bar_for_each_label(folder: Path) -> None:
    head, *rows = run("good\n\x1b[31m" + "bad " * 100).stdout.splitlines()
    (answer,) = expected(folder, ["good\n\x1b[31m" + "bad " * 100])
    assert head.startswith(f"{answer['label']}  good [31mbad bad bad")
    ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    assert [row.split() for row in rows] == [
        [label, f"{share:.4f}", *bar(share).split()] for label, share in ranked
    ]


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "    "), (0.01, "    "), (0.5, "██  "), (0.6, "██▍ "), (1.0, "████")]
)
def test_a_bar_is_filled_in_eighths_of_a_character(share: float, shown: str) -> None:
    assert bar(share, 4) == shown


def test_of_many_labels_only_the_strongest_are_shown_and_the_others_together(tmp_path: Path) -> None:
    labels = tuple(f"a rather long label, which is number {number:02}" for number in range(20))
    model_store.save(write_tiny(tmp_path / "many", labels, name="many"))
    _, *rows = CliRunner().invoke(app, ["predict", "--model", "many", "great film"]).stdout.splitlines()
    assert len(rows) == MAX_SHOWN_LABELS + 1
    assert rows[-1].split()[:3] == ["15", "other", "labels"]
    assert max(map(cell_len, rows)) <= 80


def test_the_rows_of_a_csv_file_are_texts_and_those_without_one_are_counted(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('review,label\ngood,1\n ,1\n"bad,\ngood",0\n')
    shown = run("--json", "--file", str(path), "--text-column", "review")
    assert answers(shown) == expected(folder, ["good", "bad,\ngood"])
    assert shown.stderr.splitlines()[-1] == f"{path}: skipped rows: 1 no text"


def test_a_text_can_be_given_by_an_option(folder: Path) -> None:  # noqa: ARG001
    both = run("a good film", "--text", "-5 of 10", "--json")
    assert [json.loads(line)["text"] for line in both.stdout.splitlines()] == ["a good film", "-5 of 10"]


def test_a_file_without_the_column_of_texts_is_refused_with_its_columns(
    folder: Path,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("review,label\ngood,1\n")
    assert "there is no column 'text' (did you mean 'review'?)" in str(run("--file", str(path)).exception)


def test_a_file_with_another_ending_has_one_text_per_line(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "reviews.log"
    path.write_text("good\nbad\n")
    assert answers(run("--json", "--file", str(path))) == expected(folder, ["good", "bad"])


def test_a_warning_names_its_line_on_standard_error(folder: Path) -> None:  # noqa: ARG001
    shown = run(given="good\nnothing that it knows\n")
    (warning,) = shown.stderr.splitlines()
    assert warning.startswith("standard input line 2: unknown words: ")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            b"good\n\ngood\n",
            "standard input line 2 is blank; it needs at least one character that is not white",
        ),
        (b"good\n" + b"a" * 10_001, "standard input line 2 has 10001 characters; at most 10000 are allowed"),
        (b"good\nb\xff\n", "standard input line 2 is not UTF-8: byte 2 is 0xff"),
    ],
    ids=["blank", "too long", "not UTF-8"],
)
def test_a_line_that_cannot_be_classified_is_named(folder: Path, given: bytes, sentence: str) -> None:  # noqa: ARG001
    refused = run(given=given)
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception).startswith(sentence)


def test_the_batches_before_an_invalid_line_are_answered(folder: Path) -> None:  # noqa: ARG001
    refused = run("--json", given="good\n" * 100 + "\n")
    assert str(refused.exception).startswith("standard input line 101 is blank")
    assert len(refused.stdout.splitlines()) == 100


def test_an_argument_that_cannot_be_classified_is_named(folder: Path) -> None:  # noqa: ARG001
    assert str(run("good", " ").exception).startswith("text 2 is blank; ")


@pytest.mark.parametrize("options", [[], ["--json"], ["--explain", "--json"]], ids=" ".join)
def test_an_argument_that_is_not_utf_8_is_named(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    refused = run(*options, "good", os.fsdecode(b"good \xff film"))
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception) == "text 2 is not UTF-8: character 6 cannot be decoded"


def test_a_label_in_the_table_has_no_control_characters(tmp_path: Path) -> None:
    model_store.save(write_tiny(tmp_path / "coloured", ("bad\x1b[31m", "good\x1b[32m"), name="coloured"))
    shown = CliRunner().invoke(app, ["predict", "--model", "coloured", "good"]).stdout
    assert "good [32m" in shown
    assert "\x1b" not in shown


def test_an_endless_line_is_refused_before_all_of_it_is_read() -> None:
    stream = io.BytesIO(b"a" * (10 * MAX_LINE_BYTES))
    with pytest.raises(InputError, match="endless line 1 has more than 1000000 bytes"):
        next(read_lines(stream, "endless"))
    assert stream.tell() == MAX_LINE_BYTES + 1


def test_a_file_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:  # noqa: ARG001
    path = tmp_path / "none.txt"
    refused = run("--file", str(path))
    assert str(refused.exception) == f"{path} cannot be read: No such file or directory"


def test_texts_and_a_file_exclude_each_other(folder: Path) -> None:  # noqa: ARG001
    refused = run("--file", "a.txt", "good")
    assert refused.exit_code == 2
    assert "texts and --file are both given" in refused.output


def test_a_threshold_is_a_probability(folder: Path) -> None:  # noqa: ARG001
    assert run("--threshold", "1.5", "good").exit_code == 2


def test_the_error_for_an_unknown_model_lists_the_stored_ones(folder: Path) -> None:  # noqa: ARG001
    refused = CliRunner().invoke(app, ["predict", "--model", "nobody", "good"])
    assert "has no model 'nobody'; it has " in str(refused.exception)


def test_an_explanation_has_the_n_grams_of_each_text_and_its_words_without_colours(folder: Path) -> None:  # noqa: ARG001
    shown = run("--explain", "Not bad, a good film", "awful").stdout
    assert "\x1b" not in shown
    assert re.search(r"^Not bad +\+1\.7500$", shown, re.MULTILINE)
    assert "\nwords for negative: awful (+2.5000)\nwords against it: none\n" in shown


@pytest.mark.parametrize(
    ("words", "label", "top"), [([], None, 10), (["--label", "negative", "--top", "1"], "negative", 1)]
)
def test_an_explanation_as_json_is_what_the_api_answers(
    folder: Path, words: list[str], label: str | None, top: int
) -> None:
    classifier = load_classifier(folder)
    wanted = [explanation_answer(text, explain_text(classifier, text, label), 0.5, top) for text in TEXTS]
    assert answers(run("--explain", "--json", *words, *TEXTS)) == json.loads(json.dumps(wanted))


def test_an_explanation_of_another_label_has_the_opposite_score(folder: Path) -> None:  # noqa: ARG001
    shown = run("--explain", "--label", "negative", "great film").stdout
    assert shown.startswith("positive ")
    assert re.search(r"^score +-2\.1250$", shown, re.MULTILINE)


def test_top_bounds_the_contributions_that_are_shown(folder: Path) -> None:  # noqa: ARG001
    shown = run("--explain", "--top", "1", "great film, good end").stdout
    assert re.search(r"^great +\+2\.0000$", shown, re.MULTILINE)
    assert re.search(r"^2 others +\+1\.1250$", shown, re.MULTILINE)


def test_an_explanation_of_an_unknown_label_is_refused(folder: Path) -> None:  # noqa: ARG001
    refused = run("--explain", "--label", "neutral", "good")
    assert str(refused.exception) == "label is 'neutral', which is none of the 2 labels of the model"


def test_warnings_of_explained_texts_are_printed_with_their_place(folder: Path) -> None:  # noqa: ARG001
    shown = run("--explain", given="good\nnothing that it knows\n")
    assert shown.stderr.startswith("standard input line 2: unknown words: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--label", "positive"], "--label and --top say what --explain shows"),
        (["--top", "3"], "--label and --top say what --explain shows"),
        (["--explain", "--threshold", "0.5"], "--threshold and --explain are both given"),
        (["--explain", "--top", "0"], "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_an_explanation_are_wrong_usage(
    folder: Path,  # noqa: ARG001
    words: list[str],
    sentence: str,
) -> None:
    refused = run(*words, "good")
    assert refused.exit_code == 2
    assert sentence in " ".join(refused.output.replace("│", " ").split())


class TestSeveralLabels:
    """A model that can give a text several labels, or none."""

    def run(self, *words: str, given: str = "") -> Result:
        return CliRunner().invoke(app, ["predict", "--model", "moods", *words], input=given)

    def test_json_has_the_labels_as_the_api_has_them(self, moods: Path) -> None:
        found = answers(self.run("--json", *TEXTS))
        assert found == expected(moods, TEXTS)
        assert [one["labels"] for one in found] == [
            list(one.labels or ()) for one in load_classifier(moods).predict(TEXTS)
        ]

    def test_a_threshold_is_that_of_all_labels(self, moods: Path) -> None:
        (found,) = answers(self.run("--json", "--threshold", "0.2", "good"))
        assert found == expected(moods, ["good"], 0.2)[0]
        assert found["labels"] == list(MOODS)

    def test_the_table_has_all_labels_of_a_text(self, moods: Path) -> None:
        head, *rows = self.run(given="\n".join(TEXTS)).stdout.splitlines()
        assert head.split() == ["labels", "probability", "text"]
        for row, one in zip(rows, expected(moods, TEXTS), strict=True):
            assert row.startswith(f"{', '.join(one['labels']) or 'no label'}  ")
            assert f"  {one['confidence']:.4f}  " in row

    def test_a_text_without_labels_is_shown_as_such(self, moods: Path) -> None:  # noqa: ARG002
        assert self.run("--threshold", "1", "good").stdout.startswith("no label  good\n  ")

    def test_of_many_labels_the_others_have_the_highest_of_their_probabilities(self, tmp_path: Path) -> None:
        labels = tuple(f"label {number:02}" for number in range(20))
        calibration = Calibration(activation="sigmoid")
        model_store.save(write_tiny(tmp_path / "many", labels, name="many-moods", calibration=calibration))
        words = ["predict", "--model", "many-moods", "great film"]
        _, *rows = CliRunner().invoke(app, words).stdout.splitlines()
        (answer,) = answers(CliRunner().invoke(app, [*words, "--json"]))
        sixth = sorted(answer["probabilities"].values(), reverse=True)[MAX_SHOWN_LABELS]
        assert rows[-1].split()[:6] == ["15", "other", "labels,", "at", "most", f"{sixth:.4f}"]

    def test_a_label_is_explained_against_a_text_without_it(self, moods: Path) -> None:  # noqa: ARG002
        shown = self.run("--explain", "--label", "joy", "great film").stdout
        assert "score: log-odds of joy against a text without this label" in shown
