"""Models on the same texts: McNemar's test, equal classes, and data that a model was trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_artifact

from classifier.artifact import TrainingData
from classifier.errors import ClassifierError
from training_import.dataset import Dataset
from training_import.evaluation.comparison import McNemar, check_same_classes, data_trained_on, mcnemar

TRAINED = TrainingData(name="reviews.csv", sha256="a" * 64, rows=70)
SHORT = TrainingData(name="sentences.csv", sha256="b" * 64, rows=7)


def right(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each of two models is right; the counts are of both, only one, only the other, neither."""
    cells = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], counts, axis=0).astype(bool)
    return cells[:, 0], cells[:, 1]


def test_the_texts_that_one_model_alone_is_right_about_are_counted() -> None:
    found = mcnemar(*right(50, 4, 7, 3))
    assert (found.only_first, found.only_second) == (4, 7)


def test_the_p_value_of_few_texts_by_hand() -> None:
    # One of six, or fewer, and the same on the other side: 2 (1 + 6) / 2 ** 6.
    assert mcnemar(*right(50, 5, 1, 3)).p_value == pytest.approx(14 / 64)


def test_models_that_are_right_about_the_same_texts_do_not_differ() -> None:
    assert mcnemar(*right(5, 0, 0, 3)) == McNemar(0, 0, 1.0)


def test_a_large_difference_is_more_than_chance() -> None:
    assert mcnemar(*right(500, 90, 40, 30)).is_significant


def test_a_small_difference_may_be_chance() -> None:
    assert not mcnemar(*right(500, 60, 50, 30)).is_significant


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_the_order_of_the_models_does_not_change_the_p_value(counts: list[int]) -> None:
    first, second = right(*counts)
    assert mcnemar(first, second).p_value == pytest.approx(mcnemar(second, first).p_value)


def test_the_same_classes_in_another_order_can_be_compared() -> None:
    check_same_classes([("one:1", ("a", "b")), ("other:1", ("b", "a"))])


def test_other_classes_are_refused_with_the_difference() -> None:
    with pytest.raises(
        ClassifierError,
        match=r"^other:1 has other classes than one:1: without 'a' and with 'c', 'd' in addition; only ",
    ):
        check_same_classes([("one:1", ("a", "b")), ("other:1", ("b", "c", "d"))])


@pytest.mark.parametrize("data", [TRAINED, SHORT])
def test_data_that_the_model_was_trained_on_is_found(data: TrainingData) -> None:
    manifest = tiny_artifact(trained_on=TRAINED, short_trained_on=(SHORT,)).manifest
    assert data_trained_on(manifest, Dataset("copy.csv", data.sha256, ["text"], ["positive"])) == data


def test_other_data_is_not_taken_for_what_the_model_was_trained_on() -> None:
    manifest = tiny_artifact(trained_on=TRAINED).manifest
    assert data_trained_on(manifest, Dataset("reviews.csv", "c" * 64, ["text"], ["positive"])) is None
