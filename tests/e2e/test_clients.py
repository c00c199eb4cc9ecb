"""Clients and proxies of other projects: Java, curl, a Go proxy, and an attack through the proxy."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

CLIENTS = Path(__file__).parent / "clients"
TEXT = "A moving, beautifully acted film."


def program(name: str) -> str:
    """The path of a program. If it is missing, the test is skipped, but fails in CI."""
    path = shutil.which(name)
    if path is None:
        if "REQUIRE_FULL_DATA" in os.environ:
            pytest.fail(f"{name} is not installed, and this test is required here")
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def proxy(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Go reverse proxy in front of the server."""
    built = tmp_path_factory.mktemp("proxy") / "proxy"
    subprocess.run(
        [program("go"), "build", "-o", str(built), str(CLIENTS / "proxy.go")],
        check=True,
        env=os.environ | {"CGO_ENABLED": "0"},
    )
    with subprocess.Popen([str(built), server.url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("client", ["java", "curl"])
def test_a_client_that_offers_http_2_is_answered(server: Any, client: str) -> None:
    url, body = f"{server.url}/predict", json.dumps({"text": TEXT})
    command = {
        "java": [str(CLIENTS / "Post.java"), url, body],
        "curl": [
            "-s",
            "--http2",
            url,
            "-d",
            body,
            "-H",
            "content-type: application/json",
            "-w",
            " %{http_code}",
        ],
    }[client]
    done = subprocess.run([program(client), *command], capture_output=True, text=True, check=True)
    assert done.stdout.count(f'"text":"{TEXT}"') == {"java": 2, "curl": 1}[client]
    assert done.stdout.count("200") == {"java": 2, "curl": 1}[client]


def test_a_request_smuggled_through_a_proxy_in_an_upgrade_is_not_answered_to_another_client(
    proxy: str,
) -> None:
    hidden = json.dumps({"text": "Hidden by the attacker."}).encode()
    smuggled = (
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(hidden), hidden)
    )
    host, port = proxy.split(":")

    def attack() -> bytes:
        with socket.create_connection((host, int(port)), 60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: foo\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(smuggled)
            )
            time.sleep(0.05)  # so that the body is in its own segment
            connection.sendall(smuggled)
            return connection.recv(65536)

    def ask(number: int) -> tuple[str, str]:
        text = f"The text of client {number}."
        answer = httpx.post(f"http://{proxy}/predict", json={"text": text}, timeout=60)
        return text, answer.raise_for_status().json()["text"]

    with ThreadPoolExecutor(8) as pool:
        attacks = [pool.submit(attack) for _ in range(20)]
        answers = [pool.submit(ask, number) for number in range(40)]
        for answer in answers:
            asked, answered = answer.result()
            assert answered == asked
        for attacked in attacks:
            assert attacked.result().startswith(b"HTTP/1.1 400 ")  # the body is not JSON


def test_a_websocket_handshake_gets_a_problem_and_is_counted(server: Any) -> None:
    handshake = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }

    def count() -> int:
        line = 'classifier_requests_total{route="other",status_class="4xx"} '
        metrics = httpx.get(f"{server.url}/metrics").text
        return sum(
            int(float(found.removeprefix(line))) for found in metrics.splitlines() if found.startswith(line)
        )

    before = count()
    answer = httpx.get(f"{server.url}/chat", headers=handshake)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert count() == before + 1
