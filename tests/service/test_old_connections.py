"""An old connection ends with its next answer, so that its client connects again, perhaps to another pod."""

import time
from collections.abc import Callable

from wire import Connection, admission, head

from classifier.batching.admission import Stage
from serving.running import ConnectionContext

SECONDS = 0.4


def test_an_old_connection_ends_with_its_next_answer(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_seconds=SECONDS)
    connection = Connection(port)
    connection.send(head("/first", 0))
    assert "connection" not in connection.answer()[1]
    time.sleep(SECONDS)
    connection.send(head("/second", 0))
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/second 0")
    assert connection.is_ended()


def test_a_request_that_is_answered_when_the_time_is_over_does_not_lose_its_answer(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_seconds=SECONDS)
    connection = Connection(port)
    connection.send(head("/echo", 4), b"ab")
    time.sleep(SECONDS)
    connection.send(b"cd")
    assert connection.answer()[2] == b"abcd"


def test_a_refusal_ends_an_old_connection_as_well(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_seconds=SECONDS, admission=admission(Stage.CLOSED))
    connection = Connection(port)
    time.sleep(SECONDS)
    connection.send(head("/predict", 2), b"{}")
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (503, "close")


def test_connections_of_the_same_age_do_not_end_together(change: Callable[..., ConnectionContext]) -> None:
    context = change(max_connection_seconds=10.0)
    ages = sorted(context.connection_age() for _ in range(1000))
    assert 5 <= ages[0] < 5.1
    assert 9.9 < ages[-1] <= 10
    assert 7 < ages[500] < 8


def test_without_the_setting_a_connection_is_kept(change: Callable[..., ConnectionContext]) -> None:
    assert change().connection_age() == float("inf")
