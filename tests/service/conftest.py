"""The service in this process, with the bundled model; and a real server with its protocol alone."""

import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from wire import App, Connection, wait_until

import model_store
from classifier.batching import Batcher
from serving.protocol import DoorProtocol

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have httpx2
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def service(bundled: Path) -> ModuleType:
    """`service.py`, imported once its model is in the store, as the module needs it."""
    model_store.save(bundled)
    import service

    return service


@pytest.fixture(scope="session")
def client(service: ModuleType) -> Iterator[TestClient]:
    with TestClient(service.TextClassifier.to_asgi()) as client:
        yield client


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def server(app: App, listener: socket.socket) -> Iterator[uvicorn.Server]:
    """A real server with the service's event loop, and its protocol in front of the app."""
    config = uvicorn.Config(
        app, loop="serving.listening:Loop", http=DoorProtocol, lifespan="off", log_config=None
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
    """Where the server listens."""
    return listener.getsockname()[1]


@pytest.fixture
def held(app: App) -> App:
    """It holds what asks for /hold."""
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
def door(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(batcher: Batcher[str]) -> None:
        monkeypatch.setattr(DoorProtocol, "door", batcher)

    return put
