"""Floods: the memory that clients can use is bounded, others are answered, and memory is freed again."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from test_bad_clients import MEBIBYTE, connect, descriptors  # noqa: F401
from test_load import metric

from classifier.settings import ApiSettings

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BUDGET = ApiSettings().max_held_bytes
MAX_EXTRA_BYTES = BUDGET + 80 * MEBIBYTE
"""Most memory during a flood: the byte budget, the sockets' own objects and the allocator's rounding."""
MAX_BYTES_AFTER_FLOOD = 48 * MEBIBYTE
"""Most memory still used after a flood: Python keeps a block of memory while one object in it lives."""
MAX_BYTES_AFTER_CONNECTIONS = 20 * MEBIBYTE


@pytest.fixture(scope="module")
def server(serve: Any, tmp_path_factory: pytest.TempPathFactory, descriptors: int) -> Iterator[Any]:  # noqa: ARG001, F811
    with serve(tmp_path_factory.mktemp("store")) as server:
        for _ in range(50):
            httpx.post(f"{server.url}/predict", json={"text": "Good."})
        yield server


def memory(server: Any) -> float:
    return metric(server.url, "process_resident_memory_bytes")


def send(connection: socket.socket, content: bytes) -> None:
    """Send what the server accepts; it may have refused and closed the connection."""
    with contextlib.suppress(OSError):
        connection.sendall(content)


def send_without_waiting(connection: socket.socket, content: bytes) -> None:
    connection.setblocking(False)
    send(connection, content)


Flood = Callable[[Any], list[socket.socket]]


def flood(count: int, *parts: bytes) -> Flood:
    """Make `count` clients that each send these parts one after another, and then nothing."""

    def run(server: Any) -> list[socket.socket]:
        connections = [connect(server) for _ in range(count)]
        for part in parts:
            for connection in connections:
                send_without_waiting(connection, part) if len(parts) > 1 else send(connection, part)
        return connections

    return run


FLOODS = {
    "heads of 15,000 lines": flood(300, b"GET /a HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 15_000),
    "heads of 60,000 bytes": flood(3000, b"GET /a HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 60_000),
    "bodies of 2 MiB": flood(150, HEAD + b"content-length: 2097152\r\n\r\n" + b"x" * 2_097_000),
    "requests after one with an incomplete body": flood(
        300,
        HEAD + b"content-length: 200\r\n\r\n{",
        b" " * 199 + b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 20_000,
    ),
}


def check_flood(server: Any, run: Flood, max_left: float, wait_until: Any) -> None:
    """Check that others are answered during the flood, and that its memory is freed afterwards."""
    before = memory(server)
    connections = run(server)
    try:
        for _ in range(20):
            answer = httpx.post(f"{server.url}/predict", json={"text": "Good."}, timeout=60)
            assert answer.status_code == 200
        assert memory(server) < before + MAX_EXTRA_BYTES
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: memory(server) < before + max_left, "the memory is freed")


def test_memory_returns_to_normal_after_5_000_idle_connections(server: Any, wait_until: Any) -> None:
    check_flood(server, flood(5000, b""), MAX_BYTES_AFTER_CONNECTIONS, wait_until)


@pytest.mark.parametrize("run", FLOODS.values(), ids=FLOODS)
def test_a_flood_uses_no_more_memory_than_the_budget_and_others_are_answered(
    server: Any, run: Flood, wait_until: Any
) -> None:
    check_flood(server, run, MAX_BYTES_AFTER_FLOOD, wait_until)
