"""The labels of an image, from a registry that the tests run and from programs that answer like an engine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from k8s import image_labels
from k8s.environment.values import ImageReference, ImageVersion
from k8s.errors import UnreadableImage
from k8s.image_labels import read_labels

LABELS = {"text-classifier.model": "imdb-sentiment:9656270195ba"}
NAME = "team/text-classifier"


class Registry:
    """A registry with what a test puts there, and the requests that it received."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.token: str | None = None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authorization = self.headers["authorization"]
                registry.requests.append((self.path, authorization))
                status, headers, content = registry.answer(self.path, authorization)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"localhost:{self.server.server_address[1]}"

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/token?"):
            return 200, {}, json.dumps({"token": self.token}).encode()
        if self.token is not None and authorization != f"Bearer {self.token}":
            challenge = f'Bearer realm="http://{self.host}/token",service="it",scope="repository:{NAME}:pull"'
            return 401, {"www-authenticate": challenge}, b""
        return self.answers.get(path, (404, {}, b""))

    def put(self, what: str, content: bytes, version: str | None = None) -> str:
        """Put content under its digest, and under a version if one is given; return its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        for one in {digest, version or digest}:
            self.answers[f"/v2/{NAME}/{what}/{one}"] = (200, {}, content)
        return digest

    def put_image(self, labels: dict[str, str] | None, version: str | None = None) -> str:
        config = self.put("blobs", json.dumps({"config": {"Labels": labels}}).encode())
        return self.put("manifests", json.dumps({"config": {"digest": config}}).encode(), version)

    def image(self, tag: str | None = None, digest: str | None = None) -> ImageReference:
        return ImageReference(f"{self.host}/{NAME}", ImageVersion(tag, digest))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    """A registry on this machine, where no engine is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, args=[0.01])
    thread.start()
    yield registry
    registry.server.shutdown()
    thread.join()
    registry.server.server_close()


def refusal(image: ImageReference) -> str:
    with pytest.raises(UnreadableImage) as refused:
        read_labels(image)
    reason, *engines = str(refused.value).split("; ")
    assert engines == ["podman is not installed", "docker is not installed"]
    return reason


def test_the_labels_of_a_tag_are_read(registry: Registry) -> None:
    registry.put_image(LABELS, "1")
    found = read_labels(registry.image("1"))
    assert (found.values, found.source) == (LABELS, f"registry {registry.host}")


def test_the_digest_is_asked_for_if_there_is_one(registry: Registry) -> None:
    registry.put_image({"other": "image"}, "1")
    digest = registry.put_image(LABELS)
    assert read_labels(registry.image("1", digest)).values == LABELS


def test_an_image_without_labels_has_none(registry: Registry) -> None:
    registry.put_image(None, "1")
    assert read_labels(registry.image("1")).values == {}


def test_the_first_image_of_an_index_is_read_and_its_attestations_are_not(registry: Registry) -> None:
    statement = registry.put_image({"other": "statement"})
    image = registry.put_image(LABELS)
    manifests = [
        {"digest": statement, "platform": {"os": "unknown", "architecture": "unknown"}},
        {"digest": image, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    registry.put("manifests", json.dumps({"manifests": manifests}).encode(), "1")
    assert read_labels(registry.image("1")).values == LABELS


@pytest.mark.parametrize("manifests", [[], [{"digest": f"sha256:{'1' * 64}", "platform": {"os": "unknown"}}]])
def test_an_index_without_an_image_is_reported(registry: Registry, manifests: list[Any]) -> None:
    registry.put("manifests", json.dumps({"manifests": manifests}).encode(), "1")
    assert refusal(registry.image("1")) == f"http://{registry.host}/v2/{NAME} has no image of the version 1"


def test_a_token_for_everybody_is_fetched(registry: Registry) -> None:
    registry.put_image(LABELS, "1")
    registry.token = "public"  # noqa: S105
    assert read_labels(registry.image("1")).values == LABELS
    asked = [path for path, _ in registry.requests if path.startswith("/token")]
    assert asked == ["/token?service=it&scope=repository%3Ateam%2Ftext-classifier%3Apull"]


def test_a_registry_that_needs_credentials_is_reported(registry: Registry) -> None:
    registry.answers[f"/v2/{NAME}/manifests/1"] = (401, {"www-authenticate": 'Basic realm="it"'}, b"")
    url = f"http://{registry.host}/v2/{NAME}/manifests/1"
    assert refusal(registry.image("1")) == f"{url} answers with status 401"


def test_an_unknown_image_is_reported(registry: Registry) -> None:
    assert refusal(registry.image("1")).endswith("/manifests/1 answers with status 404")


def test_a_blob_may_be_elsewhere(registry: Registry) -> None:
    registry.put_image(LABELS, "1")
    (blob,) = [path for path in registry.answers if "/blobs/" in path]
    registry.answers["/elsewhere"] = registry.answers[blob]
    registry.answers[blob] = (307, {"location": f"http://{registry.host}/elsewhere"}, b"")
    assert read_labels(registry.image("1")).values == LABELS


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_content_of_another_digest_is_not_believed(registry: Registry, what: str) -> None:
    digest = registry.put_image(LABELS)
    (path,) = [path for path in registry.answers if f"/{what}/" in path]
    registry.answers[path] = (200, {}, registry.answers[path][2] + b" ")
    assert refusal(registry.image(None, digest)).endswith("answers with something of another digest")


def test_a_page_instead_of_a_manifest_is_reported(registry: Registry) -> None:
    registry.put("manifests", b"<html>", "1")
    assert refusal(registry.image("1")).startswith(f"{registry.host} answers with ")


def test_an_answer_that_is_too_long_is_not_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_labels, "MAX_BYTES", 100)
    registry.put("manifests", b"{" + b" " * 100, "1")
    assert refusal(registry.image("1")).endswith("answers with more than 100 bytes")


def test_answers_that_take_too_long_together_are_not_awaited(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_labels, "TOTAL_SECONDS", 0)
    registry.put_image(LABELS, "1")
    assert refusal(registry.image("1")).endswith("does not answer within 0 seconds")


@pytest.mark.usefixtures("registry")
def test_a_registry_that_refuses_the_connection_is_reported() -> None:
    image = ImageReference("localhost:1/text-classifier", ImageVersion("1", None))
    assert refusal(image).startswith("localhost:1 does not answer: ")


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_an_engine_of_this_machine_is_asked_if_the_registry_does_not_answer(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    program = tmp_path / engine
    program.write_text(f"#!/bin/sh\n[ \"$5\" = {registry.host}/{NAME}:1 ] && echo '{json.dumps(LABELS)}'")
    program.chmod(0o755)
    found = read_labels(registry.image("1"))
    assert (found.values, found.source) == (LABELS, f"{engine} on this machine")


def test_an_engine_without_the_image_is_reported_with_its_last_line(
    registry: Registry, tmp_path: Path
) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\necho 'Error: image not known' >&2\nexit 125\n")
    program.chmod(0o755)
    with pytest.raises(UnreadableImage, match="; podman: image not known; docker is not installed"):
        read_labels(registry.image("1"))


@pytest.mark.parametrize(
    ("repository", "place"),
    [
        ("text-classifier", ("registry-1.docker.io", "library/text-classifier")),
        ("team/text-classifier", ("registry-1.docker.io", "team/text-classifier")),
        ("docker.io/text-classifier", ("registry-1.docker.io", "library/text-classifier")),
        ("ghcr.io/team/text-classifier", ("ghcr.io", "team/text-classifier")),
        ("localhost/text-classifier", ("localhost", "text-classifier")),
        ("registry:5000/text-classifier", ("registry:5000", "text-classifier")),
    ],
)
def test_a_repository_is_found_where_engines_look(repository: str, place: tuple[str, str]) -> None:
    assert image_labels.place(repository) == place
