"""The log of a real server: every line is JSON, its level can be changed, and a worker's end says why."""

import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

BY_MAKE = (sys.executable, "-m", "cli", "serve")
BY_BENTOML = (str(Path(sys.executable).parent / "bentoml"), "serve", "service:TextClassifier")
JSON_LOG = {"CLASSIFIER__LOGGING__FORMAT": "json"}
BROKEN_BODY = (
    b"HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"
)


def lines(server: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()]


def events(server: Any, event: str) -> list[dict[str, Any]]:
    return [line for line in lines(server) if line["event"] == event]


def ask(server: Any, request_id: str, text: str = "good") -> None:
    headers = {"x-request-id": request_id}
    httpx.post(f"{server.url}/predict", json={"text": text}, headers=headers)


def test_sigusr1_changes_the_level_of_the_log_without_a_restart(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **JSON_LOG) as server:
        ask(server, "before")
        for count, level in enumerate(["DEBUG", "INFO"], start=1):
            server.process.send_signal(signal.SIGUSR1)
            wait_until(lambda count=count: len(events(server, "log_level")) == count, "the level has changed")
            assert events(server, "log_level")[-1]["now"] == level
            ask(server, f"at {level}".replace(" ", "-"))
        assert server.process.poll() is None
    logged = [line["request_id"] for line in events(server, "request") if line["path"] == "/predict"]
    assert logged == ["at-DEBUG"]


def test_a_worker_that_replaces_another_one_logs_at_the_level_that_was_switched_on(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **JSON_LOG) as server:

        def levels() -> list[str]:
            return [line["now"] for line in events(server, "log_level")]

        server.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: levels() == ["DEBUG"], "the level has changed")
        (worker,) = psutil.Process(server.process.pid).children()
        worker.kill()
        wait_until(lambda: levels() == ["DEBUG", "DEBUG"], "the next worker has changed its level, too")
        wait_until(server.is_ready, "the service answers")
        ask(server, "at-DEBUG")
        server.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: levels()[-1] == "INFO", "the level has changed back")
        ask(server, "at-INFO")
    logged = [line["request_id"] for line in events(server, "request") if line["path"] == "/predict"]
    assert logged == ["at-DEBUG"]


def test_a_worker_that_is_killed_is_one_line_that_names_the_signal(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **JSON_LOG) as server:
        (worker,) = psutil.Process(server.process.pid).children()
        worker.kill()
        wait_until(lambda: len(events(server, "model_loaded")) == 2, "another worker has loaded its model")
        wait_until(server.is_ready, "the service answers")
    (died,) = events(server, "worker_died")
    assert (died["signal"], died["pid"], died["level"]) == ("SIGKILL", worker.pid, "error")
    assert not [line for line in lines(server) if "exception" in line]


@pytest.mark.parametrize("command", [BY_MAKE, BY_BENTOML], ids=["make", "bentoml"])
def test_a_service_that_cannot_start_says_why_in_one_line_of_json(
    refuse: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    missing = str(tmp_path / "missing" / "feedback.db")
    refused = refuse(tmp_path, command, **JSON_LOG, CLASSIFIER__FEEDBACK__PATH=missing)
    (line,) = map(json.loads, refused.stderr.splitlines())
    assert (line["event"], line["level"]) == ("start_failed", "error")
    assert missing in line["error"]
    assert refused.returncode == 1


def test_a_broken_body_is_one_line_with_the_status_and_the_id_of_its_answer(
    serve: Any, wait_until: Any, tmp_path: Path
) -> None:
    with serve(tmp_path, **JSON_LOG, CLASSIFIER__LOGGING__ACCESS_SHARE="1") as server:
        answered = []
        for start in (b"POST /predict ", b"GET /model/info ", b"POST /nowhere "):
            with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
                connection.sendall(start + BROKEN_BODY)
                answer = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))
            status, *headers = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            answered.append(
                (dict(line.split(": ", 1) for line in headers)["x-request-id"], int(status.split()[1]))
            )
        wait_until(lambda: len(events(server, "request")) >= 3, "all requests are logged")
        metrics = httpx.get(f"{server.url}/metrics").text
    assert {status for _, status in answered} <= {400, 404}
    assert [(line["request_id"], line["status"]) for line in events(server, "request")] == answered
    assert 'classifier_requests_total{route="/model/info",status_class="4xx"} 1.0' in metrics
    assert 'classifier_requests_total{route="/model/info",status_class="2xx"} 0.0' in metrics


def test_the_refusals_of_the_last_second_are_logged_before_the_service_ends(
    serve: Any, tmp_path: Path
) -> None:
    with (
        serve(tmp_path, **JSON_LOG, CLASSIFIER__API__MAX_CONNECTIONS="2") as server,
        contextlib.ExitStack() as stack,
    ):
        address = ("127.0.0.1", server.port)
        opened = [stack.enter_context(socket.create_connection(address, 60)) for _ in range(5)]
        for connection in opened[2:]:
            assert connection.recv(12) == b"HTTP/1.1 503"
        assert server.stop() == 0
    refused = [line["count"] for line in events(server, "refused") if line["reason"] == "connections"]
    assert sum(refused) >= 3


def test_hostile_paths_are_one_line_each(serve: Any, tmp_path: Path) -> None:
    paths = ["/%0a%7b%22event%22:%22forged%22%7d", "/%1b%5b2J", "/%e2%80%a8", "/a%00b"]
    with serve(tmp_path, **JSON_LOG, CLASSIFIER__LOGGING__ACCESS_SHARE="1") as server:
        for path in paths:
            assert httpx.get(f"{server.url}{path}").status_code == 404
    requests = events(server, "request")
    assert [line["route"] for line in requests if line["status"] == 404] == ["other"] * len(paths)
    assert not events(server, "forged")
