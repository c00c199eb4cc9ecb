"""What the service tells about itself: /metrics, the id of each answer, and Server-Timing."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from asking import JSON, post
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from classifier.errors import Refusal
from classifier.runtimes.linear import LinearRuntime
from serving.routes import CLASSIFY, PREDICT, PREDICT_BATCH, ROUTES
from serving.running import CONNECTIONS, RunningService
from serving.telemetry import catalogue

POSTED = [route.path for route in ROUTES if route.is_for_model]
GOT = [route.path for route in ROUTES if route.method == "GET"]
MADE = "[0-9a-f]{32}"

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def body(path: str) -> dict[str, Any]:
    return {"texts": ["good", "bad"]} if path in {"/classify", "/predict/batch"} else {"text": "good"}


def scrape(client: TestClient) -> Series:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def value(client: TestClient, metric: catalogue.Metric, suffix: str = "", **labels: str) -> float:
    return scrape(client)[metric.name + suffix, tuple(sorted(labels.items()))]


def grown(before: Series, after: Series) -> dict[str, float]:
    """The counts that have grown, by name and the values of their labels, without durations and buckets."""
    return {
        " ".join([name, *(value for _, value in labels)]): after[name, labels] - count
        for (name, labels), count in before.items()
        if name.endswith(("_total", "_count")) and after[name, labels] > count and "seconds" not in name
        if name.startswith("classifier_")
    }


# /metrics


def test_the_service_has_the_metrics_of_the_catalogue_and_no_others(client: TestClient) -> None:
    text = client.get("/metrics").text
    kinds = dict(re.findall(r"^# TYPE (classifier_\S+) (\w+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (classifier_\S+) (.*)$", text, re.MULTILINE))
    assert kinds == {metric.name: metric.kind for metric in catalogue.METRICS}
    assert helps == {metric.name: metric.help for metric in catalogue.METRICS}


def test_the_labels_of_each_metric_are_those_of_the_catalogue(client: TestClient) -> None:
    labels = {metric.name: set(metric.labels) for metric in catalogue.METRICS}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            name = sample.name if sample.name in labels else sample.name.rpartition("_")[0]
            if name in labels:
                assert set(sample.labels) - {"le"} == labels[name], sample


def test_ten_thousand_paths_and_methods_add_no_series(client: TestClient) -> None:
    before = scrape(client).keys()
    for number in range(2500):
        client.get(f"/made-up/{number}?query={number}")
        client.request(f"METHOD{number}", "/predict")
        client.post(f"/predict/{number}", json={"text": "good"})
        client.get("/", headers={"x-request-id": f"id-{number}", "host": f"{number}.example"})
    assert scrape(client).keys() == before
    assert len(before) < 800


@pytest.mark.parametrize("texts", [["good"], ["good"] * 100])
def test_each_text_of_a_batch_counts(client: TestClient, texts: list[str]) -> None:
    before = scrape(client)
    post(client, PREDICT_BATCH.path, {"texts": texts})
    seen = grown(before, scrape(client))
    assert seen["classifier_requests_total /predict/batch 2xx"] == 1
    assert seen["classifier_predictions_total positive"] == len(texts)
    assert seen["classifier_tokens_total yes"] == len(texts)
    assert seen["classifier_prediction_confidence_count"] == len(texts)
    assert seen["classifier_text_characters_count"] == len(texts)


def test_words_that_the_model_does_not_know_and_texts_that_it_cuts_are_counted(client: TestClient) -> None:
    before = scrape(client)
    post(client, PREDICT.path, {"text": "good qqzzqqz " + "a " * 4000})
    seen = grown(before, scrape(client))
    assert seen["classifier_tokens_total no"] >= 1
    assert seen["classifier_cut_texts_total"] == 1


def test_an_answer_that_is_uncertain_is_counted(client: TestClient) -> None:
    before = value(client, catalogue.UNCERTAIN)
    for threshold in (0.0, 1.0):
        post(client, PREDICT.path, {"text": "good", "threshold": threshold})
    assert value(client, catalogue.UNCERTAIN) == before + 1


def test_the_model_is_described_by_labels(client: TestClient, running: RunningService) -> None:
    classifier = running.classifier
    described = {
        "name": classifier.manifest.name,
        "version": classifier.version,
        "digest": classifier.digest,
        "kind": classifier.manifest.model.kind,
    }
    assert value(client, catalogue.MODEL_INFO, **described) == 1
    assert value(client, catalogue.MODEL_STORED) == running.model_stored_at


# Refusals


@pytest.fixture
def queue_full(running: RunningService) -> Iterator[None]:
    """A queue without room for a single text."""
    running.admission.load.texts = running.settings.batching.max_waiting_texts
    yield
    running.admission.load.texts = 0


@pytest.mark.usefixtures("queue_full")
@pytest.mark.parametrize("path", POSTED)
def test_a_refusal_is_counted_by_its_reason_and_has_no_duration(client: TestClient, path: str) -> None:
    before, durations = scrape(client), value(client, catalogue.REQUEST_DURATION, "_count", route=path)
    assert post(client, path, body(path)).status_code == 503
    seen = grown(before, scrape(client))
    assert seen[f"classifier_refusals_total {Refusal.QUEUE_TEXTS}"] == 1
    assert seen[f"classifier_requests_total {path} 5xx"] == 1
    assert value(client, catalogue.REQUEST_DURATION, "_count", route=path) == durations
    assert value(client, catalogue.SATURATION, resource="queue_texts") == 1


@pytest.mark.parametrize("path", [path for path in POSTED if path != CLASSIFY.path])
def test_a_timeout_that_the_client_chose_is_counted_as_its_own(client: TestClient, path: str) -> None:
    before = scrape(client)
    assert post(client, path, body(path), JSON | {"x-request-timeout": "1e-7"}).status_code == 504
    refused = {name: count for name, count in grown(before, scrape(client)).items() if "refusals" in name}
    assert refused == {f"classifier_refusals_total {Refusal.CLIENT_TIMEOUT}": 1}


@pytest.mark.parametrize("path", POSTED)
def test_a_passed_deadline_of_the_service_is_counted_as_such(
    client: TestClient, running: RunningService, path: str
) -> None:
    before = scrape(client)
    impatient = running.settings.batching.model_copy(update={"deadline_seconds": 1e-7})
    usual, running.batcher._settings = running.batcher._settings, impatient
    try:
        assert post(client, path, body(path)).status_code == 504
    finally:
        running.batcher._settings = usual
    assert grown(before, scrape(client))[f"classifier_refusals_total {Refusal.DEADLINE}"] == 1


def test_a_broken_request_is_not_a_refusal(client: TestClient) -> None:
    before = scrape(client)
    for path in POSTED:
        assert post(client, path, b"{").status_code == 400
    assert not [name for name in grown(before, scrape(client)) if "refusals" in name]


# The id of an answer


@pytest.mark.parametrize("path", [*POSTED, *GOT, "/nowhere"])
def test_every_answer_repeats_the_id_of_its_request(client: TestClient, path: str) -> None:
    headers = {"x-request-id": "mine-1"}
    answer = (
        post(client, path, body(path), JSON | headers)
        if path in POSTED
        else client.get(path, headers=headers)
    )
    assert answer.headers.get_list("x-request-id") == ["mine-1"]


@pytest.mark.parametrize("path", [*POSTED, *GOT, "/nowhere"])
def test_every_answer_has_an_id_of_its_own_if_the_client_sent_none(client: TestClient, path: str) -> None:
    ids = set()
    for _ in range(2):
        answer = post(client, path, body(path)) if path in POSTED else client.get(path)
        (one,) = answer.headers.get_list("x-request-id")
        assert re.fullmatch(MADE, one)
        ids.add(one)
    assert len(ids) == 2


def test_an_error_has_the_id_that_its_answer_has(client: TestClient) -> None:
    answer = post(client, PREDICT.path, {"text": " "}, JSON | {"x-request-id": "mine-2"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (422, "mine-2")


# Server-Timing


@pytest.fixture
def timed(client: TestClient, running: RunningService) -> Iterator[None]:
    """The service with the setting `api.server_timing`."""
    api = running.settings.api.model_copy(update={"server_timing": True})
    changed = replace(running, settings=running.settings.model_copy(update={"api": api}))
    client.app_state.update(changed.state())
    yield
    client.app_state.update(running.state())
    assert client.app_state[CONNECTIONS] is running.connections


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize("path", POSTED)
def test_server_timing_says_where_the_time_went(client: TestClient, path: str) -> None:
    header = post(client, path, body(path)).headers["server-timing"]
    found = re.fullmatch(
        r"queue;dur=([\d.]+), tokens;dur=([\d.]+), model;dur=([\d.]+), total;dur=([\d.]+)", header
    )
    assert found is not None, header
    queue, tokens, model, total = map(float, found.groups())
    assert 0 < queue + tokens + model <= total


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize("path", ["/", "/nowhere", "/predict"])
def test_an_answer_without_a_prediction_has_only_its_total(client: TestClient, path: str) -> None:
    answer = post(client, path, {"text": " "}) if path == "/predict" else client.get(path)
    assert re.fullmatch(r"total;dur=[\d.]+", answer.headers["server-timing"])


def test_there_is_no_server_timing_unless_the_setting_says_so(client: TestClient) -> None:
    with capture_logs():
        assert "server-timing" not in post(client, PREDICT.path, {"text": "good"}).headers


# The log


@pytest.fixture
def verbose(running: RunningService) -> Iterator[None]:
    """The service while SIGUSR1 has switched on a line for every request."""
    running.connections.recorder.access_log.is_verbose = True
    yield
    running.connections.recorder.access_log.is_verbose = False


@pytest.mark.usefixtures("verbose")
@pytest.mark.parametrize("path", POSTED)
def test_the_line_of_a_request_says_what_became_of_its_texts(client: TestClient, path: str) -> None:
    with capture_logs() as log:
        post(client, path, body(path))
    (line,) = [line for line in log if line["event"] == "request"]
    texts = body(path).get("texts", ["good"])
    assert (line["route"], line["status"], line["texts"]) == (path, 200, len(texts))
    assert line["batch_texts"] >= 1
    times = [line[f"{name}seconds"] for name in ("queue_", "tokenization_", "inference_", "")]
    assert all(0 <= time < 60 for time in times)
    assert ("label" in line) == (len(texts) == 1)


@pytest.mark.usefixtures("verbose")
def test_requests_that_bentoml_batches_together_have_lines_and_errors_of_their_own(
    client: TestClient,
) -> None:
    with capture_logs() as log, ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda texts: post(client, "/classify", {"texts": ["good"] * texts}), [1, 2, 3, 4]))
    assert sorted(line["texts"] for line in log if line["event"] == "request") == [1, 2, 3, 4]


def test_no_text_is_in_the_line_of_an_internal_error(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LinearRuntime, texts: list[str]) -> None:  # noqa: ARG001
        raise ZeroDivisionError("no number")

    monkeypatch.setattr(LinearRuntime, "encode", fail)
    with capture_logs() as log:
        answer = post(client, PREDICT.path, {"text": "confidential"})
    assert answer.status_code == 500
    assert {line["event"] for line in log} == {"internal_error", "request"}
    assert {line["request_id"] for line in log} == {answer.headers["x-request-id"]}
    assert not [line for line in log if "confidential" in repr(line)]
