"""The server under load: refusals, clients that disconnect, and shutdown with requests in progress."""

import functools
import re
import socket
import ssl
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson

from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS

GOOD = "A wonderful film that I will see again. "
BAD = "A terrible film, the worst I have seen. "
CLIENTS = 24

LIVE_SECONDS = 0.25
"""The longest time in which `/livez` answers, whatever the texts."""

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loading all certificates for each client would take longer than a request."""

NO_LATE_REQUESTS = {
    "CLASSIFIER__BATCHING__MAX_WAITING_SECONDS": "100",
    "CLASSIFIER__BATCHING__DEADLINE_SECONDS": "100",
}
"""Settings with which no request is late or refused because of its expected wait."""

NO_REFUSALS = NO_LATE_REQUESTS | {"CLASSIFIER__BATCHING__MAX_WAITING_CHARACTERS": "100000000"}
"""Settings with which no request is refused because of the queue's size either."""


def long_text(number: int) -> tuple[str, str]:
    """A text of maximum length, and its label."""
    text, label = (GOOD, "positive") if number % 2 else (BAD, "negative")
    return (text * MAX_TEXT_CHARS)[:MAX_TEXT_CHARS].strip(), label


@functools.cache
def long_batch(is_odd: bool) -> bytes:
    return orjson.dumps({"texts": [long_text(int(is_odd))[0]] * MAX_TEXTS})


def ask_for_a_long_batch(url: str, number: int) -> httpx.Response:
    return httpx.post(
        f"{url}/predict/batch",
        content=long_batch(number % 2 == 1),
        headers={"content-type": "application/json"},
        timeout=120,
        verify=NO_CERTIFICATES,
    )


def ask_until_held(
    server: Any, pool: ThreadPoolExecutor, wait_until: Any, count: int, at_least: int
) -> list[Future[httpx.Response]]:
    """Send `count` long batches; return when the server holds more than `at_least` of them."""
    asked = [pool.submit(ask_for_a_long_batch, server.url, number) for number in range(count)]
    wait_until(
        lambda: metric(server.url, "classifier_requests_in_progress") > at_least, "the server holds requests"
    )
    return asked


def labels(response: httpx.Response) -> set[str]:
    predictions = response.json()["predictions"]
    assert len(predictions) == response.json()["total_processed"] == MAX_TEXTS
    return {prediction["label"] for prediction in predictions}


def metric(url: str, line: str) -> float:
    """A metric's value."""
    found = re.search(
        f"^{re.escape(line)} (.*)$", httpx.get(f"{url}/metrics", timeout=120).text, re.MULTILINE
    )
    assert found is not None, line
    return float(found[1])


def test_an_overloaded_server_refuses_some_requests_and_answers_the_others_correctly(
    serve: Any, tmp_path: Path
) -> None:
    settings = {
        "CLASSIFIER__BATCHING__MAX_WAITING_TEXTS": "300",
        "CLASSIFIER__BATCHING__MAX_WAITING_SECONDS": "100",
        "CLASSIFIER__BATCHING__DEADLINE_SECONDS": "100",
    }
    with serve(tmp_path, **settings) as server:
        with ThreadPoolExecutor(CLIENTS) as pool:
            responses = list(pool.map(lambda n: ask_for_a_long_batch(server.url, n), range(3 * CLIENTS)))
        for number, response in enumerate(responses):
            if response.status_code == 503:
                assert response.headers["content-type"] == "application/problem+json"
                assert int(response.headers["retry-after"]) >= 1
            else:
                assert response.status_code == 200, response.text
                assert labels(response) == {long_text(number)[1]}
        assert {response.status_code for response in responses} == {200, 503}
        assert httpx.post(f"{server.url}/predict", json={"text": GOOD}).status_code == 200
        assert "Traceback" not in server.log


def test_livez_answers_quickly_while_costly_texts_arrive_among_long_cheap_ones(
    serve: Any, tmp_path: Path
) -> None:
    """If predictions learned from the cheap texts only, a batch of costly ones would take a second."""
    texts = ["x" * MAX_TEXT_CHARS] * MAX_TEXTS, ["\N{TIBETAN LETTER GHA}" * MAX_TEXT_CHARS] * (MAX_TEXTS // 2)
    cheap, costly = (orjson.dumps({"texts": some}) for some in texts)
    # The clients are made once, because that takes a tenth of a second.
    with (
        serve(tmp_path, **NO_REFUSALS) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
        httpx.Client(base_url=server.url, timeout=120) as client,
        httpx.Client(base_url=server.url, timeout=120) as probe,
    ):

        def ask(body: bytes) -> int:
            headers = {"content-type": "application/json"}
            return client.post("/predict/batch", content=body, headers=headers).status_code

        assert set(pool.map(ask, [cheap] * 4 * CLIENTS)) == {200}
        asked = [pool.submit(ask, cheap if number % 8 == 0 else costly) for number in range(CLIENTS)]
        seconds = []
        while not all(future.done() for future in asked):
            begin = time.perf_counter()
            assert probe.get("/livez").status_code == 200
            seconds.append(time.perf_counter() - begin)
        assert {200} <= {future.result() for future in asked} <= {200, 503}
        assert len(seconds) > 10
        assert max(seconds) < LIVE_SECONDS


def test_clients_that_disconnect_are_noticed_and_do_not_harm_others(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **NO_LATE_REQUESTS) as server:
        text, _ = long_text(0)
        body = orjson.dumps({"texts": [text] * MAX_TEXTS})
        head = f"POST /predict/batch HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        request = f"{head}content-type: application/json\r\n\r\n".encode() + body
        connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda connection: connection.sendall(request), connections))
        for connection in connections:
            connection.close()
        disconnected = 'classifier_requests_total{route="/predict/batch",status_class="4xx"}'
        wait_until(lambda: metric(server.url, disconnected) > 0, "a client that disconnected is counted")
        assert (
            httpx.post(f"{server.url}/predict", json={"text": GOOD}, timeout=60).json()["label"] == "positive"
        )
        wait_until(lambda: metric(server.url, "classifier_requests_in_progress") == 0, "all have ended")
        assert "Traceback" not in server.log


def test_after_sigterm_new_requests_are_refused_while_the_admitted_ones_are_finished(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **NO_REFUSALS) as server, ThreadPoolExecutor(CLIENTS) as pool:
        held = ask_until_held(server, pool, wait_until, CLIENTS, at_least=CLIENTS // 2)
        server.process.terminate()
        wait_until(lambda: not server.is_ready(), "it reports that it is not ready")
        refused = httpx.post(f"{server.url}/predict", json={"text": GOOD}, timeout=60)
        assert refused.status_code == 503
        assert refused.json()["title"] == "Shutting down"
        assert refused.headers["connection"] == "close"
        assert httpx.get(f"{server.url}/livez", timeout=60).status_code == 200
        answered = sum(future.result().status_code == 200 for future in held)
        assert answered > CLIENTS / 2  # those that it held; others may have arrived later
        assert server.process.wait(60) in {0, -15}


def test_after_sigterm_a_lame_duck_answers_and_ends_each_connection_with_its_answer(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, CLASSIFIER__API__LAME_DUCK_SECONDS="3") as server, httpx.Client() as client:

        def ask() -> httpx.Response:
            return client.post(f"{server.url}/predict", json={"text": GOOD}, timeout=60)

        assert "connection" not in ask().headers
        server.process.terminate()
        wait_until(lambda: not server.is_ready(), "it reports that it is not ready")
        for _ in range(3):
            answer = ask()
            assert answer.json()["label"] == "positive"
            assert answer.headers["connection"] == "close"
        assert server.process.wait(60) in {0, -15}
        assert "drained" in server.log


def test_requests_that_cannot_be_finished_after_sigterm_are_refused_and_logged(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    settings = NO_REFUSALS | {"CLASSIFIER__BATCHING__DRAIN_SECONDS": "0"}
    with serve(tmp_path, **settings) as server, ThreadPoolExecutor(CLIENTS) as pool:
        # So many that some still arrive after others were answered. The last cannot connect any more.
        asked = ask_until_held(server, pool, wait_until, 10 * CLIENTS, at_least=4)
        server.process.terminate()
        answers = [future.result() for future in asked if future.exception() is None]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        assert {response.json()["title"] for response in refused} == {"Shutting down"}
        assert server.process.wait(60) in {0, -15}
        assert re.search(r"drained +unfinished_texts=[1-9]", server.log)
        assert "Traceback" not in server.log


def test_a_body_that_never_arrives_is_refused_after_the_configured_time(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, CLASSIFIER__API__REQUEST_SECONDS="0.5") as server:
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            connection.sendall(head + b'content-type: application/json\r\n\r\n{"text": ')
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "the request took more than 0.5 s"
        assert metric(server.url, "classifier_requests_in_progress") == 0


def test_sigterm_loses_no_request_in_progress(serve: Any, wait_until: Any, tmp_path: Path) -> None:
    with serve(tmp_path, **NO_REFUSALS) as server:
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = ask_until_held(server, pool, wait_until, 10 * CLIENTS, at_least=4)
            answered = sum(future.done() for future in asked)
            begun = metric(server.url, "classifier_requests_in_progress") + answered
            server.process.terminate()
            responses = [future.result() for future in asked if future.exception() is None]
        refused = [response for response in responses if response.status_code != 200]
        assert {response.json()["title"] for response in refused} <= {"Shutting down"}
        assert answered < begun <= len(responses) - len(refused)
        assert server.process.wait(60) in {0, -15}
        assert "drained" in server.log
        assert "Traceback" not in server.log
