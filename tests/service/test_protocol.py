"""The service's protocol: which requests it refuses before they are read, and when the connection ends."""

import re
import socket
import threading
import time
from collections.abc import Callable

import httptools
import httpx
import orjson
import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording import recorder
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from wire import App, Connection, counted, head, wait_until, wait_until_reset

from classifier.batching.admission import Admission, Stage
from classifier.settings import LoggingSettings
from serving.request.head import MAX_HEAD_BYTES
from serving.request.plain import PLAIN_REQUEST
from serving.request.protocol import make_protocol
from serving.running import ConnectionContext

Change = Callable[..., ConnectionContext]


@pytest.mark.usefixtures("full")
def test_a_full_queue_refuses_a_request_before_its_body_arrives(
    connection: Connection,
) -> None:
    connection.send(head("/predict", 1000))
    status, headers, body = connection.answer()
    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["retry-after"]) >= 1
    document = orjson.loads(body)
    assert (document["title"], document["status"]) == ("Overloaded", 503)


def test_the_body_of_a_refused_request_is_skipped_and_the_connection_continues(
    connection: Connection, full: Admission
) -> None:
    for _ in range(3):
        connection.send(head("/predict", 1_000_000), b"GET /livez HTTP/1.1\r\n\r\n".ljust(1_000_000, b"x"))
        assert connection.answer()[0] == 503
    full.load.texts = 0
    connection.send(head("/predict", 3), b"abc")
    assert connection.answer()[::2] == (200, b"/predict 3")


@pytest.mark.usefixtures("full")
def test_pipelined_requests_are_refused_one_by_one(connection: Connection) -> None:
    connection.send(*[head("/predict", 3), b"abc"] * 5, head("/livez", 0, method="GET"))
    assert [connection.answer()[0] for _ in range(6)] == [503] * 5 + [200]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict"), ("POST", "/predict/none"), ("GET", "/readyz"), ("POST", "/")]
)
@pytest.mark.usefixtures("full")
def test_a_request_that_is_not_for_the_model_is_answered_while_the_queue_is_full(
    connection: Connection, method: str, path: str
) -> None:
    connection.send(head(path, 0, method=method))
    assert connection.answer()[0] == 200


@pytest.mark.usefixtures("full")
@pytest.mark.usefixtures("closed")
def test_while_the_level_is_debug_each_refusal_has_a_line(port: int, change: Change) -> None:
    change(recorder=recorder(LoggingSettings(level="DEBUG")))
    connection = Connection(port)
    with capture_logs() as log, connection.socket, connection.stream:
        connection.send(head("/predict", 0, "x-request-id: a-1"))
        assert connection.answer()[0] == 503
    shown = {name: log[0][name] for name in ("event", "method", "path", "route", "status", "request_id")}
    assert shown == {
        "event": "request",
        "method": "POST",
        "path": "/predict",
        "route": "/predict",
        "status": 503,
        "request_id": "a-1",
    }


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("lines", [("x-request-id: a-1",), ("X-Request-Id:a-1", "connection: close")])
def test_a_refusal_repeats_the_id_of_its_request(port: int, lines: tuple[str, ...]) -> None:
    connection = Connection(port)
    with connection.socket, connection.stream:
        connection.send(head("/predict", 0, *lines))
        assert connection.answer()[1]["x-request-id"] == "a-1"


@pytest.mark.usefixtures("full")
def test_a_refusal_without_an_id_of_the_client_gets_one(connection: Connection) -> None:
    ids = set()
    for _ in range(3):
        connection.send(head("/predict", 0, "x-request-id: not well-formed"))
        ids.add(connection.answer()[1]["x-request-id"])
    assert len(ids) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_endless_headers_get_a_problem_and_end_the_connection(connection: Connection) -> None:
    connection.send(b"GET /livez HTTP/1.1\r\nx-a: ", b"a" * MAX_HEAD_BYTES)
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (431, "close")
    assert headers["content-type"] == "application/problem+json"
    assert orjson.loads(body) == {
        "type": "about:blank",
        "title": "Headers too large",
        "status": 431,
        "detail": f"the headers have more than {MAX_HEAD_BYTES} bytes",
    }
    assert connection.is_ended()


@pytest.mark.parametrize(
    ("begin", "route"),
    [
        (b"GET /livez HTTP/1.1\r\nx-a: ", "/livez"),
        (b"POST /predict/top-k?k=3 HTTP/1.1\r\nx-a: ", "/predict/top-k"),
        (b"GET /livez?a=", "/livez"),
        (b"GET /livez/", "other"),
    ],
)
def test_endless_headers_are_counted_by_their_route(
    connection: Connection, app: App, begin: bytes, route: str
) -> None:
    before = counted(app.connections, route, "4xx")
    connection.send(begin, b"a" * MAX_HEAD_BYTES)
    assert connection.answer()[0] == 431
    assert connection.is_ended()
    assert counted(app.connections, route, "4xx") == before + 1


def test_endless_headers_are_in_the_access_log_if_it_is_on(port: int, change: Change) -> None:
    change(recorder=recorder(LoggingSettings(access_share=1)))
    connection = Connection(port)
    with capture_logs() as log, connection.socket, connection.stream:
        connection.send(b"GET /health/x HTTP/1.1\r\nx-a: ", b"a" * MAX_HEAD_BYTES)
        assert connection.answer()[0] == 431
        assert connection.is_ended()
    (line,) = log
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/x", 431)


CHUNKED = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
NOT_A_CHUNK = b"no chunk\r\n"
NOT_HTTP = {
    "line": (b"no HTTP at all\r\n\r\n", "other"),
    "long line": (b"no HTTP at all" + b"l" * 2 * MAX_HEAD_BYTES, "other"),
    "target": (b"GET http://a HTTP/1.1\r\n\r\n", "other"),
    "version": (b"GET /livez HTTP/9.9\r\n\r\n", "/livez"),
    "header": (b"GET /livez HTTP/1.1\r\nno header\r\n\r\n", "/livez"),
}


@pytest.mark.parametrize(("sent", "route"), NOT_HTTP.values(), ids=NOT_HTTP)
def test_a_request_that_is_not_http_gets_a_problem_and_ends_the_connection(
    connection: Connection, app: App, sent: bytes, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted(app.connections, route, "4xx")
    connection.send(sent)
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert headers["content-type"] == "application/problem+json"
    assert orjson.loads(body)["title"] == "Malformed request"
    assert connection.is_ended()
    assert counted(app.connections, route, "4xx") == before + 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("expect", ["x-a: b", "expect: 100-continue"])
def test_a_body_that_is_not_http_gets_a_problem_and_ends_the_connection(
    connection: Connection, expect: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection.send(CHUNKED.replace(b"host: x", expect.encode()), b"3\r\nabc\r\n", NOT_A_CHUNK)
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert orjson.loads(body)["title"] == "Malformed request"
    assert connection.is_ended()
    assert "RuntimeError" not in caplog.text  # of a "100 Continue" after the answer


@pytest.mark.usefixtures("full")
def test_a_refused_request_whose_body_is_not_http_gets_only_one_answer(connection: Connection) -> None:
    connection.send(CHUNKED)
    assert connection.answer()[0] == 503
    connection.send(NOT_A_CHUNK)
    assert connection.is_ended()


LAST = {name: sent for name, (sent, _) in NOT_HTTP.items()} | {"chunk": CHUNKED + NOT_A_CHUNK}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
def test_a_request_that_is_not_http_ends_the_connection_after_the_answers_that_are_due(
    held: App, connection: Connection, last: bytes
) -> None:
    connection.send(head("/hold", 0), head("/second", 3), b"abc", last)
    assert held.held.wait(60)
    held.go.set()
    assert connection.answer()[2] == b"/hold 0"
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/second 3")
    assert connection.is_ended()


@pytest.mark.parametrize(
    "sent", [NOT_HTTP["line"][0], CHUNKED + NOT_A_CHUNK, head("/second", 0) + b"no HTTP\r\n"]
)
def test_a_client_that_did_not_send_http_and_keeps_its_connection_is_disconnected(
    port: int, sent: bytes, change: Change
) -> None:
    change(request_seconds=0.2)
    connection = Connection(port)
    with connection.socket, connection.stream:
        connection.send(sent)
        connection.answer()
        assert connection.is_ended()
        wait_until_reset(connection)


@pytest.mark.usefixtures("full")
def test_a_request_with_a_query_is_refused_too(connection: Connection) -> None:
    connection.send(head("/predict/top-k?k=3", 0))
    assert connection.answer()[0] == 503


@pytest.mark.usefixtures("full")
def test_a_pipelined_request_does_not_get_the_answer_of_the_request_before_it(
    held: App, connection: Connection
) -> None:
    connection.send(head("/hold", 0), head("/predict", 3), b"abc")
    assert held.held.wait(60)
    held.go.set()
    assert connection.answer()[2] == b"/hold 0"
    assert connection.answer()[2] == b"/predict 3"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.usefixtures("full")
def test_a_refusal_ends_the_connection_if_the_client_asks_for_it(
    connection: Connection, version: str
) -> None:
    connection.send(head("/predict", 0, "connection: close", version=version))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert connection.is_ended()


@pytest.mark.usefixtures("full")
def test_a_client_that_is_still_sending_gets_its_refusal_before_the_connection_ends(port: int) -> None:
    for _ in range(20):
        connection = Connection(port)
        with connection.socket, connection.stream:
            connection.send(head("/predict", 4_000_000, "connection: close"), b"x" * 4_000_000)
            assert connection.answer()[0] == 503
            assert connection.is_ended()


def test_a_client_that_is_still_sending_gets_the_answer_of_an_app_that_does_not_read_its_body(
    port: int,
) -> None:
    for _ in range(20):
        connection = Connection(port)
        with connection.socket, connection.stream:
            connection.send(head("/unread", 4_000_000, "connection: close"), b"x" * 4_000_000)
            assert connection.answer()[2] == b"/unread"
            assert connection.is_ended()


@pytest.mark.usefixtures("closed")
def test_a_draining_service_answers_no_request_after_its_last_answer(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.send(head("/predict", 0) * 3, b"no HTTP at all\r\n\r\n")
    assert connection.answer()[0] == 503
    assert connection.is_ended()
    assert "Traceback" not in caplog.text


@pytest.mark.usefixtures("full")
def test_a_refusal_before_the_body_keeps_the_connection_as_long_as_an_answer_does(
    port: int, change: Change
) -> None:
    change(keep_alive_seconds=1.0)
    change(request_seconds=60.0)
    connection = Connection(port)
    with connection.socket, connection.stream:
        connection.send(head("/predict", 3))
        assert connection.answer()[0] == 503
        connection.send(b"abc")
        assert connection.is_ended()


def test_a_service_that_is_leaving_also_ends_the_connection_with_a_refusal(
    connection: Connection, full: Admission
) -> None:
    full.stage = Stage.LEAVING
    connection.send(head("/predict", 3), b"abc")
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert connection.is_ended()


@pytest.mark.usefixtures("closed")
def test_a_draining_service_ends_the_connection_with_its_refusal(connection: Connection) -> None:
    connection.send(head("/predict", 0))
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert orjson.loads(body)["title"] == "Shutting down"
    assert connection.is_ended()


@pytest.mark.usefixtures("full")
def test_a_refusal_keeps_the_connection_as_long_as_an_answer_does(port: int, change: Change) -> None:
    change(keep_alive_seconds=1.0)
    connection = Connection(port)
    with connection.socket, connection.stream:
        for _ in range(6):
            connection.send(head("/predict", 3), b"abc")
            assert connection.answer()[0] == 503
            time.sleep(0.4)
        assert connection.is_ended()


class ParsedRequest:
    """The events that httptools reports for one request."""

    def __init__(self, content: bytes) -> None:
        self.is_complete = self.has_begun_another = False
        self.url = self.body = b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(content)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_begin(self) -> None:
        self.has_begun_another = self.is_complete

    def on_message_complete(self) -> None:
        self.is_complete = True


NAMES = st.sampled_from(
    [
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Upgrade",
        "X-A",
        "Host",
    ]
)
VALUES = st.sampled_from(
    [
        "0",
        "3",
        "03",
        "+3",
        "3, 3",
        "3 ",
        " 3",
        "",
        "chunked",
        "close",
        "keep-alive",
        "Keep-Alive",
        "websocket",
    ]
) | st.text(max_size=5)
SEPARATORS = st.sampled_from([": ", ":", " : ", ":\t", ""])
LINE_ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "])
LINES = st.lists(st.builds("".join, st.tuples(NAMES, SEPARATORS, VALUES, LINE_ENDS)), max_size=4)
FIRST_LINES = st.sampled_from(
    [
        "POST /predict HTTP/1.1\r\n",
        "POST /predict HTTP/1.0\r\n",
        "POST /predict HTTP/1.1\n",
        "GET / HTTP/1.1\r\n",
    ]
)


@settings(max_examples=1000)
@given(FIRST_LINES, LINES, st.booleans(), LINES)
@example("POST /predict HTTP/1.1\r\n", ["Host: x\r\n"], True, ["Connection: keep-alive\r\n"])
def test_the_parser_agrees_where_an_unparsed_refused_request_ends(
    first: str, before: list[str], has_length: bool, after: list[str]
) -> None:
    length = ["Content-Length: 3\r\n"] if has_length else []
    content = "".join([first, *before, *length, *after, "\r\n"]).encode("utf-8") + b"abc"
    plain = PLAIN_REQUEST.match(content)
    if plain is not None and plain.end() + int(plain["length"]) == len(content):
        parsed = ParsedRequest(content)
        assert (parsed.url, parsed.body) == (plain["path"], content[plain.end() :])
        assert parsed.is_complete
        assert not parsed.has_begun_another
        assert parsed.parser.should_keep_alive()


def test_requests_of_common_clients_are_refused_unparsed() -> None:
    for client in (httpx.Client, httpx.AsyncClient):
        sent = client().build_request("POST", "http://x/predict", json={"text": "a"})
        lines = b"".join(b"%s: %s\r\n" % header for header in sent.headers.raw)
        assert PLAIN_REQUEST.fullmatch(b"POST /predict HTTP/1.1\r\n%s\r\n" % lines)


@pytest.mark.usefixtures("full")
def test_a_client_that_does_not_read_its_refusals_is_finally_disconnected(port: int, change: Change) -> None:
    change(request_seconds=1.0)
    connection = Connection(port)
    with connection.socket, connection.stream, pytest.raises(ConnectionError):
        connection.send(head("/predict", 0) * 1_000_000)


async def another_service(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that shares nothing with its connections."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    else:
        await PlainTextResponse("another service")(scope, receive, send)


def test_a_server_of_another_service_in_this_process_keeps_the_protocol_of_uvicorn() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(another_service, http=make_protocol, lifespan="on", log_config=None)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        wait_until(lambda: server.started, "the server listens")
        connection = Connection(listener.getsockname()[1])
        with connection.socket, connection.stream:
            connection.send(head("/predict", 0))
            assert connection.answer()[2] == b"another service"
        server.should_exit = True
        thread.join()
