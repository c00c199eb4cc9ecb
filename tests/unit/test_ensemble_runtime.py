"""Models of several parts: their scores are sums, and damaged ones are refused by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tiny import FOUR_LABELS

from classifier.errors import ArtifactError
from classifier.runtimes.calibrators import Calibrators, EnsembleCalibration
from classifier.runtimes.ensemble import EnsembleRuntime, EnsembleSettings
from classifier.runtimes.linear import pack_arrays
from classifier.text import TextSettings

WORDS = TextSettings(max_tokens=9)
CHARACTERS = TextSettings(max_tokens=99, units="characters")
HASHING = {"features": 4, "shortest": 1, "longest": 1, "alternate_sign": True}
VOCABULARY = ("good", "bad", "g", "b", "!")
COUNTS: dict[str, Any] = {"term_frequency": "count", "norm": None}
PARTS: list[dict[str, Any]] = [
    {"text": WORDS, "tokens": 2, **COUNTS},
    {"text": CHARACTERS, "tokens": 3, **COUNTS},
    {"text": WORDS, "tokens": 0, **COUNTS, "hashing": HASHING},
]
ARRAYS: Mapping[str, Any] = {
    "part_0_weights": np.array([[1.0], [-1.0]]),
    "part_0_intercept": np.array([0.5]),
    "part_1_weights": np.array([[0.25], [-0.25], [4.0]]),
    "part_1_intercept": np.array([0.0]),
    "part_2_weights": np.zeros((4, 1)),
    "part_2_intercept": np.array([0.0]),
}


def runtime(
    arrays: Mapping[str, Any] = ARRAYS,
    classes: int = 2,
    vocabulary: tuple[str, ...] = VOCABULARY,
    **settings: Any,
) -> EnsembleRuntime:
    chosen = EnsembleSettings(**{"parts": PARTS, **settings})
    return EnsembleRuntime.load(chosen, pack_arrays(arrays), vocabulary, WORDS, classes)


def score(model: EnsembleRuntime, *texts: str) -> list[list[float]]:
    return model.score(model.encode(texts)).scores.tolist()


def test_the_score_is_the_sum_over_all_parts() -> None:
    assert score(runtime(), "good", "bad!", "") == [[0, 0.5 + 1 + 0.25], [0, 0.5 - 1 - 0.25 + 4], [0, 0.5]]


def test_a_text_has_the_same_score_alone_and_among_others() -> None:
    texts = ["good!", "", "bad good", "!"]
    assert score(runtime(), *texts) == [score(runtime(), text)[0] for text in texts]


def test_tokens_of_all_parts_are_counted() -> None:
    batch = runtime().encode(["good film"])
    # Hashed tokens are all known: "good", "g" and two hashed ones; "film" and eight other characters are not.
    assert (batch.known.tolist(), batch.unknown.tolist(), batch.cut.tolist()) == ([4], [9], [False])


def test_a_text_is_cut_if_one_part_does_not_read_it_to_its_end() -> None:
    assert runtime().encode(["good", "g " * 40]).cut.tolist() == [False, True]


def test_the_strongest_n_grams_are_those_of_all_parts_with_a_vocabulary() -> None:
    settings = EnsembleSettings(parts=PARTS)  # type: ignore[arg-type]
    targets = np.array([[-1.0, 1.0]])
    found = EnsembleRuntime.strongest(settings, pack_arrays(ARRAYS), VOCABULARY, WORDS, targets, 2)
    assert found == [[("!", 4.0), ("good", 1.0)]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part_0_weights": np.zeros((3, 1))}, r"weights of shape \(3, 1\)"),
        ({"part_2_weights": np.zeros((3, 1))}, r"weights of shape \(3, 1\) does not fit 4 features"),
        ({"part_2_scale": np.zeros(3)}, r"scale of shape \(3,\) does not fit 4 features"),
        ({"part_2_weights": np.full((4, 1), np.nan)}, "weights holds nan"),
        ({"part_2_intercept": None}, "lacks intercept"),
        ({"part_1_weights": None}, "lacks weights"),
        ({"weights": np.zeros(1)}, "holds 'weights'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: Mapping[str, Any], message: str) -> None:
    arrays = {name: array for name, array in {**ARRAYS, **changes}.items() if array is not None}
    with pytest.raises(ArtifactError, match=message):
        runtime(arrays)


def test_a_vocabulary_of_another_size_is_refused() -> None:
    with pytest.raises(ArtifactError, match="has 4 entries; the parts of the model have 5 together"):
        runtime(vocabulary=VOCABULARY[:4])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"hashing": HASHING}, "tokens is 2; a part with hashing has no vocabulary"),
        ({"tokens": 0, "hashing": HASHING, "term_frequency": "log"}, "negative counts"),
        (
            {"tokens": 0, "hashing": {**HASHING, "shortest": 2}},
            "shortest is 2; it must be at",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EnsembleSettings(parts=[{**PARTS[0], **part}])  # type: ignore[list-item]


def test_the_text_of_the_manifest_is_that_of_the_first_part() -> None:
    with pytest.raises(ValueError, match=r"model\.parts\[0\]\.text is not the text of the manifest"):
        EnsembleRuntime.check(EnsembleSettings(parts=PARTS), FOUR_LABELS, CHARACTERS)  # type: ignore[arg-type]


# Calibrators


SIGMOIDS = {"calibrator_slopes": np.array([1.0, 2.0]), "calibrator_intercepts": np.array([0.0, -1.0])}
LINES = {
    "calibrator_x": np.array([-1.0, 1.0, 0.0]),
    "calibrator_y": np.array([0.0, 1.0, 0.25]),
    "calibrator_knots": np.array([2, 1]),
}


def calibrators(method: str, arrays: Mapping[str, Any], classes: int = 2, members: int = 2) -> Calibrators:
    settings = EnsembleCalibration(members=members, method=method)  # type: ignore[arg-type]
    return Calibrators.of(settings, arrays, classes)


def test_the_sigmoids_of_two_members_are_averaged() -> None:
    found = calibrators("sigmoid", SIGMOIDS).probabilities(np.array([[0.0, 0.5]]))
    assert found.tolist() == [[0.5, 0.5]]


def test_values_beyond_the_knots_are_those_of_the_outer_knots() -> None:
    found = calibrators("isotonic", LINES).probabilities(np.array([[-9.0, 5.0], [0.5, 0.0], [9.0, 9.0]]))
    assert found[:, 1].tolist() == [0.125, 0.5, 0.625]


def test_classes_that_all_get_zero_are_equally_probable() -> None:
    zeros = {"calibrator_x": np.zeros(3), "calibrator_y": np.zeros(3), "calibrator_knots": np.ones(3)}
    found = calibrators("isotonic", zeros, classes=3, members=1).probabilities(np.zeros((1, 3)))
    assert found == pytest.approx(np.full((1, 3), 1 / 3))


def test_extreme_scores_overflow_nothing() -> None:
    with np.errstate(all="raise"):
        found = calibrators("sigmoid", SIGMOIDS).probabilities(np.array([[-1e300, 1e300]]))
    assert found == pytest.approx(np.array([[0.5, 0.5]]))


def test_numbers_of_knots_whose_sum_overflows_are_refused() -> None:
    counts = np.array([2.0**62] * 4 + [3])
    with pytest.raises(ArtifactError, match="does not fit the 3 knots"):
        calibrators("isotonic", {**LINES, "calibrator_knots": counts}, members=5)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("sigmoid", {"calibrator_slopes": np.ones(3)}, r"calibrator_slopes is of shape \(3,\)"),
        ("sigmoid", {"calibrator_intercepts": None}, "calibrator_intercepts is missing"),
        ("sigmoid", {"calibrator_slopes": np.array([1, np.inf])}, "number that is not finite"),
        ("temperature", {"calibrator_slopes": np.ones(3)}, r"must be of shape \(2,\)"),
        ("isotonic", {"calibrator_knots": np.array([1, 1])}, "does not fit the 3 knots"),
        ("isotonic", {"calibrator_knots": np.array([3, 0])}, "does not fit the 3 knots"),
        ("isotonic", {"calibrator_knots": np.array([1.5, 2.0])}, "does not fit the 3 knots"),
        ("isotonic", {"calibrator_x": np.array([1.0, -1.0, 0.0])}, "must ascend"),
        ("isotonic", {"calibrator_y": np.array([0.0, 1.5, 0.0])}, "must be probabilities"),
    ],
)
def test_damaged_calibrators_are_refused(method: str, changes: Mapping[str, Any], message: str) -> None:
    arrays = {**SIGMOIDS, **LINES, **changes}
    with pytest.raises(ArtifactError, match=message):
        calibrators(method, {name: array for name, array in arrays.items() if array is not None})
