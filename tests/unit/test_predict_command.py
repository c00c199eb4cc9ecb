"""`text-classifier predict` answers as the API does, reads any number of lines, and names invalid lines."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny
from typer.testing import CliRunner, Result

import model_store
from classifier.answers import prediction_answer
from classifier.pipeline import load_classifier
from cli.app import app
from cli.predict import MAX_LINE_BYTES, InputError, read_lines

TEXTS = ["good", "bad", "good good bad", "nothing that it knows"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny(tmp_path_factory.mktemp("tiny"), name="predicted")
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
    assert head.split() == ["label", "confidence", "text"]
    assert [row.split() for row in rows] == [[answer["label"], f"{answer['confidence']:.4f}", "good"]] * 150


def test_a_text_in_the_table_is_one_short_line_without_control_characters(folder: Path) -> None:  # noqa: ARG001
    _, row = run("good\n\x1b[31m" + "bad " * 100).stdout.splitlines()
    assert "\x1b" not in row
    assert row.endswith("…")
    assert len(row) < 100


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
