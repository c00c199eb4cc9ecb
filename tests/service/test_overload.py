"""The answers that a client gets when the queue is full, its deadline passes or the service drains."""

from collections.abc import Iterator
from typing import Any

import pytest
from asking import JSON, broken_rules, post, problem, stream
from starlette.testclient import TestClient

from classifier.batching.admission import Stage
from serving.routes import CLASSIFY, ROUTES
from serving.running import RunningService

POSTED = [route.path for route in ROUTES if route.is_for_model]
TIMED = [path for path in POSTED if path != CLASSIFY.path]


def body(path: str) -> dict[str, Any]:
    return {"texts": ["good", "bad"]} if path in {"/classify", "/predict/batch"} else {"text": "good"}


@pytest.fixture
def queue_full(running: RunningService) -> Iterator[None]:
    """A queue without room for a single text."""
    limit = running.settings.batching.max_waiting_texts
    assert running.admission.load.texts == 0
    running.admission.load.texts = limit
    yield
    assert running.admission.load.texts == limit
    running.admission.load.texts = 0


@pytest.mark.usefixtures("queue_full")
@pytest.mark.parametrize("path", POSTED)
def test_a_refusal_by_a_full_queue_says_when_to_retry(client: TestClient, path: str) -> None:
    response = post(client, path, body(path))
    document = problem(response, 503)
    assert int(response.headers["retry-after"]) >= 1
    assert "and 1 more would pass the limit of 10000" in document["detail"]


@pytest.mark.usefixtures("queue_full")
@pytest.mark.parametrize("path", TIMED)
def test_no_body_is_read_while_the_queue_is_full(client: TestClient, path: str) -> None:
    refused = stream(client, path, [b"x"] * 10, JSON)
    assert (refused.status, refused.chunks_read) == (503, 0)


@pytest.mark.parametrize("path", TIMED)
def test_a_passed_deadline_gives_504(client: TestClient, path: str) -> None:
    problem(post(client, path, body(path), JSON | {"x-request-timeout": "0.0000001"}), 504)


@pytest.mark.parametrize("path", TIMED)
def test_a_distant_deadline_changes_nothing(client: TestClient, path: str) -> None:
    answered = post(client, path, body(path), JSON | {"x-request-timeout": "1e9"})
    assert answered.status_code == 200
    assert answered.json() == post(client, path, body(path)).json()


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "", "1s"])
def test_a_timeout_that_is_not_a_number_of_seconds_is_refused(client: TestClient, value: str) -> None:
    response = post(client, "/predict", body("/predict"), JSON | {"x-request-timeout": value})
    ((loc, message, kind),) = broken_rules(response)
    assert (loc, kind) == (["header", "x-request-timeout"], "timeout")
    assert message == f"x-request-timeout is {value}; it must be a number of seconds above 0"


@pytest.mark.parametrize("path", POSTED)
def test_a_draining_service_refuses_requests(client: TestClient, running: RunningService, path: str) -> None:
    running.admission.stage = Stage.CLOSED
    response = post(client, path, body(path))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["title"] == "Shutting down"
