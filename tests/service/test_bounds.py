"""Bounds on the bytes that all connections together hold, and on the number of connections."""

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator

import orjson
import pytest
import uvicorn
from wire import App, Connection, counted, head, wait_until

from serving.request.bounded import REFUSED_CONNECTIONS, REQUEST_BYTES, BoundedProtocol
from serving.request.budget import ByteBudget
from serving.request.head import Head
from serving.running import ConnectionContext

LIMIT = 1_000_000
BODY = 300_000


@pytest.fixture
def budget(change: Callable[..., ConnectionContext]) -> ByteBudget:
    return change(budget=ByteBudget(LIMIT)).budget


@pytest.fixture
def connect(port: int, budget: ByteBudget) -> Iterator[Callable[[], Connection]]:
    """Open connections. At the end, close them and wait until the budget holds nothing for them."""
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(Connection(port))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.stream.close()
        connection.socket.close()
    wait_until(lambda: budget.held == 0, "nothing is held for disconnected clients")


HALF_BODY = head("/predict", 2 * BODY) + b"x" * BODY
HALF_HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 60_000


def test_the_bytes_of_a_body_are_held_until_its_request_is_answered(
    held: App, connect: Callable[[], Connection], budget: ByteBudget
) -> None:
    connection = connect()
    connection.send(head("/hold", BODY), b"x" * BODY)
    assert held.held.wait(60)
    assert BODY + REQUEST_BYTES < budget.held < BODY + REQUEST_BYTES + 100
    held.go.set()
    assert connection.answer()[2] == b"/hold %d" % BODY
    wait_until(lambda: budget.held == 0, "nothing is held")


@pytest.mark.parametrize("sent", [HALF_BODY, HALF_HEAD], ids=["bodies", "heads"])
def test_requests_that_never_complete_are_refused_oldest_first_and_others_are_answered(
    connect: Callable[[], Connection], budget: ByteBudget, sent: bytes
) -> None:
    connections = [connect() for _ in range(2 * LIMIT // len(sent))]
    connections[0].send(sent)
    wait_until(lambda: budget.held > 0, "the bytes are counted")
    for connection in connections[1:]:
        connection.send(sent)
    status, headers, body = connections[0].answer()
    assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
    assert orjson.loads(body)["title"] == "Overloaded"
    assert connections[0].is_ended()
    other = connect()
    other.send(head("/predict", 3), b"abc")
    assert other.answer()[0] == 200
    connections[-1].socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connections[-1].answer()


def test_no_other_request_is_admitted_while_complete_requests_use_up_the_budget(
    held: App, connect: Callable[[], Connection], budget: ByteBudget
) -> None:
    large, small, other = connect(), connect(), connect()
    body = b"x" * (LIMIT - REQUEST_BYTES - 1000)
    large.send(head("/hold", len(body)), body)
    assert held.held.wait(60)
    small.send(head("/hold", 3), b"abc")
    wait_until(lambda: budget.held >= LIMIT, "the budget is spent")
    other.send(head("/predict", 3), b"abc")
    status, headers, answer = other.answer()
    assert (status, headers["retry-after"]) == (503, "1")
    assert orjson.loads(answer)["detail"] == (
        f"the service holds {budget.held} bytes of requests and answers; the limit is {LIMIT} bytes"
    )
    other.send(head("/livez", 0, method="GET"))
    assert other.answer()[0] == 200
    held.go.set()
    assert large.answer()[0] == small.answer()[0] == 200
    other.send(head("/predict", 3), b"abc")
    assert other.answer()[0] == 200


def test_an_unread_answer_is_held_and_a_read_one_is_not(
    connect: Callable[[], Connection], budget: ByteBudget
) -> None:
    budget.limit = 100 * LIMIT
    connection = connect()
    requests = [head("/echo", 900_000), b"x" * 900_000] * 20
    sender = threading.Thread(target=connection.send, args=requests)
    sender.start()
    wait_until(lambda: budget.held > 1_000_000, "an unread answer and the request after it are counted")
    for _ in range(20):
        assert len(connection.answer()[2]) == 900_000
    sender.join()
    wait_until(lambda: budget.held == 0, "nothing is held")


def test_pipelined_requests_that_wait_are_read_only_in_part(
    held: App, connect: Callable[[], Connection], budget: ByteBudget
) -> None:
    connection = connect()
    connection.send(head("/hold", 0))
    assert held.held.wait(60)
    connection.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.socket.send(head("/a", 0) * 1000)
    # The service stops reading after the first bytes that it gets, however many they are.
    wait_until(lambda: budget.held > REQUEST_BYTES + 1000, "requests wait")
    # One slice of requests is parsed; the rest of what was read waits as bytes.
    assert budget.held < 1.5 * LIMIT
    held.go.set()


# Connections


@pytest.fixture
def few_connections(
    change: Callable[..., ConnectionContext], server: uvicorn.Server, connect: Callable[[], Connection]
) -> list[Connection]:
    """The highest allowed number of connections; each has had an answer."""
    wait_until(lambda: not server.server_state.connections, "earlier connections are closed")
    change(max_connections=3)
    connections = [connect() for _ in range(3)]
    for connection in connections:
        connection.send(head("/livez", 0, method="GET"))
        assert connection.answer()[0] == 200
    return connections


def test_a_connection_above_the_limit_gets_503_and_is_closed_and_the_others_continue(
    app: App, few_connections: list[Connection], connect: Callable[[], Connection]
) -> None:
    before = counted(app.connections, "other", "5xx")
    excess = connect()
    excess.send(head("/predict", 3))
    status, headers, body = excess.answer()
    assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
    assert orjson.loads(body)["detail"] == "3 connections are open, and no more are allowed"
    assert excess.is_ended()
    assert counted(app.connections, "other", "5xx") == before + 1
    few_connections[0].send(head("/predict", 3), b"abc")
    assert few_connections[0].answer()[0] == 200


def test_when_a_connection_closes_another_one_is_accepted(
    few_connections: list[Connection], connect: Callable[[], Connection]
) -> None:
    few_connections[0].stream.close()
    few_connections[0].socket.close()

    def is_accepted() -> bool:
        connection = connect()
        connection.send(head("/livez", 0, method="GET"))
        return connection.answer()[0] == 200

    wait_until(is_accepted, "another connection is accepted")


def test_refused_clients_that_stay_connected_do_not_harm_others(
    few_connections: list[Connection], connect: Callable[[], Connection]
) -> None:
    connections = [connect() for _ in range(REFUSED_CONNECTIONS + 50)]
    first_lines = []
    for connection in connections:
        with contextlib.suppress(ConnectionError):
            first_lines.append(connection.stream.readline())
    assert {line for line in first_lines if line} == {b"HTTP/1.1 503 Service Unavailable\r\n"}
    few_connections[0].send(head("/predict", 3), b"abc")
    assert few_connections[0].answer()[0] == 200


def referenced_bytes(start: object) -> int:
    """The bytes of all byte strings that an object refers to, directly or through plain containers."""
    seen: set[int] = set()
    waiting, total = [start], 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, bytes | bytearray):
            total += len(each)
        elif isinstance(each, dict | list | tuple | Head | BoundedProtocol):
            waiting += gc.get_referents(each)
    return total


def test_a_connection_keeps_nothing_of_an_unfinished_head_that_was_refused(
    server: uvicorn.Server, connect: Callable[[], Connection]
) -> None:
    connection = connect()
    connection.send(
        b"GET /a HTTP/1.1\r\nhost: x\r\n", b"x-a: " + b"a" * 40_000 + b"\r\n", b"x-b: " + b"b" * 40_000
    )
    assert connection.answer()[0] == 431
    (protocol,) = server.server_state.connections
    assert referenced_bytes(protocol) < 10_000
