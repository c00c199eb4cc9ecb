"""Fixtures: the service in this process with the bundled model, and a real server with only its protocol."""

import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
import wire
from recording import recorder
from wire import App, Connection, wait_until

import model_store
from classifier.batching.admission import Admission, Stage
from classifier.settings import ApiSettings
from serving.request.protocol import ServiceProtocol
from serving.running import CONNECTIONS, ConnectionContext, RunningService, running_service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette warns that it prefers httpx2
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def service(bundled: Path) -> ModuleType:
    """`service.py`, imported after its model was saved in the store, which the module needs."""
    model_store.save(bundled)
    import service

    return service


@pytest.fixture(scope="session")
def client(service: ModuleType) -> Iterator[TestClient]:
    with TestClient(service.TextClassifier.to_asgi()) as client:
        yield client


@pytest.fixture
def running(client: TestClient) -> Iterator[RunningService]:
    """The service in this process. After the test, its admission is open again."""
    running = running_service({"state": client.app_state})
    yield running
    running.admission.stage = Stage.OPEN


@pytest.fixture(scope="module")
def app() -> App:
    return App(
        ConnectionContext.of(ApiSettings(), wire.admission(), ApiSettings().max_connections, recorder())
    )


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def server(app: App, listener: socket.socket) -> Iterator[uvicorn.Server]:
    """A real server with the service's event loop, and its protocol in front of the app."""
    config = uvicorn.Config(
        app, loop="serving.process.listening:Loop", http=ServiceProtocol, lifespan="on", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    wait_until(lambda: server.started, "the server listens")
    yield server
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port(server: uvicorn.Server, listener: socket.socket) -> int:  # noqa: ARG001
    """The port on which the server listens."""
    return listener.getsockname()[1]


@pytest.fixture
def held(app: App) -> App:
    """The app, which will hold the next request for /hold."""
    app.held.clear()
    app.go.clear()
    return app


@pytest.fixture
def connection(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    yield connection
    connection.stream.close()
    connection.socket.close()


@pytest.fixture
def change(server: uvicorn.Server) -> Iterator[Callable[..., ConnectionContext]]:
    """Change the values that new connections get; the function returns all their values."""
    state = server.lifespan.state
    before = state[CONNECTIONS]

    def change(**changed: Any) -> ConnectionContext:
        state[CONNECTIONS] = replace(state[CONNECTIONS], **changed)
        return state[CONNECTIONS]

    yield change
    state[CONNECTIONS] = before


@pytest.fixture
def full(app: App) -> Iterator[Admission]:
    """The admission of a service whose queue is full."""
    admission = app.connections.admission
    admission.load.texts = 10**9
    yield admission
    admission.load.texts = 0


@pytest.fixture
def closed(app: App) -> Iterator[Admission]:
    """The admission of a service that is stopping."""
    admission = app.connections.admission
    admission.stage = Stage.CLOSED
    yield admission
    admission.stage = Stage.OPEN
