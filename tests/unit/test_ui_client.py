"""The client of the pages against a real HTTP server that answers as it is told."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fake_classifier import MODEL, prediction, problem
from pydantic import AnyHttpUrl, SecretStr

from ui import client as module
from ui.client import Broken, Client, Overloaded, Rejected, ServiceError, Unauthorized, Unreachable
from ui.settings import Settings


@dataclass(frozen=True)
class Raw:
    """An answer as bytes."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes


def answer(value: object, status: int = 200, **headers: str) -> Raw:
    return Raw(
        status,
        json.dumps(value).encode(),
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def problem_of(status: int, detail: str, errors: tuple[object, ...] = (), **headers: str) -> Raw:
    reply = problem(status, detail, errors, **headers)
    return Raw(reply.status, json.dumps(reply.body).encode(), reply.headers)


PREDICTED = answer(prediction("good"))
BUSY = problem_of(503, "the queue is full")


class Service:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Raw] = [PREDICTED]
        """The answers to the next requests; the last one stays."""
        self.asked: list[Asked] = []
        self.url = ""

    def next(self, asked: Asked) -> Raw:
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving(service: Service) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"] or 0))
            raw = service.next(Asked(self.command, self.path, self.headers, content))
            self.send_response(raw.status)
            for name, value in {"content-length": str(len(raw.content)), **raw.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw.content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with serving(service):
        yield service


@pytest.fixture
def made() -> Iterator[Callable[..., Client]]:
    """Makes clients, which are closed at the end."""
    clients: list[Client] = []

    def make(url: str, key: str | None = None, patience_seconds: float = 0) -> Client:
        settings = Settings(url=AnyHttpUrl(url), api_key=SecretStr(key) if key else None)
        clients.append(Client(settings, patience_seconds=patience_seconds))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(service: Service, made: Callable[..., Client]) -> Client:
    """A client that tries once."""
    return made(service.url)


def test_a_text_is_sent_as_json(service: Service, client: Client) -> None:
    client.predict("¿bueno? 😀")
    assert json.loads(service.asked[0].content) == {"text": "¿bueno? 😀"}


def test_a_body_says_that_it_is_json(service: Service, client: Client) -> None:
    client.predict("good")
    assert service.asked[0].headers["content-type"] == "application/json"


def test_a_threshold_is_sent_if_there_is_one(service: Service, client: Client) -> None:
    client.predict("good", 0.9)
    assert json.loads(service.asked[0].content)["threshold"] == 0.9


def test_a_lone_surrogate_is_left_to_the_service_to_refuse(service: Service, client: Client) -> None:
    client.predict("\ud800")
    assert b"\xed\xa0\x80" in service.asked[0].content


def test_an_answer_is_typed(client: Client) -> None:
    assert client.predict("good").value["label"] == "positive"


def test_an_answer_has_its_request_id(service: Service, client: Client) -> None:
    service.answers = [answer(prediction("good"), x_request_id="abc")]
    assert client.predict("good").request_id == "abc"


def test_server_timing_is_read_as_seconds(service: Service, client: Client) -> None:
    service.answers = [answer(prediction("good"), server_timing="queue;dur=1.5, model;dur=20")]
    assert client.predict("good").timing == {"queue": 0.0015, "model": 0.02}


def test_a_path_before_the_service_is_kept(service: Service, made: Callable[..., Client]) -> None:
    made(f"{service.url}/models/reviews/").predict("good")
    assert service.asked[0].path == "/models/reviews/predict"


def test_a_key_is_sent_as_a_bearer_token(service: Service, made: Callable[..., Client]) -> None:
    made(service.url, key="sesame").predict("good")
    assert service.asked[0].headers["authorization"] == "Bearer sesame"


def test_without_a_key_none_is_sent(service: Service, client: Client) -> None:
    client.predict("good")
    assert "authorization" not in service.asked[0].headers


def test_a_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, service: Service, made: Callable[..., Client]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert made(service.url).predict("good").value["label"] == "positive"


def test_a_service_that_is_not_ready_has_a_health(service: Service, client: Client) -> None:
    health = {"status": "starting", "model_loaded": False, "device": "cpu"}
    service.answers = [answer(health, 503)]
    assert client.health().value["model_loaded"] is False


def test_the_model_is_described(service: Service, client: Client) -> None:
    service.answers = [answer(MODEL.body)]
    assert client.model_info().value["classes"] == ["negative", "positive"]


@pytest.mark.parametrize("name", ["model_card", "metrics"])
def test_texts_are_read_as_they_are(service: Service, client: Client, name: str) -> None:
    service.answers = [Raw(200, "# ¿Qué?\n".encode())]
    assert getattr(client, name)() == "# ¿Qué?\n"


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (problem_of(503, "the queue is full"), Overloaded, "the queue is full"),
        (Raw(503, b"<html>"), Overloaded, "503"),
        (problem_of(504, "the deadline passed"), Overloaded, "the deadline passed"),
        (problem_of(408, "the body was slow"), Overloaded, "the body was slow"),
        (Raw(429, b"slow down"), Overloaded, "429"),
        (problem_of(401, "the key is wrong"), Unauthorized, "CLASSIFIER_API_KEY"),
        (Raw(403, b""), Unauthorized, "403"),
        (problem_of(413, "the body is too large"), Rejected, "the body is too large"),
        (problem_of(422, "text is blank"), Rejected, "text is blank"),
        (problem_of(500, "unexpected error 12"), Broken, "unexpected error 12"),
        (Raw(500, b"oops"), Broken, "is not this service"),
        (Raw(404, b"not found"), Broken, "is not this service"),
        (Raw(307, b"", {"location": "http://127.0.0.1:1/"}), Broken, "is not this service"),
        (Raw(502, b"<html>"), Unreachable, "proxy"),
        (Raw(504, b"<html>"), Unreachable, "proxy"),
        (Raw(200, b"<html>hello</html>"), Broken, "is not this service"),
        (answer({"label": "positive"}), Broken, "is not this service"),
        (answer([]), Broken, "is not this service"),
        (Raw(200, b"not gzip", {"content-encoding": "gzip"}), Broken, "is not this service"),
    ],
    ids=lambda value: f"{value.status} {value.content[:12]!r}" if isinstance(value, Raw) else "",
)
def test_an_answer_that_is_none_becomes_an_error_in_words(
    service: Service, client: Client, raw: Raw, kind: type[ServiceError], words: str
) -> None:
    service.answers = [raw]
    with pytest.raises(kind, match=words):
        client.predict("good")


def test_a_compressed_answer_is_read(service: Service, client: Client) -> None:
    service.answers = [Raw(200, gzip.compress(PREDICTED.content), {"content-encoding": "gzip"})]
    assert client.predict("good").value["label"] == "positive"


def test_a_rejection_has_the_errors_of_the_service(service: Service, client: Client) -> None:
    errors = {"loc": ["body", "texts", 3], "msg": "is blank", "type": "blank"}
    service.answers = [problem_of(422, "texts[3] is blank", (errors,))]
    with pytest.raises(Rejected) as caught:
        client.predict_batch(["good"])
    assert caught.value.errors[0]["loc"] == ["body", "texts", 3]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 30, None)],
)
def test_retry_after_is_read_as_seconds(
    service: Service, client: Client, value: str, seconds: float | None
) -> None:
    service.answers = [problem_of(503, "the queue is full", retry_after=value)]
    with pytest.raises(Overloaded) as caught:
        client.predict("good")
    assert caught.value.retry_after == seconds


def test_without_patience_a_busy_service_is_asked_once(service: Service, client: Client) -> None:
    service.answers = [BUSY]
    with pytest.raises(Overloaded):
        client.predict("good")
    assert len(service.asked) == 1


def test_with_patience_a_busy_service_is_asked_again(service: Service, made: Callable[..., Client]) -> None:
    service.answers = [BUSY, PREDICTED]
    assert made(service.url, patience_seconds=30).predict("good").value["label"] == "positive"


def test_patience_does_not_ask_again_what_was_rejected(service: Service, made: Callable[..., Client]) -> None:
    service.answers = [problem_of(422, "text is blank"), PREDICTED]
    with pytest.raises(Rejected):
        made(service.url, patience_seconds=30).predict("good")


def test_patience_ends(service: Service, made: Callable[..., Client]) -> None:
    service.answers = [BUSY]
    with pytest.raises(Overloaded):
        made(service.url, patience_seconds=0.01).predict("good")


def test_a_service_that_is_away_cannot_be_reached(made: Callable[..., Client]) -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        made("http://127.0.0.1:1").predict("good")


def test_an_answer_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, service: Service, client: Client
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 1000)
    service.answers = [Raw(200, b" " * 1001)]
    with pytest.raises(Broken, match="over 1000 bytes"):
        client.predict("good")


def test_many_threads_share_a_client(client: Client) -> None:
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(client.predict("good").value["label"])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["positive"] * 8


def test_a_very_long_detail_of_an_error_is_shortened(service: Service, client: Client) -> None:
    service.answers = [problem_of(422, "x" * 100_000)]
    with pytest.raises(Rejected) as caught:
        client.predict("good")
    assert len(str(caught.value)) < 1000
