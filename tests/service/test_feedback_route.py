"""`POST /feedback` and `GET /model/drift` over HTTP."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from classifier import schema
from classifier.batching.admission import Stage
from classifier.drift.report import MIN_TEXTS
from classifier.settings import FeedbackSettings
from serving.feedback import FeedbackStore
from serving.running import RunningService
from serving.telemetry import catalogue
from serving.telemetry.drift import DriftMonitor
from serving.telemetry.gauges import gauges

TEXT = "A moving, beautifully acted film."


@pytest.fixture
def store(client: TestClient, running: RunningService, tmp_path: Path) -> Iterator[FeedbackStore]:
    """A store of the service that the client asks."""
    recorder = running.connections.recorder
    metrics = recorder.metrics
    settings = FeedbackSettings(path=str(tmp_path / "feedback.db"))
    store = FeedbackStore(settings, running.classifier.digest, metrics.feedback, metrics.feedback_dropped)
    connections = replace(running.connections, recorder=replace(recorder, feedback=store))
    client.app_state.update(replace(running, connections=connections).state())
    yield store
    client.app_state.update(running.state())
    store.close()


def test_a_label_for_an_answer_is_compared_and_counted(client: TestClient, store: FeedbackStore) -> None:
    del store
    request_id = client.post("/predict", json={"text": TEXT}).headers["x-request-id"]

    def counted() -> dict[str, float]:
        found = re.findall(
            r'^classifier_feedback_total{outcome="(.*)"} (.*)$', client.get("/metrics").text, re.MULTILINE
        )
        return {outcome: float(count) for outcome, count in found}

    before = counted()
    for label, expected in (("negative", False), ("positive", True)):
        answer = client.post("/feedback", json={"request_id": request_id, "label": label})
        assert answer.json() == {"was_right": expected, "predicted": "positive"}
    assert counted() == {
        "right": before["right"],
        "wrong": before["wrong"] + 1,
    }  # Only the first label counts.


def test_each_text_of_a_batch_can_get_a_label(client: TestClient, store: FeedbackStore) -> None:
    del store
    texts = {"texts": [TEXT, "Dull and far too long."]}
    request_id = client.post("/predict/batch", json=texts).headers["x-request-id"]
    predicted = [
        client.post("/feedback", json={"request_id": request_id, "label": "positive", "index": index}).json()
        for index in (0, 1)
    ]
    assert predicted == [
        {"was_right": True, "predicted": "positive"},
        {"was_right": False, "predicted": "negative"},
    ]


def test_a_label_is_taken_while_the_queue_is_full(
    client: TestClient, store: FeedbackStore, running: RunningService
) -> None:
    store.record("another", running.classifier.predict([TEXT]))
    running.admission.load.texts = running.settings.batching.max_waiting_texts
    try:
        assert client.post("/predict", json={"text": TEXT}).status_code == 503
        answer = client.post("/feedback", json={"request_id": "another", "label": "positive"})
    finally:
        running.admission.load.texts = 0
    assert answer.status_code == 200


def test_a_label_is_compared_with_what_was_predicted(
    client: TestClient, store: FeedbackStore, running: RunningService
) -> None:
    store.record("my-request", running.classifier.predict([TEXT]))
    answer = client.post("/feedback", json={"request_id": "my-request", "label": "negative"})
    assert (answer.status_code, answer.json()) == (200, {"was_right": False, "predicted": "positive"})


def test_the_example_of_the_api_page_is_answered_as_described(
    client: TestClient, store: FeedbackStore, running: RunningService
) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/feedback"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    store.record(example["request_id"], running.classifier.predict([TEXT]))
    answer = client.post("/feedback", json=example)
    TypeAdapter(schema.FeedbackAnswer).validate_json(answer.content, strict=True)


@pytest.mark.usefixtures("store")
def test_an_unknown_request_gets_404_with_the_reason(client: TestClient) -> None:
    answer = client.post("/feedback", json={"request_id": "another", "label": "negative"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "each replica remembers only its own requests" in answer.json()["detail"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"request_id": "a", "label": "neutral"}, ["body", "label"]),
        ({"request_id": "a b", "label": "negative"}, ["body", "request_id"]),
        ({"request_id": "a", "label": "negative", "index": 100}, ["body", "index"]),
        ({"request_id": "a", "label": "negative", "text": "a"}, ["body", "text"]),
    ],
)
def test_a_field_that_breaks_the_contract_gets_422(
    client: TestClient, body: dict[str, object], place: list[str]
) -> None:
    answer = client.post("/feedback", json=body)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [place]


def test_without_a_database_the_answer_is_404_and_names_the_setting(client: TestClient) -> None:
    answer = client.post("/feedback", json={"request_id": "a", "label": "negative"})
    assert answer.status_code == 404
    assert "feedback.path" in answer.json()["detail"]


def test_drift_is_answered_as_the_contract_says(client: TestClient, running: RunningService) -> None:
    for run in running.classifier.runs([TEXT] * 300):
        running.connections.recorder.drift.observe(run)
    found = client.get("/model/drift").json()
    TypeAdapter(schema.DriftAnswer).validate_python(found, strict=True)
    assert found["status"] == "drifted"
    assert found["texts"] >= 300
    assert found["reference_texts"] == 4972


@pytest.mark.parametrize(("texts", "is_judged"), [(MIN_TEXTS - 1, False), (MIN_TEXTS, True)])
def test_too_few_texts_move_no_gauge_of_drift(running: RunningService, texts: int, is_judged: bool) -> None:
    manifest = running.classifier.manifest
    drift = DriftMonitor(manifest.reference, manifest.labels, running.settings.drift)
    for run in running.classifier.runs([TEXT] * texts):
        drift.observe(run)
    recorder = replace(running.connections.recorder, drift=drift)
    watched = replace(running, connections=replace(running.connections, recorder=recorder))
    read = {(metric, labels): value for metric, labels, value in gauges(watched)}
    for metric in (catalogue.DRIFT_PSI, catalogue.DRIFT_ALARM):
        assert (read[metric, ("characters",)] > 0) is is_judged
    assert read[catalogue.DRIFT_WINDOW, ()] == texts
    report = drift.report()
    assert report is not None
    assert report.features[0].psi > 0


def test_a_leaving_service_reports_no_drift(client: TestClient, running: RunningService) -> None:
    running.admission.stage = Stage.LEAVING
    assert client.get("/model/drift").status_code == 503


def test_a_store_that_is_closed_answers_503(client: TestClient, store: FeedbackStore) -> None:
    asyncio.run(asyncio.to_thread(store.close))
    answer = client.post("/feedback", json={"request_id": "a", "label": "negative"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
