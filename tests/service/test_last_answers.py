"""A connection ends after a number of requests, so that its client connects again, perhaps to another pod."""

from collections.abc import Callable

from wire import Connection, admission, head

from classifier.batching.admission import Stage
from serving.running import ConnectionContext


def test_a_connection_ends_with_the_answer_to_its_last_request(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_requests=1)
    connection = Connection(port)
    connection.send(head("/only", 0))
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/only 0")
    assert connection.is_ended()


def test_a_connection_has_at_least_half_and_at_most_all_of_its_requests(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_requests=10)
    answered = []
    for _ in range(50):
        connection, is_kept, count = Connection(port), True, 0
        while is_kept:
            connection.send(head("/echo", 2), b"{}")
            status, headers, body = connection.answer()
            assert (status, body) == (200, b"{}")
            is_kept, count = "connection" not in headers, count + 1
        assert connection.is_ended()
        answered.append(count)
    assert (min(answered), max(answered)) == (5, 10)


def test_requests_that_were_sent_ahead_are_answered_up_to_the_last(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_requests=1)
    connection = Connection(port)
    connection.send(head("/first", 0), head("/second", 0))
    _, headers, body = connection.answer()
    assert (headers["connection"], body) == ("close", b"/first 0")
    assert connection.is_ended()  # HTTP lets the client send the second one again.


def test_refusals_count_as_requests(change: Callable[..., ConnectionContext], port: int) -> None:
    change(max_connection_requests=2, admission=admission(Stage.CLOSED))
    kept = []
    connection = Connection(port)
    while not kept or kept[-1]:
        connection.send(head("/predict", 2), b"{}")
        status, headers, _ = connection.answer()
        assert status == 503
        kept.append(headers.get("connection") != "close")
    assert len(kept) in {1, 2}


def test_an_expected_continue_does_not_keep_a_connection_longer(
    change: Callable[..., ConnectionContext], port: int
) -> None:
    change(max_connection_requests=1)
    connection = Connection(port)
    connection.send(head("/echo", 2, "expect: 100-continue"))
    connection.send(b"{}")
    status, headers, body = connection.answer(may_continue=True)
    assert (status, headers["connection"], body) == (200, "close", b"{}")


def test_without_the_setting_a_connection_is_kept(change: Callable[..., ConnectionContext]) -> None:
    assert change().draw_connection_requests() == float("inf")
