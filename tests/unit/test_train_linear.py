"""Training a linear model: the held-out scores are those of the stored weights."""

import numpy as np
import pytest

from classifier.runtimes.linear import unpack_arrays
from classifier.text import TextSettings
from training_import.training import linear
from training_import.training.task import TrainingTask

BETWEEN_TWO = 1 + 2**-12
"""A weight that half precision rounds to 1."""


@pytest.fixture
def task() -> TrainingTask:
    texts = ["good film", "bad film", "good plot", "bad plot"] * 5
    truth = np.array([1, 0, 1, 0] * 5)
    learn, held_out = np.arange(0, 16), np.arange(16, 20)
    return TrainingTask(
        texts, truth, 2, learn, held_out, *np.zeros((2, 20), bool), TextSettings(max_tokens=100), 0
    )


def test_held_out_scores_are_computed_with_the_stored_weights(
    task: TrainingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = linear._fit

    def fit_between_two(*arguments: object) -> linear._Linear:
        fitted = fit(*arguments)
        half = np.full_like(fitted.weights, BETWEEN_TWO / 2)  # The model is the sum of two of these.
        return linear._Linear(half, np.zeros_like(fitted.intercept))

    monkeypatch.setattr(linear, "_fit", fit_between_two)
    fitted = linear.train(task, lambda _: None)
    assert fitted.held_out_scores[:, 1] * BETWEEN_TWO == pytest.approx(
        fitted.rounding.exact_scores[:, 1], rel=1e-9
    )
    assert (fitted.held_out_scores[:, 1] < fitted.rounding.exact_scores[:, 1]).all()
    assert set(unpack_arrays(fitted.weights)["weights"].ravel().tolist()) == {1.0}


def test_scores_of_the_stored_weights_differ_from_the_exact_scores(task: TrainingTask) -> None:
    fitted = linear.train(task, lambda _: None)
    assert 0 < np.abs(fitted.held_out_scores - fitted.rounding.exact_scores).max() < 0.01
