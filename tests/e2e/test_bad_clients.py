"""Clients that dawdle, stall or vanish: the others are served, and nothing of them is left."""

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
IDLE = 10_000
DESCRIPTORS = IDLE + 1000
MEBIBYTE = 2**20
PATIENCE_SECONDS = 60
"""How long an answer is waited for before the test fails; nothing is asserted of how soon it comes."""

Client = Callable[[Any], list[socket.socket]]


def connect(server: Any) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(path: str, document: Any, *headers: str) -> bytes:
    body = orjson.dumps(document)
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *(headers or ["content-type: application/json"]), "", ""]).encode() + body


def long_batch(number: int) -> list[str]:
    """Texts whose answer has a megabyte, and is no other number's."""
    return [f"{number} {TEXTS[number]} ".ljust(MAX_TEXT_CHARS, "!")] * MAX_TEXTS


LONG_REQUESTS = [request("/predict/batch", {"texts": long_batch(number)}) for number in range(len(TEXTS))]
"""More than the buffers between a server and a client hold."""


def read_answer(stream: Any) -> tuple[int, Any]:
    """Read one answer: its status, and its JSON."""
    status = int(stream.readline().split()[1])
    headers = dict(line.decode().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
    return status, orjson.loads(stream.read(int(headers["content-length"])))


def requests_in_progress(server: Any) -> float:
    """Without the one that asks for the metric."""
    return metric(server.url, "classifier_requests_in_progress") - 1


def open_descriptors(server: Any) -> float:
    return metric(server.url, "process_open_fds")


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[int]:
    """As many open files as this process and its servers may have; returns how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def server(serve: Any, tmp_path_factory: pytest.TempPathFactory, descriptors: int) -> Iterator[Any]:  # noqa: ARG001
    """A server that waits longer than any test, so that whatever ends, ends by the client."""
    with serve(tmp_path_factory.mktemp("store"), CLASSIFIER__API__REQUEST_SECONDS="600") as server:
        yield server


@pytest.fixture(scope="module")
def descriptors_at_rest(server: Any) -> float:
    """What the server has open while nobody is there but who asks for it."""
    return min(open_descriptors(server) for _ in range(20))


@pytest.fixture(scope="module")
def right(bundled: Path) -> Mapping[str, Mapping[str, float]]:
    """The probabilities of each of the texts."""
    predictions = load_classifier(bundled).predict(TEXTS)
    return {text: prediction.probabilities for text, prediction in zip(TEXTS, predictions, strict=True)}


@pytest.fixture
def others_are_answered(right: Mapping[str, Mapping[str, float]]) -> Callable[[Any], bool]:
    """Ask for each of the texts on a connection of its own."""

    def ask(server: Any, text: str) -> Mapping[str, float]:
        answer = httpx.post(f"{server.url}/predict", json={"text": text}, timeout=PATIENCE_SECONDS)
        return answer.raise_for_status().json()["probabilities"]

    return lambda server: all(ask(server, text) == right[text] for text in TEXTS)


# Clients of whom there are many


def sends(*parts: bytes) -> Client:
    """Clients that send this and then nothing."""

    def client(server: Any) -> list[socket.socket]:
        connections = [connect(server) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(b"".join(parts))
        return connections

    return client


def idle(server: Any) -> list[socket.socket]:
    """Clients that send nothing, as many as a server has to bear."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < DESCRIPTORS:
        pytest.skip(f"{IDLE} connections need {DESCRIPTORS} open files; the hard limit is {hard}")
    return [connect(server) for _ in range(IDLE)]


class SlowReader:
    """A client that sends one request after the other and reads no answer, until it does so at last."""

    def __init__(self, server: Any, requests: Sequence[bytes]) -> None:
        self.connection = connect(server)
        self.connection.setblocking(False)
        self._unsent = memoryview(b"".join(requests))

    def send(self) -> bool:
        """Send as much as is taken; returns whether anything was."""
        before = len(self._unsent)
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
        return len(self._unsent) < before

    def read(self) -> Any:
        """The stream of answers; what has not been sent is sent meanwhile."""
        self.connection.settimeout(PATIENCE_SECONDS)
        Thread(target=self.connection.sendall, args=[self._unsent], daemon=True).start()
        return self.connection.makefile("rb")


def is_stuck(server: Any, readers: Sequence[SlowReader]) -> bool:
    """Send on; returns whether the server has a request of each reader that it cannot answer."""
    if any(reader.send() for reader in readers):
        return False
    # Callers take turns: when this is answered, what the readers had under way has been run as well.
    httpx.post(f"{server.url}/predict/batch", json={"texts": long_batch(0)}, timeout=PATIENCE_SECONDS)
    return requests_in_progress(server) == len(readers) and not any(reader.send() for reader in readers)


@pytest.fixture
def read_nothing(wait_until: Any) -> Client:
    """Clients that read no answer."""

    def client(server: Any) -> list[socket.socket]:
        readers = [SlowReader(server, LONG_REQUESTS) for _ in range(CLIENTS)]
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
    "a body announced": sends(HEAD, b"content-length: 1000\r\n\r\n"),
    "half a body": sends(HEAD, b'content-length: 1000\r\n\r\n{"text": "goo'),
    "half a chunk": sends(HEAD, b'transfer-encoding: chunked\r\n\r\n10\r\n{"text": '),
    "half a body of classify": sends(
        HEAD.replace(b"/predict", b"/classify"), b"content-length: 1000\r\n\r\n{"
    ),
    "no answer read": "read_nothing",
}


@pytest.fixture(params=CLIENTS_THAT_STALL.values(), ids=CLIENTS_THAT_STALL)
def stall(request: pytest.FixtureRequest) -> Client:
    return request.getfixturevalue(request.param) if isinstance(request.param, str) else request.param


def test_others_are_answered_rightly_while_such_clients_stall(
    server: Any, stall: Client, others_are_answered: Any
) -> None:
    connections = stall(server)
    try:
        assert others_are_answered(server)
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("leave", [close, reset])
def test_nothing_is_left_of_such_clients_once_they_are_gone(
    server: Any,
    descriptors_at_rest: float,
    wait_until: Any,
    stall: Client,
    leave: Callable[[socket.socket], None],
) -> None:
    def is_at_rest() -> bool:
        return requests_in_progress(server) == 0 and open_descriptors(server) <= descriptors_at_rest

    wait_until(is_at_rest, "the clients before are gone")
    connections = stall(server)
    there = descriptors_at_rest + len(connections)
    wait_until(lambda: open_descriptors(server) >= there, "the clients are there")
    for connection in connections:
        leave(connection)
    wait_until(is_at_rest, "their requests have ended and their connections are closed")


# Clients that dawdle, but come to an end


def test_a_request_that_comes_a_byte_at_a_time_is_answered_rightly_and_the_others_between_its_bytes(
    server: Any, right: Any
) -> None:
    slow_text, *texts = TEXTS
    with connect(server) as connection, httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
        for number, byte in enumerate(request("/predict", {"text": slow_text})):
            connection.sendall(bytes([byte]))
            text = texts[number % len(texts)]
            assert http.post("/predict", json={"text": text}).json()["probabilities"] == right[text]
        status, answer = read_answer(connection.makefile("rb"))
    assert (status, answer["probabilities"]) == (200, right[slow_text])


def test_a_client_that_reads_late_gets_every_answer_in_order(server: Any, wait_until: Any) -> None:
    reader = SlowReader(server, LONG_REQUESTS)
    with reader.connection:
        wait_until(lambda: is_stuck(server, [reader]), "the server waits for the reader")
        stream = reader.read()
        for number in range(len(LONG_REQUESTS)):
            status, answer = read_answer(stream)
            assert status == 200
            assert [item["text"] for item in answer["predictions"]] == long_batch(number)


def test_requests_sent_in_one_write_are_answered_rightly_and_in_order(server: Any, right: Any) -> None:
    with connect(server) as connection:
        connection.sendall(b"".join(request("/predict", {"text": text}) for text in TEXTS))
        stream = connection.makefile("rb")
        answers = [read_answer(stream)[1] for _ in TEXTS]
    assert [(answer["text"], answer["probabilities"]) for answer in answers] == list(right.items())


def test_a_client_that_expects_100_continue_is_told_to_and_then_answered(server: Any, right: Any) -> None:
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


def test_a_client_that_expects_100_continue_for_too_large_a_body_is_refused_at_once(server: Any) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"content-length: 100000000\r\nexpect: 100-continue\r\n\r\n")
        status, _ = read_answer(connection.makefile("rb"))
    assert status == 413


# Clients that send without end


def send_until_cut_off(connection: socket.socket, first: bytes, again: bytes, most: int) -> None:
    """Send so many bytes, unless the server answers or closes before."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(first)
        for _ in range(most // len(again)):
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
def test_others_are_answered_rightly_after_a_header_block_of_megabytes(
    server: Any, first: bytes, again: bytes, others_are_answered: Any
) -> None:
    with connect(server) as connection:
        send_until_cut_off(connection, first, again, 8 * MEBIBYTE)
        assert others_are_answered(server)


@pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
def test_a_header_block_without_end_is_cut_off(server: Any, first: bytes, again: bytes) -> None:
    most = 8 * MEBIBYTE
    with connect(server) as connection:
        connection.sendall(first)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < most:
                connection.sendall(again)
                sent += len(again)
                if select.select([connection], [], [], 0)[0]:
                    answer = connection.recv(4096)
                    assert answer.startswith(b"HTTP/1.1 431 ") or not answer
                    break
    assert sent < most


@pytest.mark.parametrize("path", ["/predict", "/nowhere"])
def test_a_request_whose_body_is_no_http_is_answered_and_counted_once(server: Any, path: str) -> None:
    def count() -> float:
        return sum(
            metric(server.url, f'classifier_requests_total{{route="{route}",status="{status}"}}')
            for route in ("/predict", "other")
            for status in (0, 200, 400, 404, 500)
        )

    before = count()
    with connect(server) as connection, connection.makefile("rb") as stream:
        head = request(path, {}).partition(b"content-length")[0]
        connection.sendall(head + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"2\r\n{}\r\nno chunk\r\n")
        assert read_answer(stream)[0] in {400, 404}
        assert not stream.read()
    assert count() == before + 1


# Clients that keep the service waiting; here it does not wait as long as they like


@pytest.fixture(scope="module")
def impatient_server(
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
def test_a_request_that_does_not_come_is_waited_for_no_longer_than_the_setting_says(
    impatient_server: Any, part: bytes, before: int
) -> None:
    with connect(impatient_server) as connection:
        stream = connection.makefile("rb")
        for _ in range(before):
            connection.sendall(request("/predict", {"text": TEXTS[0]}))
            assert read_answer(stream)[0] == 200
        connection.sendall(part)
        assert stream.read() == b""


def test_a_client_that_asks_again_and_again_is_not_taken_for_one_that_stalls(impatient_server: Any) -> None:
    with connect(impatient_server) as connection:
        stream = connection.makefile("rb")
        for _ in range(6):
            for part in (HEAD, b"content-length: 16\r\n\r\n", b'{"text": "Good"}'):
                connection.sendall(part)
                time.sleep(0.25)
            assert read_answer(stream)[0] == 200


def test_a_client_that_never_reads_is_let_go_and_is_no_fault_of_the_service(impatient_server: Any) -> None:
    with connect(impatient_server) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"".join(LONG_REQUESTS * 3))
    assert "Traceback" not in impatient_server.log
