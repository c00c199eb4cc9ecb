"""The reference of an artifact: its bins, what it refuses, and that artifacts keep it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import tiny_artifact, with_golden, write_tiny

from classifier.artifact import MANIFEST, Calibration, holds, read_artifact, read_manifest
from classifier.drift.features import FEATURES, TextFeatures, unknown_shares
from classifier.drift.reference import (
    BINS,
    MAX_LABELS,
    MIN_REFERENCE_TEXTS,
    LabelReference,
    NumericReference,
    Reference,
    build_reference,
)
from classifier.errors import ArtifactError
from classifier.text import TextSettings
from training_import.training.reference import held_out_reference, held_out_unknown_share
from training_import.training.task import Fitted, TrainingTask

VALUES = st.lists(st.floats(0, 10_000, allow_subnormal=False), min_size=1, max_size=200)


def features(texts: int = 1000, classes: int = 2) -> TextFeatures:
    random = np.random.default_rng(0)
    return TextFeatures(
        characters=random.integers(1, 5000, texts).astype(float),
        unknown_share=random.random(texts),
        confidence=random.random(texts),
        label=random.integers(0, classes, texts),
    )


def reference(**changes: object) -> dict[str, object]:
    """A reference as JSON, with other values for some of its features."""
    return json.loads(build_reference(features(), 2).model_dump_json()) | changes


@given(VALUES)
def test_each_value_is_counted_in_a_bin(values):
    made = NumericReference.of(np.array(values))
    places = made.places(np.array(values))
    assert np.bincount(places, minlength=len(made.counts)).tolist() == list(made.counts)
    assert len(made.counts) <= max(BINS, 3)


def test_values_without_repetitions_are_spread_evenly_over_ten_bins():
    assert NumericReference.of(np.arange(1000.0)).counts == (100,) * 10


def test_a_value_that_many_texts_have_gets_a_bin_of_its_own():
    made = NumericReference.of(np.array([0.0] * 900 + [0.5] * 100))
    assert made.edges == (0,)
    assert made.counts == (900, 100)


@pytest.mark.parametrize("value", [0.0, 1.0, 512.0])
def test_if_all_values_are_the_same_smaller_and_larger_ones_are_told_apart(value):
    made = NumericReference.of(np.full(100, value))
    assert made.counts == (0, 100, 0)
    assert made.places(np.array([value - 0.1, value, value + 0.1])).tolist() == [0, 1, 2]


def test_a_value_beyond_all_edges_is_in_an_outer_bin():
    made = NumericReference.of(np.arange(1000.0))
    assert made.places(np.array([-1e9, 1e9])).tolist() == [0, 9]


def test_the_most_frequent_labels_have_bins_and_the_others_share_one():
    predicted = np.repeat(np.arange(150), np.arange(150) + 1)
    made = LabelReference.of(predicted, 150)
    assert made.classes == tuple(range(150 - MAX_LABELS, 150))
    assert made.counts[-1] == (predicted < 50).sum()
    assert made.places(np.array([0, 49, 50, 149])).tolist() == [MAX_LABELS, MAX_LABELS, 0, MAX_LABELS - 1]
    assert np.bincount(made.places(predicted)).tolist() == list(made.counts)


def test_a_class_that_was_never_predicted_has_a_bin_too():
    assert LabelReference.of(np.array([0, 0, 2]), 4).counts == (2, 0, 1, 0, 0)


def test_bins_are_named_by_their_values_and_labels():
    assert NumericReference(edges=(1, 2.5), counts=(1, 2, 3)).names(()) == (
        "up to 1",
        "1 to 2.5",
        "above 2.5",
    )
    assert LabelReference(classes=(0, 2), counts=(1, 2, 3)).names(("a", "b", "c")) == ("a", "c", "other")


def test_a_text_without_tokens_has_no_unknown_ones():
    assert unknown_shares(np.array([0, 3]), np.array([0, 1])).tolist() == [0, 0.25]


def test_too_few_texts_give_no_reference():
    assert build_reference(features(MIN_REFERENCE_TEXTS - 1), 2) is None
    assert build_reference(features(MIN_REFERENCE_TEXTS), 2).texts == MIN_REFERENCE_TEXTS


def test_the_reference_has_every_feature_in_order():
    assert tuple(build_reference(features(), 2).features) == FEATURES == tuple(Reference.model_fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [2, 1], "counts": [1, 2, 3]}, "do not ascend"),
        ({"edges": [1, 1], "counts": [1, 2, 3]}, "do not ascend"),
        ({"edges": [1], "counts": [1, 2, 3]}, "1 edges separate 2 bins"),
        ({"edges": [1, float("nan")], "counts": [1, 2, 3]}, "finite"),
        ({"edges": [1, float("inf")], "counts": [1, 2, 3]}, "finite"),
        ({"edges": [], "counts": [1000]}, "at least 1 item"),
        ({"edges": list(range(101)), "counts": [1] * 102}, "at most 100 items"),
        ({"edges": [1], "counts": [-1, 1001]}, "greater than or equal to 0"),
        ({"edges": [1], "counts": [10**13, 1]}, "less than or equal to"),
        ({"edges": [1], "counts": [1.5, 2]}, "integer"),
        ({"edges": [1], "counts": [1, 998]}, "the same texts"),
        ({"edges": [1], "counts": [1, 2], "more": 1}, "Extra inputs"),
    ],
)
def test_a_numeric_reference_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Reference.model_validate(reference(confidence=changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [1, 0], "counts": [1, 2, 3]}, "do not ascend"),
        ({"classes": [-1, 0], "counts": [1, 2, 3]}, "greater than or equal to 0"),
        ({"classes": [0, 1], "counts": [1, 2]}, "2 classes have a bin each"),
        ({"classes": list(range(101)), "counts": [1] * 102}, "at most 100 items"),
    ],
)
def test_a_reference_of_labels_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Reference.model_validate(reference(label=changes))


def test_a_reference_without_texts_is_refused():
    empty = {"edges": [1], "counts": [0, 0]}
    numeric = dict.fromkeys(("characters", "unknown_share", "confidence"), empty)
    with pytest.raises(ValidationError, match="no texts"):
        Reference.model_validate(numeric | {"label": {"classes": [0], "counts": [0, 0]}})


def test_an_artifact_keeps_its_reference(tmp_path):
    made = build_reference(features(), 2)
    write_tiny(tmp_path, reference=made)
    assert read_artifact(tmp_path).manifest.reference == made


def test_an_artifact_from_before_there_were_references_loads_and_keeps_its_digest(tmp_path):
    write_tiny(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    del manifest["reference"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    artifact = read_artifact(tmp_path)
    assert artifact.manifest.reference is None
    assert holds(tmp_path, artifact.digest)


def test_a_reference_with_a_class_that_the_model_lacks_is_refused():
    with pytest.raises(ValidationError, match=r"classes has 3; there are 2 labels"):
        with_golden(tiny_artifact(reference=build_reference(features(classes=4), 4)))


def test_the_refusal_names_the_file_and_the_feature(tmp_path):
    write_tiny(tmp_path, reference=build_reference(features(), 2))
    manifest = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    manifest["reference"]["confidence"]["counts"][0] = -5
    (tmp_path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"artifact\.json .* reference\.confidence\.counts\.0"):
        read_manifest(tmp_path)


def test_the_unknown_shares_are_of_the_held_out_texts_alone():
    texts, none = ["good film", "bad plot", "no plot"], np.zeros(3, bool)
    held_out = np.array([0, 1])
    task = TrainingTask(
        texts, held_out, 2, np.array([2]), held_out, none, none, TextSettings(max_tokens=8), seed=0
    )
    assert held_out_unknown_share(task, ("good", "bad", "film")).tolist() == [0, 0.5]


def test_the_held_out_reference_is_of_the_model_that_did_not_see_the_texts_and_only_of_these_texts():
    texts = ["good film", "bad plot"] * 50
    artifact = tiny_artifact()
    fitted = Fitted(
        model=artifact.manifest.model,
        vocabulary=("good", "bad", "film", "plot"),
        weights={},
        held_out_scores=np.array([[0.0, 9.0]] + [[0.0, 2.0], [0.0, -1.0]] * 50),
        held_out_unknown_share=np.array([1.0] + [0.0, 0.5] * 50),
        choices={},
        versions={},
    )
    found = held_out_reference(texts, fitted, np.repeat([False, True], [1, 100]), Calibration())
    assert found.unknown_share.edges == (0,)
    assert found.unknown_share.counts == (50, 50)
    assert found.label.counts == (50, 50, 0)
    assert found.confidence.edges == (pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6),)
