"""Faults of the service and of one client among many: who gets an error, and what the error reveals."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import broken_rules, post, problem
from httpx import Response
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from classifier.runtimes.linear import LinearRuntime
from classifier.text import Encoded
from serving.routes import ROUTES

POISON = "poison"
POSTED = [route.path for route in ROUTES if route.is_for_model]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the classifier fail on every batch that contains one certain text."""
    encode = LinearRuntime.encode

    def encode_or_fail(self: LinearRuntime, texts: Sequence[str]) -> Encoded:
        if POISON in texts:
            raise ZeroDivisionError("secret of the inner workings")
        return encode(self, texts)

    monkeypatch.setattr(LinearRuntime, "encode", encode_or_fail)


def ask_with_texts(client: TestClient, path: str, texts: list[str]) -> Response:
    has_texts = path in {"/classify", "/predict/batch"}
    return post(client, path, {"texts": texts} if has_texts else {"text": texts[0]})


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("path", POSTED)
def test_an_unexpected_error_gives_an_id_that_is_in_the_log_and_does_not_reveal_the_cause(
    client: TestClient, path: str
) -> None:
    with capture_logs() as log:
        response = ask_with_texts(client, path, [POISON])
    document = problem(response, 500)
    assert document["detail"] == f"the service failed; its log has the cause under id {document['id']}"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    (entry,) = [entry for entry in log if entry["event"] == "internal_error"]
    assert entry["request_id"] == document["id"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)


@pytest.mark.usefixtures("failing")
def test_the_service_still_answers_after_an_unexpected_error(client: TestClient) -> None:
    with capture_logs():
        problem(ask_with_texts(client, "/predict", [POISON]), 500)
    assert ask_with_texts(client, "/predict", ["good"]).status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("failing")
def test_each_error_has_its_own_id(client: TestClient) -> None:
    with capture_logs():
        ids = {problem(ask_with_texts(client, "/predict", [POISON]), 500)["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("wrong", [[" "], [], ["good", "\n"]])
def test_in_classify_a_broken_request_does_not_affect_other_clients(
    client: TestClient, wrong: list[str]
) -> None:
    def ask(number: int) -> Response:
        return post(client, "/classify", {"texts": wrong if number % 4 == 0 else [f"good {number}"] * 2})

    with ThreadPoolExecutor(20) as clients:
        responses = list(clients.map(ask, range(60)))
    for number, response in enumerate(responses):
        if number % 4 == 0:
            assert broken_rules(response)
        else:
            assert [item["text"] for item in response.json()] == [f"good {number}"] * 2


@pytest.mark.usefixtures("failing")
def test_in_classify_a_text_on_which_the_model_fails_affects_only_its_client(client: TestClient) -> None:
    def ask(number: int) -> Response:
        text = POISON if number % 5 == 0 else f"good {number}"
        return post(client, "/classify", {"texts": ["bad", text]})

    with capture_logs(), ThreadPoolExecutor(20) as clients:
        responses = list(clients.map(ask, range(60)))
    for number, response in enumerate(responses):
        if number % 5 == 0:
            problem(response, 500)
        else:
            assert [item["text"] for item in response.json()] == ["bad", f"good {number}"]
