"""The monitor of the service counts each text once and reports it as `/model/drift` words it."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter
from tiny import BINARY_LABELS, tiny_artifact

from classifier.answers import drift_answer
from classifier.artifact import read_manifest
from classifier.drift.reference import Reference, build_reference
from classifier.drift.window import features_of
from classifier.pipeline import Classifier
from classifier.schema import DriftAnswer
from classifier.settings import DriftSettings
from serving.telemetry.drift import DriftMonitor
from serving.telemetry.pending_runs import PENDING_TEXTS

TEXTS = [f"{'good ' * (number % 3)}film {'bad ' * (number % 4)}" for number in range(600)]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(tiny_artifact())


@pytest.fixture(scope="module")
def reference(classifier: Classifier) -> Reference:
    found = build_reference(features_of(list(classifier.runs(TEXTS))), 2)
    assert found is not None
    return found


def monitor(reference: Reference | None) -> DriftMonitor:
    return DriftMonitor(reference, BINARY_LABELS, DriftSettings())


def answer(monitor: DriftMonitor) -> DriftAnswer:
    found = drift_answer(monitor.report())
    TypeAdapter(DriftAnswer).validate_python(found, strict=True)
    return found


def test_without_a_reference_nothing_is_compared(classifier: Classifier) -> None:
    without = monitor(None)
    for run in classifier.runs(TEXTS):
        without.observe(run)
    assert without.report() is None
    assert answer(without) == {"status": "no reference", "texts": 0, "reference_texts": 0, "features": []}


@pytest.mark.parametrize("texts", [0, 1, PENDING_TEXTS - 1, PENDING_TEXTS, PENDING_TEXTS + 1, 600])
def test_each_text_is_in_the_next_report_once(
    classifier: Classifier, reference: Reference, texts: int
) -> None:
    watching = monitor(reference)
    for text in TEXTS[:texts]:
        for run in classifier.runs([text]):
            watching.observe(run)
    assert answer(watching)["texts"] == texts
    assert answer(watching)["texts"] == texts


def test_the_status_is_collecting_until_there_are_enough_texts(
    classifier: Classifier, reference: Reference
) -> None:
    watching = monitor(reference)
    statuses = []
    for start in (0, 100, 200):
        for run in classifier.runs(TEXTS[start : start + 100]):
            watching.observe(run)
        statuses.append(answer(watching)["status"])
    assert statuses == ["collecting", "quiet", "quiet"]


def test_other_texts_make_it_drift_and_the_first_ones_again_make_it_quiet(
    classifier: Classifier, reference: Reference
) -> None:
    watching = monitor(reference)
    for run in classifier.runs(["something else altogether " * 5] * 300):
        watching.observe(run)
    drifted = answer(watching)
    assert drifted["status"] == "drifted"
    assert {one["feature"] for one in drifted["features"] if one["alarm"]} >= {"characters", "unknown_share"}
    for run in classifier.runs(TEXTS * 2):
        watching.observe(run)
    assert answer(watching)["status"] == "quiet"


def test_the_bundled_model_has_a_reference_of_its_held_out_texts(bundled: Path) -> None:
    manifest = read_manifest(bundled)
    assert manifest.reference is not None
    assert manifest.reference.texts == 4972
    assert manifest.reference.label.classes == (0, 1)
