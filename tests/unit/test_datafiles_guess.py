"""Guessing the columns of texts and of labels."""

import pytest

from datafiles import ColumnGuess, Row, guess_columns


def guess(columns: list[str], *rows: tuple[object, ...]) -> ColumnGuess:
    return guess_columns(
        columns, [Row(number, number + 1, values) for number, values in enumerate(rows, start=1)]
    )


@pytest.mark.parametrize("name", ["text", "Review", "COMMENT", "Review Text", "sentence"])
def test_a_usual_name_is_that_of_the_texts(name):
    assert guess(["id", name, "title"], ("1", "a", "a long title")).text == name


@pytest.mark.parametrize("name", ["label", "Class", "SENTIMENT", "category", "target"])
def test_a_usual_name_is_that_of_the_labels(name):
    assert guess(["a", name, "b"]).label == name


def test_the_more_usual_name_wins():
    assert guess(["sentence", "text", "class", "label"]) == ColumnGuess("text", "label")


def test_without_a_usual_name_the_texts_are_the_longest_strings():
    assert guess(["a", "b", "c"], ("x" * 30, "y", 1), ("", "y" * 50, 10**99)).text == "a"


def test_the_labels_are_not_the_texts():
    assert guess(["label", "a"], ("a very long label", "b")) == ColumnGuess("a", "label")


def test_without_strings_no_column_has_texts():
    assert guess(["a", "b"], (1, None), (2, " ")) == ColumnGuess(None, None)


def test_without_rows_nothing_is_guessed_by_length():
    assert guess(["a", "b"]) == ColumnGuess(None, None)
