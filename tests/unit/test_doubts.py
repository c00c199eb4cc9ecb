"""Warnings about the data of a training."""

from dataclasses import replace

import numpy as np
import pytest

from training_import.dataset import Dataset
from training_import.evaluation.metrics import Evaluation, evaluate_probabilities
from training_import.rows import Place
from training_import.training.doubts import doubts
from training_import.training.material import DataSets

DATA = Dataset("rows.csv", "", [f"text {row}" for row in range(40)], ["x", "y"] * 20)


def figures(rows: int = 200, right: float = 0.9, share_of_y: float = 0.5) -> Evaluation:
    """Return the figures of a model that is right on a share of each class."""
    truth = (np.arange(rows) >= rows * (1 - share_of_y)).astype(np.intp)
    is_right = np.zeros(rows, bool)
    for class_ in (0, 1):
        members = np.flatnonzero(truth == class_)
        is_right[members[: round(right * len(members))]] = True
    predicted = np.where(is_right, truth, 1 - truth)
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)
    return evaluate_probabilities(("x", "y"), truth, predicted, probabilities)


def found(
    data: Dataset = DATA, held_out: Evaluation | None = None, test: Dataset | None = None, left_out: int = 0
) -> tuple[str, ...]:
    return doubts(DataSets(data, test=test), held_out or figures(), None, left_out, few_rows=20)


def test_nothing_is_said_of_good_data() -> None:
    assert found() == ()


def test_the_interval_of_the_accuracy_is_that_of_wilson() -> None:
    assert figures(100, 0.8).accuracy_interval == pytest.approx((0.7112, 0.8666), abs=1e-4)


@pytest.mark.parametrize(("right", "warns"), [(0.8, True), (0.95, False)])
def test_an_accuracy_that_is_not_above_the_baseline_is_a_warning(right: float, warns: bool) -> None:
    warnings = found(held_out=figures(200, right, 0.2))
    expected = "The accuracy on the held-out texts is not above that of the same answer to all of them"
    assert [one.startswith(expected) for one in warnings] == [True] * warns


def test_the_test_texts_are_compared_with_the_baseline_too() -> None:
    (warning,) = doubts(DataSets(DATA), figures(), figures(200, 0.5), 0, few_rows=20)
    assert warning.startswith("The accuracy on the test texts is not above")


@pytest.mark.parametrize(("rows", "warns"), [(98, True), (100, False)])
def test_few_held_out_texts_are_a_warning(rows: int, warns: bool) -> None:
    assert any("texts are held out" in one for one in found(held_out=figures(rows))) is warns


def test_classes_with_few_rows_are_named_the_rarest_first() -> None:
    labels = ["a"] * 20 + ["b"] * 19 + ["c"] * 10
    data = replace(DATA, texts=[f"text {row}" for row in range(49)], labels=labels)
    assert found(data) == ("Classes with fewer than 20 rows are hardly learned: 'c' (10), 'b' (19).",)


def test_of_many_classes_with_few_rows_five_are_named() -> None:
    data = replace(DATA, labels=[f"class {row % 8}" for row in range(40)])
    assert found(data)[0].endswith("'class 4' (5) and 3 more.")


def test_repeated_texts_are_counted() -> None:
    data = replace(
        DATA, texts=["text 0", " text 0 ", "text 0", *DATA.texts[3:]], labels=["x"] * 20 + ["y"] * 20
    )
    assert found(data)[0].startswith("2 rows repeat the text of an earlier row; ")


def test_a_text_with_two_labels_is_shown_with_its_places() -> None:
    data = replace(
        DATA,
        texts=["a", *DATA.texts[1:-1], "a"],
        places=[Place("rows.csv", "line", row + 2) for row in range(40)],
    )
    assert (
        found(data)[1]
        == "1 text occurs with more than one label, such as 'a': 'x' in line 2 and 'y' in line 41."
    )


def test_test_texts_that_are_in_the_training_file_are_counted() -> None:
    test = Dataset("test.csv", "", ["text 3", "new"], ["x", "y"])
    assert found(test=test, left_out=1) == (
        "1 of the 2 texts of test.csv are also in rows.csv.",
        "1 text is left out of the training, because of an overlap with test texts.",
    )
