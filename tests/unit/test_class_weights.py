"""Balanced classes: the weights, and what they change."""

import numpy as np
import pytest
from labelled import TWO, texts_of
from sklearn.utils.class_weight import compute_sample_weight

from classifier.settings import PreprocessingSettings
from training_import.calibration import fit_calibration
from training_import.dataset import Dataset
from training_import.training.class_weights import text_weights
from training_import.training.material import DataSets
from training_import.training.train import train

TRUTH = np.array([0, 0, 0, 1, 2, 2], np.intp)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    assert text_weights("balanced", TRUTH, 3) == pytest.approx(compute_sample_weight("balanced", TRUTH))


def test_without_a_class_weight_there_are_none() -> None:
    assert text_weights(None, TRUTH, 3) is None


def test_equal_weights_give_the_same_calibration_as_none() -> None:
    scores = np.random.default_rng(0).normal(size=(60, 2))
    truth = np.arange(60) % 2
    assert fit_calibration(scores, truth, np.full(60, 2.0)) == fit_calibration(scores, truth)


def test_a_rare_class_is_found_more_often_if_classes_are_balanced() -> None:
    data = texts_of("rows.csv", TWO, 600, 4, 3)
    rare = data.only([label == "negative" or row % 12 == 1 for row, label in enumerate(data.labels)])
    recalls = [recall_of_rare(rare, class_weight) for class_weight in (None, "balanced")]
    assert recalls[0] < recalls[1]


def recall_of_rare(data: Dataset, class_weight: str | None) -> float:
    settings = PreprocessingSettings()
    trained = train(DataSets(data), "linear", "rare", settings, 0, class_weight=class_weight)
    return trained.evaluations["held-out texts"].by_class[1].recall
