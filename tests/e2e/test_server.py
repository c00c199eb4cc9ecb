"""A real server: asked over HTTP, with BentoML's clients, over a raw socket and by many clients; shutdown."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest

from classifier.schema import DEFAULT_THRESHOLDS

MEBIBYTE = 2**20
GOOD = "A wonderful, moving film with great acting."
BAD = "An awful, boring waste of time."
CLIENTS = 20


@pytest.fixture(scope="module")
def http(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def sync_client(server: Any) -> Iterator[bentoml.SyncHTTPClient]:
    with bentoml.SyncHTTPClient(server.url) as client:
        yield client


def labels(answer: dict[str, Any]) -> list[str]:
    return [item["label"] for item in answer["top_predictions"]]


def test_the_server_answers_over_http(http: httpx.Client) -> None:
    response = http.post("/predict", json={"text": GOOD})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["label"] == "positive"


def test_one_connection_carries_errors_and_answers(http: httpx.Client) -> None:
    for _ in range(3):
        assert http.post("/predict", json={"text": ""}).status_code == 422
        assert http.get("/nowhere").status_code == 404
        assert http.post("/predict", json={"text": GOOD}).status_code == 200


def test_bentomls_client_predicts_one_text(sync_client: Any, http: httpx.Client) -> None:
    expected = http.post("/predict", json={"text": GOOD}).json()
    assert sync_client.predict(text=GOOD) == expected
    assert sync_client.predict(GOOD) == expected


def test_bentomls_client_passes_a_threshold(sync_client: Any) -> None:
    assert sync_client.predict(text=GOOD, threshold=1.0)["final_prediction"] == "uncertain"


def test_bentomls_client_predicts_a_batch(sync_client: Any) -> None:
    for answer in (sync_client.predict_batch(texts=[GOOD, BAD]), sync_client.predict_batch([GOOD, BAD])):
        assert [item["label"] for item in answer["predictions"]] == ["positive", "negative"]
    bare = sync_client.predict_batch(texts=[GOOD], return_probabilities=False)
    assert "probabilities" not in bare["predictions"][0]


def test_bentomls_client_ranks_labels(sync_client: Any) -> None:
    assert labels(sync_client.predict_top_k(text=BAD, k=2)) == ["negative", "positive"]
    assert labels(sync_client.predict_top_k(BAD, 1)) == ["negative"]
    assert labels(sync_client.predict_top_k(BAD)) == ["negative", "positive"]


def test_bentomls_client_tries_thresholds(sync_client: Any) -> None:
    given = sync_client.predict_thresholds(text=GOOD, thresholds=[0.5, 1.0])
    assert [row["label"] for row in given["results"]] == ["positive", "negative"]
    assert len(sync_client.predict_thresholds(GOOD)["results"]) == len(DEFAULT_THRESHOLDS)


def test_bentomls_client_explains(sync_client: Any) -> None:
    given = sync_client.predict_explain(text=GOOD, label="negative", top=2)
    assert (given["label"], given["explained_label"]) == ("positive", "negative")
    assert len(given["contributions"]) == 2
    assert sync_client.predict_explain(GOOD)["explained_label"] == "positive"


def test_bentomls_client_classifies(sync_client: Any) -> None:
    for answer in (sync_client.classify(texts=[GOOD, BAD]), sync_client.classify([GOOD, BAD])):
        assert [item["label"] for item in answer] == ["positive", "negative"]


def test_bentomls_client_raises_the_services_error(sync_client: Any) -> None:
    with pytest.raises(bentoml.exceptions.BentoMLException, match="text is blank"):
        sync_client.predict(text=" ")


@pytest.mark.parametrize("wrong", [{"text": 5}, {"text": GOOD, "threshold": 2.0}])
def test_bentomls_client_gets_the_same_refusals_as_every_client(
    sync_client: Any, wrong: dict[str, Any]
) -> None:
    with pytest.raises(bentoml.exceptions.BentoMLException):
        sync_client.predict(**wrong)


def test_bentomls_asynchronous_client_reaches_every_api(server: Any) -> None:
    async def ask() -> list[Any]:
        async with bentoml.AsyncHTTPClient(server.url) as client:
            return await asyncio.gather(
                client.predict(text=GOOD),
                client.predict_batch(texts=[GOOD, BAD]),
                client.predict_top_k(text=BAD, k=2),
                client.predict_thresholds(text=GOOD),
                client.predict_explain(text=GOOD),
                client.classify(texts=[GOOD, BAD]),
            )

    predict, batch, top_k, thresholds, explain, classify = asyncio.run(ask())
    assert predict["label"] == "positive"
    assert batch["total_processed"] == 2
    assert labels(top_k) == ["negative", "positive"]
    assert len(thresholds["results"]) == len(DEFAULT_THRESHOLDS)
    assert explain["explained_label"] == "positive"
    assert [item["label"] for item in classify] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("path", "field"), [("/predict", "text"), ("/predict/batch", "texts"), ("/classify", "texts")]
)
def test_many_concurrent_clients_each_get_their_own_answer(server: Any, path: str, field: str) -> None:
    def ask(client_number: int) -> list[tuple[str, list[str]]]:
        answers = []
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for number in range(10):
                text = f"client {client_number} question {number} " + (GOOD if client_number % 2 else BAD)
                response = client.post(path, json={field: text if field == "text" else [text] * 3})
                assert response.status_code == 200, response.text
                body = response.json()
                items = body if isinstance(body, list) else body.get("predictions", [body])
                answers.append((text, [f"{item['text']} {item['label']}" for item in items]))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        for client_number, answers in enumerate(pool.map(ask, range(CLIENTS))):
            label = "positive" if client_number % 2 else "negative"
            for text, got in answers:
                assert set(got) == {f"{text} {label}"}


# A raw socket


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Read one answer; return its status, headers and JSON."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, json.loads(stream.read(int(headers["content-length"])))


def open_request(server: Any, path: str, *headers: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return connection


@pytest.mark.parametrize("path", ["/predict", "/classify"])
def test_a_body_that_declares_a_too_large_length_is_answered_before_it_is_sent(
    server: Any, path: str
) -> None:
    with open_request(server, path, f"content-length: {3 * MEBIBYTE}") as connection:
        status, headers, document = answer_of(connection)
    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert document["detail"] == f"the body has {3 * MEBIBYTE} bytes; at most {2 * MEBIBYTE} are allowed"


@pytest.mark.parametrize("path", ["/predict", "/classify"])
def test_a_chunked_body_over_the_limit_is_answered_before_its_end_is_sent(server: Any, path: str) -> None:
    chunk = b" " * 2**16
    with open_request(server, path, "transfer-encoding: chunked") as connection:
        for _ in range(2 * MEBIBYTE // len(chunk) + 1):
            connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        status, headers, document = answer_of(connection)  # although the last, empty chunk was never sent
    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert document["status"] == 413


def test_a_chunked_body_within_the_limit_is_answered(server: Any) -> None:
    with open_request(server, "/predict", "transfer-encoding: chunked") as connection:
        for part in (b'{"te', b'xt": "good', b'"}'):
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        status, _, document = answer_of(connection)
    assert (status, document["text"]) == (200, "good")


def test_a_client_that_disconnects_within_its_body_harms_nobody_and_is_not_logged_as_an_error(
    server: Any, http: httpx.Client, wait_until: Any
) -> None:
    def refused() -> list[str]:
        lines = http.get("/metrics").text.splitlines()
        paths = ("/predict", "/classify")
        starts = tuple(f'classifier_requests_total{{route="{path}",status_class="4xx"}}' for path in paths)
        return [line for line in lines if line.startswith(starts)]

    before = refused()
    for path in ("/predict", "/classify"):
        with open_request(server, path, "content-length: 1000") as connection:
            connection.sendall(b'{"text": "go')
    wait_until(lambda: len(set(refused()) - set(before)) == 2, "both requests are counted as refused")
    assert http.post("/predict", json={"text": GOOD}).status_code == 200
    assert http.post("/classify", json={"texts": [GOOD]}).status_code == 200
    assert "Traceback" not in server.log
    assert "internal_error" not in server.log


# Shutdown


def test_sigterm_stops_the_server_after_its_requests_are_answered(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        with open_request(server, "/predict", "content-length: 16") as connection:
            connection.sendall(b'{"text": ')
            assert httpx.get(f"{server.url}/metrics").status_code == 200
            server.process.terminate()
            connection.sendall(b'"good"}')
            status, _, document = answer_of(connection)
        assert (status, document["text"]) == (200, "good")
        assert server.process.wait(30) in {0, -15}
        assert "Traceback" not in server.log


def test_an_idle_connection_does_not_delay_shutdown(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/livez").status_code == 200
        server.process.terminate()
        assert server.process.wait(15) in {0, -15}
