"""A server that gets SIGTERM while clients are in the middle of a request."""

import contextlib
import signal
import socket
import threading
import time
from typing import Any

import httpx
import orjson
import pytest

HEAD = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
BODY = orjson.dumps({"texts": ["A moving, beautifully acted film."]})
HANGS_SECONDS = 5.0
"""A client hangs if it is neither answered nor refused within this time."""


def begin(server: Any, path: bytes, body: bytes) -> socket.socket:
    """Send a request without its last byte."""
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(HEAD % (path, len(body)) + body[:-1])
    return connection


def test_an_incomplete_body_delays_shutdown_by_the_configured_time_only_and_no_client_hangs(
    serve: Any, tmp_path: Any
) -> None:
    with serve(tmp_path, CLASSIFIER__BATCHING__DRAIN_SECONDS="2") as server:
        with begin(server, b"/predict", BODY) as stalled:
            httpx.get(f"{server.url}/livez")  # now the server has read what was sent before
            server.process.send_signal(signal.SIGTERM)
            ends = []
            while server.process.poll() is None:
                began = time.monotonic()
                with contextlib.suppress(httpx.TransportError):
                    httpx.post(f"{server.url}/predict", json={"text": "Good"}, timeout=60)
                ends.append(time.monotonic() - began)
            assert stalled.makefile("rb").readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
        assert max(ends) < HANGS_SECONDS
        assert sum(ends) < 3 * HANGS_SECONDS  # by default it would wait 30 s for the body
        assert server.process.returncode == 0


@pytest.mark.parametrize("path", [b"/predict/batch", b"/classify"])
def test_a_body_that_completes_during_shutdown_is_answered(serve: Any, tmp_path: Any, path: bytes) -> None:
    with serve(tmp_path) as server, begin(server, path, BODY) as connection:
        httpx.get(f"{server.url}/livez")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        while httpx.get(f"{server.url}/readyz").status_code == 200:
            time.sleep(0.01)
        connection.sendall(BODY[-1:])
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        stopping.join()
