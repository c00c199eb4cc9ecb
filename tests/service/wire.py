"""An app to run behind the service's protocol, and a client that can send any bytes."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from classifier.batching.admission import Admission, Stage
from classifier.settings import BatchingSettings
from serving.running import CONNECTIONS, ConnectionContext
from serving.telemetry import catalogue
from serving.telemetry.catalogue import STATUS_CLASSES


def admission(stage: Stage = Stage.OPEN, **changed: float) -> Admission:
    changed_settings = BatchingSettings.model_construct(**BatchingSettings().model_dump() | changed)
    return Admission(changed_settings, stage)


class App:
    """Answers with the path of the request once it has read the body.

    /hold waits until the test sets `go`. /echo returns the body. /unread answers without reading the body.
    """

    def __init__(self, connections: ConnectionContext) -> None:
        """The connections get `connections` through the lifespan's state, as in the service."""
        self.connections = connections
        self.held = threading.Event()
        self.go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"][CONNECTIONS] = self.connections
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = Request(scope, receive)
        if scope["path"] == "/unread":
            await PlainTextResponse(scope["path"])(scope, receive, send)
            return
        body = await request.body()
        if scope["path"] == "/hold":
            self.held.set()
            await asyncio.to_thread(self.go.wait, 60)
        answer = body if scope["path"] == "/echo" else f"{scope['path']} {len(body)}"
        await PlainTextResponse(answer)(scope, receive, send)


class Connection:
    """A client that can send any bytes and reads one answer after the other."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.stream = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self, may_continue: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Read one answer; `may_continue` skips interim answers before it."""
        status = int(self.stream.readline().split()[1])
        while may_continue and status == 100:
            assert self.stream.readline() == b"\r\n"
            status = int(self.stream.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self.stream.read(int(headers["content-length"]))

    def is_ended(self) -> bool:
        return self.stream.read() == b""


def wait_until_reset(connection: Connection) -> None:
    """Send bytes until the other end resets the connection."""
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            connection.send(b"x")
            time.sleep(0.05)
        pytest.fail("the connection is still open")


def head(path: str, length: int, *more: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines: Sequence[str] = [f"{method} {path} HTTP/{version}", "host: x", f"content-length: {length}", *more]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def counted(connections: ConnectionContext, route: str, status_class: str) -> float:
    """How many requests for this route got an answer of this class."""
    assert status_class in STATUS_CLASSES
    family = connections.recorder.metrics.counts.counter(catalogue.REQUESTS).family()
    labels = {"route": route, "status_class": status_class}
    (found,) = [sample.value for sample in family.samples if sample.labels == labels]
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting until {what}"
        time.sleep(0.005)
