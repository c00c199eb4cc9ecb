"""A server with API keys and allowed hosts, asked over HTTP and with BentoML's clients."""

import hashlib
from collections.abc import Iterator
from typing import Any

import bentoml
import httpx
import pytest

KEY = "a-key-of-a-client"
TEXT = "A moving, beautifully acted film."


@pytest.fixture(scope="module")
def server(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(hashlib.sha256(KEY.encode()).hexdigest(), encoding="utf-8")
    with serve(
        tmp_path_factory.mktemp("store"),
        CLASSIFIER__API__KEYS_FILE=str(keys),
        CLASSIFIER__API__ALLOWED_HOSTS='["127.0.0.1"]',
    ) as server:
        yield server


@pytest.mark.parametrize("path", ["/predict", "/classify", "/nowhere"])
def test_a_request_without_a_key_gets_a_problem(server: Any, path: str) -> None:
    answer = httpx.post(server.url + path, json={"text": TEXT})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "an API key is needed: Authorization: Bearer KEY"


def test_a_request_with_a_key_is_answered(server: Any) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{server.url}/predict", json={"text": TEXT}, headers=headers)
    assert answer.raise_for_status().json()["label"] == "positive"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health", "/metrics", "/docs"])
def test_public_routes_are_answered_without_a_key(server: Any, path: str) -> None:
    assert httpx.get(server.url + path).status_code == 200


def test_the_api_page_can_send_the_key(server: Any) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert document["paths"]["/predict"]["post"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/livez"]["get"]


def test_bentomls_clients_send_the_key(server: Any) -> None:
    with bentoml.SyncHTTPClient(server.url, token=KEY) as client:
        assert client.predict(text=TEXT)["label"] == "positive"
        assert client.classify(texts=[TEXT])[0]["label"] == "positive"


@pytest.mark.parametrize("path", ["/docs", "/predict"])
def test_a_host_name_that_is_not_allowed_is_refused(server: Any, path: str) -> None:
    answer = httpx.get(server.url + path, headers={"host": f"evil.example.com:{server.port}"})
    assert answer.status_code == 421
    assert answer.json()["detail"] == "the host 'evil.example.com' is not one that this service answers to"


def test_every_answer_forbids_guessing_its_content_type(server: Any) -> None:
    for path in ("/livez", "/docs", "/docs/static/docs.js", "/metrics", "/nowhere", "/openapi.json"):
        answer = httpx.get(server.url + path, headers={"authorization": f"Bearer {KEY}"})
        assert answer.headers["x-content-type-options"] == "nosniff", path
    refused = httpx.post(f"{server.url}/predict", content=b"{}" * 10, headers={"host": "a b"})
    assert (refused.status_code, refused.headers["x-content-type-options"]) == (400, "nosniff")


def test_an_unusable_keys_file_prevents_the_start(refuse: Any, tmp_path: Any) -> None:
    refused = refuse(tmp_path, CLASSIFIER__API__KEYS_FILE=str(tmp_path / "none"))
    assert refused.returncode == 1
    assert (
        f"error: api.keys_file {tmp_path / 'none'} cannot be read: No such file or directory"
        in refused.stderr
    )
    assert "Traceback" not in refused.stderr
