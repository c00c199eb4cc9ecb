"""Sends requests to the service in this process, and checks its problem documents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from httpx import Response
from starlette.testclient import TestClient

JSON = {"content-type": "application/json"}

TITLES = {
    400: "Malformed JSON",
    404: "Not found",
    405: "Method not allowed",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid request",
    500: "Internal error",
    503: "Overloaded",
    504: "Deadline passed",
}


def post(client: TestClient, path: str, body: bytes | object, headers: Mapping[str, str] = JSON) -> Response:
    """Send `body` unchanged if it is bytes, otherwise as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return client.post(path, content=content, headers=dict(headers))


def problem(response: Response, status: int) -> dict[str, Any]:
    """Check that the answer is a well-formed problem document, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == "about:blank"
    assert document["title"] == TITLES[status]
    assert document["status"] == status
    assert isinstance(document["detail"], str)
    expected = {"type", "title", "status", "detail"} | {422: {"errors"}, 500: {"id"}}.get(status, set())
    assert set(document) == expected
    if status == 422:
        assert document["errors"]
        assert document["detail"] == "; ".join(error["msg"] for error in document["errors"])
        assert all(set(error) == {"loc", "msg", "type"} for error in document["errors"])
    return document


def broken_rules(response: Response) -> list[tuple[list[str | int], str, str]]:
    """Return the place, the message and the type of each error of a 422."""
    return [(error["loc"], error["msg"], error["type"]) for error in problem(response, 422)["errors"]]


@dataclass
class Streamed:
    """The answer to a body sent in chunks, and the number of chunks that the service read."""

    status: int
    document: dict[str, Any]
    chunks_read: int


def stream(client: TestClient, path: str, chunks: Iterable[bytes], headers: Mapping[str, str]) -> Streamed:
    """Offer a body chunk by chunk to the ASGI app, as a server does. TestClient reads all of it first."""
    offered = iter(chunks)
    read_count = 0
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal read_count
        chunk = next(offered, None)
        if chunk is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        read_count += 1
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        await client.app(_scope(client, "POST", path, headers), receive, send)

    assert client.portal is not None
    client.portal.call(ask)
    body = b"".join(message.get("body", b"") for message in sent)
    return Streamed(sent[0]["status"], orjson.loads(body), read_count)


def get(client: TestClient, path: str) -> str:
    """The body of the answer to a path that is sent as it is. TestClient would clean it first."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        await client.app(_scope(client, "GET", path, {}), receive, send)

    assert client.portal is not None
    client.portal.call(ask)
    return b"".join(message.get("body", b"") for message in sent).decode()


def _scope(client: TestClient, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """What uvicorn gives to the ASGI app for a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 3000),
        "state": client.app_state,
    }
