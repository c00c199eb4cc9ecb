"""A file as people have it is trained on, and the report says what was found and what was skipped."""

import re
from collections import Counter

import pytest
from messy import BAD, CONTRADICTIONS, COPIES, ROWS, Messy, write_messy
from typer.testing import CliRunner

from cli.app import app


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Messy, str]:
    """What is in the file, and what the command prints."""
    path = tmp_path_factory.mktemp("messy") / "messy.csv"
    written = write_messy(path)
    options = ["--data", str(path), "--text-column", "Kommentar", "--label-column", "Bewertung"]
    result = CliRunner().invoke(app, ["train", *options, "--name", "messy"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.exception
    return written, result.stdout


def test_the_report_says_how_many_rows_there_are_and_how_many_were_used(messy: tuple[Messy, str]) -> None:
    used = ROWS - sum(BAD.values())
    assert f"messy.csv: {used:,} texts of {ROWS:,} rows\n" in messy[1]


def test_it_says_the_encoding_the_delimiter_and_the_spelling_of_labels(messy: tuple[Messy, str]) -> None:
    assert "CSV, encoding cp1252, columns separated by semicolons\n" in messy[1]
    assert "are spelled alike: " in messy[1]
    assert "'0.0' is '0'" in messy[1]


def test_it_counts_the_skipped_rows_and_shows_the_lines_of_the_first(messy: tuple[Messy, str]) -> None:
    written, shown = messy
    reasons = ", ".join(f"{count} {reason}" for reason, count in BAD.items())
    assert f"{sum(BAD.values())} rows are skipped: {reasons}" in " ".join(shown.split())
    found = [int(line) for line in re.findall(r"^  line (\d+): ", shown, re.MULTILINE)]
    assert found == [line for _, line in written.places[:5]]
    assert Counter(kind for kind, _ in written.places) == BAD


def test_it_has_the_rows_of_each_class(messy: tuple[Messy, str]) -> None:
    written, shown = messy
    assert dict(re.findall(r"^([01]) +([\d,]+) ", shown, re.MULTILINE)) == {
        label: f"{count:,}" for label, count in written.labels.items()
    }


def test_it_warns_of_repeated_texts_and_of_texts_with_two_labels(messy: tuple[Messy, str]) -> None:
    shown = " ".join(messy[1].split())
    assert f"warning: {COPIES + CONTRADICTIONS} rows repeat the text of an earlier row" in shown
    assert f"warning: {CONTRADICTIONS} texts occur with more than one label" in shown


def test_no_line_of_it_but_those_to_copy_is_wider_than_80_columns(messy: tuple[Messy, str]) -> None:
    wide = [line for line in messy[1].splitlines() if len(line) > 80]
    assert all(line.startswith(("model card: ", "serve it: ")) for line in wide)
