"""Clients that are slow, stall or disconnect: others are answered, and the server keeps nothing of them."""

import contextlib
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import orjson
import pytest
from test_load import metric

from classifier.pipeline import load_classifier
from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS

TEXTS = [
    f"{quality} film, the {number}th that I have seen."
    for number, quality in enumerate(["A good", "A bad"] * 10)
]
CLIENTS = 8
READERS = 3
IDLE = 10_000
DESCRIPTORS = IDLE + 1000
MEBIBYTE = 2**20
TIMEOUT_SECONDS = 60
"""The test fails after this time without an answer; it does not check how fast an answer comes."""

Client = Callable[[Any], list[socket.socket]]


def connect(server: Any) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(path: str, document: Any, *headers: str) -> bytes:
    body = orjson.dumps(document)
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *(headers or ["content-type: application/json"]), "", ""]).encode() + body


def long_batch(number: int) -> list[str]:
    """Texts whose answer has a megabyte and differs from that of every other number."""
    return [f"{number} {TEXTS[number]} ".ljust(MAX_TEXT_CHARS, "!")] * MAX_TEXTS


LONG_REQUESTS = [request("/predict/batch", {"texts": long_batch(number)}) for number in range(len(TEXTS))]
"""The answers are larger than the buffers between server and client."""


def read_answer(stream: Any) -> tuple[int, Any]:
    """Read one answer; return its status and its JSON."""
    status = int(stream.readline().split()[1])
    headers = dict(line.decode().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
    return status, orjson.loads(stream.read(int(headers["content-length"])))


def requests_in_progress(server: Any) -> float:
    return metric(server.url, "classifier_requests_in_progress")


def open_descriptors(server: Any) -> float:
    return metric(server.url, "process_open_fds")


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[int]:
    """Raise the limit of open files of this process and its servers as far as allowed; yield the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def server(serve: Any, tmp_path_factory: pytest.TempPathFactory, descriptors: int) -> Iterator[Any]:  # noqa: ARG001
    """A server whose limits of time are longer than any test: only clients end connections."""
    limits = {
        "CLASSIFIER__API__REQUEST_SECONDS": "600",
        "CLASSIFIER__BATCHING__DEADLINE_SECONDS": "600",
        "CLASSIFIER__BATCHING__MAX_WAITING_SECONDS": "600",
    }
    with serve(tmp_path_factory.mktemp("store"), **limits) as server:
        yield server


@pytest.fixture(scope="module")
def descriptors_at_rest(server: Any) -> float:
    """The server's open files while its only client is the one that asks for the metric."""
    return min(open_descriptors(server) for _ in range(20))


@pytest.fixture(scope="module")
def right(bundled: Path) -> Mapping[str, Mapping[str, float]]:
    """The right probabilities of each text."""
    predictions = load_classifier(bundled).predict(TEXTS)
    return {text: prediction.probabilities for text, prediction in zip(TEXTS, predictions, strict=True)}


@pytest.fixture
def others_are_answered(right: Mapping[str, Mapping[str, float]]) -> Callable[[Any], bool]:
    """A check that each text, asked on its own connection, gets the right answer."""

    def ask(server: Any, text: str) -> Mapping[str, float]:
        answer = httpx.post(f"{server.url}/predict", json={"text": text}, timeout=TIMEOUT_SECONDS)
        return answer.raise_for_status().json()["probabilities"]

    return lambda server: all(ask(server, text) == right[text] for text in TEXTS)


# Many clients of one kind


def sends(*parts: bytes) -> Client:
    """Clients that send these parts and then nothing."""

    def client(server: Any) -> list[socket.socket]:
        connections = [connect(server) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(b"".join(parts))
        return connections

    return client


def idle(server: Any) -> list[socket.socket]:
    """Clients that send nothing, as many as a server must be able to hold."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < DESCRIPTORS:
        pytest.skip(f"{IDLE} connections need {DESCRIPTORS} open files; the hard limit is {hard}")
    return [connect(server) for _ in range(IDLE)]


class SlowReader:
    """A client that sends one request after another and reads the answers only later."""

    def __init__(self, server: Any, requests: Sequence[bytes]) -> None:
        self.connection = connect(server)
        self.connection.setblocking(False)
        self._unsent = memoryview(b"".join(requests))

    def send(self) -> bool:
        """Send as much as the server accepts; return whether it accepted anything."""
        before = len(self._unsent)
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
        return len(self._unsent) < before

    def read(self) -> Any:
        """Return the stream of answers. A thread sends the rest of the requests meanwhile."""
        self.connection.settimeout(TIMEOUT_SECONDS)
        Thread(target=self.connection.sendall, args=[self._unsent], daemon=True).start()
        return self.connection.makefile("rb")


def is_stuck(server: Any, readers: Sequence[SlowReader]) -> bool:
    """Send more; return whether the server has a request of each reader that it cannot answer."""
    if any(reader.send() for reader in readers):
        return False
    # Clients take turns. When this request is answered, the earlier requests of the readers have run as well.
    httpx.post(f"{server.url}/predict/batch", json={"texts": long_batch(0)}, timeout=TIMEOUT_SECONDS)
    return requests_in_progress(server) == len(readers) and not any(reader.send() for reader in readers)


@pytest.fixture
def read_nothing(wait_until: Any) -> Client:
    """Clients that do not read their answers."""

    def client(server: Any) -> list[socket.socket]:
        readers = [SlowReader(server, LONG_REQUESTS) for _ in range(READERS)]
        wait_until(lambda: is_stuck(server, readers), "the server waits for each of the readers")
        return [reader.connection for reader in readers]

    return client


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"

CLIENTS_THAT_STALL = {
    "10,000 that send nothing": idle,
    "half a request line": sends(b"POST /pred"),
    "half a header": sends(HEAD, b"x-request-time"),
    "a declared body": sends(HEAD, b"content-length: 1000\r\n\r\n"),
    "half a body": sends(HEAD, b'content-length: 1000\r\n\r\n{"text": "goo'),
    "half a chunk": sends(HEAD, b'transfer-encoding: chunked\r\n\r\n10\r\n{"text": '),
    "half a body of classify": sends(
        HEAD.replace(b"/predict", b"/classify"), b"content-length: 1000\r\n\r\n{"
    ),
    "no answer is read": "read_nothing",
}


@pytest.fixture(params=CLIENTS_THAT_STALL.values(), ids=CLIENTS_THAT_STALL)
def stall(request: pytest.FixtureRequest) -> Client:
    return request.getfixturevalue(request.param) if isinstance(request.param, str) else request.param


def test_others_get_right_answers_while_clients_stall(
    server: Any, stall: Client, others_are_answered: Any
) -> None:
    connections = stall(server)
    try:
        assert others_are_answered(server)
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("leave", [close, reset])
def test_the_server_keeps_nothing_of_stalled_clients_after_they_disconnect(
    server: Any,
    descriptors_at_rest: float,
    wait_until: Any,
    stall: Client,
    leave: Callable[[socket.socket], None],
) -> None:
    def is_at_rest() -> bool:
        return requests_in_progress(server) == 0 and open_descriptors(server) <= descriptors_at_rest

    wait_until(is_at_rest, "the earlier clients are disconnected")
    connections = stall(server)
    connected_count = descriptors_at_rest + len(connections)
    wait_until(lambda: open_descriptors(server) >= connected_count, "the clients are connected")
    for connection in connections:
        leave(connection)
    wait_until(is_at_rest, "their requests have ended and their connections are closed")


# Slow clients that complete their requests


def test_a_request_that_arrives_byte_by_byte_and_requests_between_its_bytes_get_right_answers(
    server: Any, right: Any
) -> None:
    slow_text, *texts = TEXTS
    with connect(server) as connection, httpx.Client(base_url=server.url, timeout=TIMEOUT_SECONDS) as http:
        for number, byte in enumerate(request("/predict", {"text": slow_text})):
            connection.sendall(bytes([byte]))
            text = texts[number % len(texts)]
            assert http.post("/predict", json={"text": text}).json()["probabilities"] == right[text]
        status, answer = read_answer(connection.makefile("rb"))
    assert (status, answer["probabilities"]) == (200, right[slow_text])


def test_a_client_that_reads_its_answers_late_gets_all_of_them_in_order(server: Any, wait_until: Any) -> None:
    reader = SlowReader(server, LONG_REQUESTS)
    with reader.connection:
        wait_until(lambda: is_stuck(server, [reader]), "the server waits for the reader")
        stream = reader.read()
        for number in range(len(LONG_REQUESTS)):
            status, answer = read_answer(stream)
            assert status == 200
            assert [item["text"] for item in answer["predictions"]] == long_batch(number)


def test_requests_sent_in_one_write_get_right_answers_in_order(server: Any, right: Any) -> None:
    with connect(server) as connection:
        connection.sendall(b"".join(request("/predict", {"text": text}) for text in TEXTS))
        stream = connection.makefile("rb")
        answers = [read_answer(stream)[1] for _ in TEXTS]
    assert [(answer["text"], answer["probabilities"]) for answer in answers] == list(right.items())


def test_a_client_that_expects_100_continue_gets_it_and_then_its_answer(server: Any, right: Any) -> None:
    head, separator, body = request(
        "/predict", {"text": TEXTS[0]}, "content-type: application/json", "expect: 100-continue"
    ).partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head + separator)
        stream = connection.makefile("rb")
        assert [stream.readline(), stream.readline()] == [b"HTTP/1.1 100 Continue\r\n", b"\r\n"]
        connection.sendall(body)
        status, answer = read_answer(stream)
    assert (status, answer["probabilities"]) == (200, right[TEXTS[0]])


def test_a_client_that_expects_100_continue_for_a_too_large_body_is_refused_immediately(server: Any) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"content-length: 100000000\r\nexpect: 100-continue\r\n\r\n")
        status, _ = read_answer(connection.makefile("rb"))
    assert status == 413


# Clients that send without end


def send_until_cut_off(connection: socket.socket, first: bytes, again: bytes, limit: int) -> None:
    """Send this many bytes, or stop when the server answers or closes the connection."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(first)
        for _ in range(limit // len(again)):
            connection.sendall(again)
            if select.select([connection], [], [], 0)[0]:
                return


ENDLESS = {
    "request line": (b"GET /", b"a" * 2**16),
    "header": (b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ", b"a" * 2**16),
    "headers": (b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"x-a: a\r\n" * 2**13),
    "trailers": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x-a: a\r\n" * 2**13),
}


@pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
def test_others_get_right_answers_after_a_header_block_of_megabytes(
    server: Any, first: bytes, again: bytes, others_are_answered: Any
) -> None:
    with connect(server) as connection:
        send_until_cut_off(connection, first, again, 8 * MEBIBYTE)
        assert others_are_answered(server)


@pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
def test_an_endless_header_block_is_cut_off(server: Any, first: bytes, again: bytes) -> None:
    limit = 8 * MEBIBYTE
    with connect(server) as connection:
        connection.sendall(first)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < limit:
                connection.sendall(again)
                sent += len(again)
                if select.select([connection], [], [], 0)[0]:
                    answer = connection.recv(4096)
                    assert answer.startswith(b"HTTP/1.1 431 ") or not answer
                    break
    assert sent < limit


@pytest.mark.parametrize("path", ["/predict", "/nowhere"])
def test_a_request_whose_body_is_not_http_is_answered_and_counted_once(server: Any, path: str) -> None:
    def count() -> float:
        return sum(
            metric(server.url, f'classifier_requests_total{{route="{route}",status_class="{status}"}}')
            for route in ("/predict", "other")
            for status in ("2xx", "3xx", "4xx", "5xx")
        )

    before = count()
    with connect(server) as connection, connection.makefile("rb") as stream:
        head = request(path, {}).partition(b"content-length")[0]
        connection.sendall(head + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"2\r\n{}\r\nno chunk\r\n")
        assert read_answer(stream)[0] in {400, 404}
        assert not stream.read()
    assert count() == before + 1


# A server with short timeouts, and clients that make it wait


@pytest.fixture(scope="module")
def server_with_short_timeouts(
    serve: Any,
    tmp_path_factory: pytest.TempPathFactory,
    descriptors: int,  # noqa: ARG001
) -> Iterator[Any]:
    settings = {"CLASSIFIER__API__REQUEST_SECONDS": "1", "CLASSIFIER__API__KEEP_ALIVE_SECONDS": "2"}
    with serve(tmp_path_factory.mktemp("store"), **settings) as server:
        yield server


UNSENT = {"nothing": b"", "half a request line": b"POST /pred", "half the headers": HEAD}


@pytest.mark.parametrize("before", [0, 1], ids=["first request", "second request"])
@pytest.mark.parametrize("part", UNSENT.values(), ids=UNSENT)
def test_an_incomplete_request_ends_the_connection_after_the_configured_time(
    server_with_short_timeouts: Any, part: bytes, before: int
) -> None:
    with connect(server_with_short_timeouts) as connection:
        stream = connection.makefile("rb")
        for _ in range(before):
            connection.sendall(request("/predict", {"text": TEXTS[0]}))
            assert read_answer(stream)[0] == 200
        connection.sendall(part)
        assert stream.read() == b""


def test_a_client_that_keeps_sending_requests_is_not_treated_as_stalled(
    server_with_short_timeouts: Any,
) -> None:
    with connect(server_with_short_timeouts) as connection:
        stream = connection.makefile("rb")
        for _ in range(6):
            for part in (HEAD, b"content-length: 16\r\n\r\n", b'{"text": "Good"}'):
                connection.sendall(part)
                time.sleep(0.25)
            assert read_answer(stream)[0] == 200


def test_a_client_that_never_reads_is_disconnected_without_an_error_in_the_log(
    server_with_short_timeouts: Any,
) -> None:
    with connect(server_with_short_timeouts) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"".join(LONG_REQUESTS * 3))
    assert "Traceback" not in server_with_short_timeouts.log
