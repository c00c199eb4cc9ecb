"""Where a request ends is never ambiguous, whatever is sent and however it is split."""

import socket
import time
from collections.abc import Callable, Sequence

import orjson
import pytest
from wire import App, Connection, head, wait_until_reset

from serving.request.head import MAX_HEAD_BYTES, MAX_HEADERS
from serving.running import ConnectionContext

OFFERS = {
    "h2c, as Java's HttpClient and curl --http2 offer it": (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    ),
    "an unknown protocol": ("Connection: upgrade", "Upgrade: foo"),
    "websocket": (
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==",
    ),
    "an empty protocol": ("connection: upgrade", "upgrade: "),
    "two protocols": ("connection: upgrade", "upgrade: h2c", "upgrade: websocket"),
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /first HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n%b\r\n"


def offering(offer: Sequence[str], body: bytes) -> bytes:
    return head("/first", len(body), *offer) + body


def send_split(connection: Connection, content: bytes, places: Sequence[int]) -> None:
    """Send the content in segments that end at these places."""
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for begin, end in zip([0, *places], [*places, len(content)], strict=True):
        connection.send(content[begin:end])
        time.sleep(0.02)  # so that the kernel does not join the segments


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("cut", ["nowhere", "before the body", "within the body", "within the head"])
def test_an_offered_upgrade_does_not_change_how_a_request_is_read(
    connection: Connection, offer: Sequence[str], cut: str
) -> None:
    first = offering(offer, SMUGGLED)
    body = len(first) - len(SMUGGLED)
    places = {
        "nowhere": [],
        "before the body": [body],
        "within the body": [body + 9],
        "within the head": [40],
    }
    send_split(connection, first + head("/second", 3) + b"abc", places[cut])
    assert connection.answer()[::2] == (200, b"/first %d" % len(SMUGGLED))
    assert connection.answer()[::2] == (200, b"/second 3")


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offered_upgrade_does_not_change_how_a_chunked_request_is_read(
    connection: Connection, offer: Sequence[str]
) -> None:
    lines = "".join(f"{line}\r\n" for line in offer).encode()
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    connection.send(CHUNKED % lines, body, head("/second", 0))
    assert connection.answer()[::2] == (200, b"/first %d" % len(SMUGGLED))
    assert connection.answer()[::2] == (200, b"/second 0")


def test_many_requests_that_offer_an_upgrade_in_one_write_are_answered_in_order(
    connection: Connection,
) -> None:
    offer = OFFERS["an unknown protocol"]
    connection.send(*[head(f"/{number}", 3, *offer) + b"abc" for number in range(500)])
    assert [connection.answer()[2] for _ in range(500)] == [b"/%d 3" % number for number in range(500)]


def test_a_request_that_offers_an_upgrade_can_still_close_the_connection(connection: Connection) -> None:
    connection.send(head("/first", 0, "connection: upgrade, close", "upgrade: h2c"), head("/second", 0))
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/first 0")
    assert connection.is_ended()


def test_connect_is_refused_and_nothing_after_it_is_read(connection: Connection) -> None:
    connection.send(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", SMUGGLED)
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert "tunnel" in orjson.loads(body)["detail"]
    assert connection.is_ended()


def test_an_answer_that_is_due_is_sent_before_connect_ends_the_connection(
    held: App, connection: Connection
) -> None:
    connection.send(head("/hold", 0), b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", SMUGGLED)
    assert held.held.wait(60)
    held.go.set()
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/hold 0")
    assert connection.is_ended()


# The bounds of a head hold however it is split


def filled(size: int) -> bytes:
    """A head of this many bytes."""
    begin = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: "
    return begin + b"a" * (size - len(begin) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("part", [2**20, 40_000, 1400])
@pytest.mark.parametrize(
    ("size", "status"), [(65_000, 200), (66_000, 431), (80_000, 431), (100_000, 431), (150_000, 431)]
)
def test_whether_a_head_is_too_large_does_not_depend_on_how_it_is_split(
    connection: Connection, size: int, status: int, part: int
) -> None:
    content = filled(size)
    for begin in range(0, size, part):
        connection.send(content[begin : begin + part])
    assert connection.answer()[0] == status


def test_a_head_may_be_as_large_after_another_request_as_before(connection: Connection) -> None:
    connection.send(filled(4000))
    assert connection.answer()[0] == 200
    target = b"GET /livez?" + b"a" * 64_900
    for begin in range(0, len(target), 1400):
        connection.send(target[begin : begin + 1400])
        time.sleep(0.001)  # so that no part ends at the end of a line
    connection.send(b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert connection.answer()[0] == 200


@pytest.mark.parametrize(("count", "status"), [(MAX_HEADERS, 200), (MAX_HEADERS + 1, 431), (15_000, 431)])
def test_the_number_of_headers_is_bounded(connection: Connection, count: int, status: int) -> None:
    connection.send(b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"a:\r\n" * (count - 1), b"\r\n")
    answered, _, body = connection.answer()
    assert answered == status
    if status == 431:
        assert orjson.loads(body)["detail"] == (
            f"the request has more than {MAX_HEADERS} headers, which is the most allowed"
        )


def test_trailers_count_as_headers_of_their_own_request_only(connection: Connection) -> None:
    connection.send(CHUNKED % b"", b"0\r\n", b"a:\r\n" * (MAX_HEADERS - 2), b"\r\n")
    assert connection.answer()[::2] == (200, b"/first 0")
    connection.send(CHUNKED % b"", b"0\r\n", b"a:\r\n" * (MAX_HEADERS - 1), b"\r\n")
    assert connection.answer()[0] == 431


def test_a_head_is_refused_before_its_last_line_ends(connection: Connection) -> None:
    connection.send(b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"x-a: %b\r\n" % (b"a" * 1000) * 60)
    connection.send(b"x-b: ", b"b" * (MAX_HEAD_BYTES - 60_000))
    assert connection.answer()[0] == 431


# Corner cases from the tests of h11 and llhttp


def request(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([*lines, b"", body])


POST = b"POST /first HTTP/1.1"
HOST = b"host: x"
REFUSED = {
    "no host": request(b"GET /a HTTP/1.1"),
    "two hosts": request(b"GET /a HTTP/1.1", HOST, HOST),
    "two hosts in HTTP/1.0": request(b"GET /a HTTP/1.0", HOST, HOST),
    "a host that is a list": request(b"GET /a HTTP/1.1", b"host: a, b"),
    "a host with a path": request(b"GET /a HTTP/1.1", b"host: a/b"),
    "a host with a user": request(b"GET /a HTTP/1.1", b"host: b@a"),
    "a host with white space": request(b"GET /a HTTP/1.1", b"host: a b"),
    "a port that is not a number": request(b"GET /a HTTP/1.1", b"host: a:b"),
    "HTTP/2.0": request(b"GET /a HTTP/2.0", HOST),
    "HTTP/0.9": request(b"GET /a HTTP/0.9", HOST),
    "HTTP/1.2": request(b"GET /a HTTP/1.2", HOST),
    "no version": request(b"GET /a", HOST),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "chunked in HTTP/1.0": request(
        b"POST /first HTTP/1.0", HOST, b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "a length and chunks": request(
        POST, HOST, b"content-length: 3", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "chunks and a length": request(
        POST, HOST, b"transfer-encoding: chunked", b"content-length: 3", body=b"0\r\n\r\n"
    ),
    "chunked, but not as the last coding": request(
        POST, HOST, b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"
    ),
    "two codings": request(POST, HOST, b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "two transfer-encoding headers": request(
        POST, HOST, b"transfer-encoding: identity", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "a trailer that ends the connection": request(
        POST, HOST, b"transfer-encoding: chunked", body=b"0\r\nconnection: close\r\n\r\n"
    ),
    "a target of another host": request(b"GET http://a/first HTTP/1.1", HOST),
    "an unknown coding": request(POST, HOST, b"transfer-encoding: xchunked", body=b"0\r\n\r\n"),
    "two lengths that differ": request(POST, HOST, b"content-length: 3", b"content-length: 4", body=b"abcd"),
    "two lengths that agree": request(POST, HOST, b"content-length: 3", b"content-length: 3", body=b"abc"),
    "a list of lengths": request(POST, HOST, b"content-length: 3, 3", body=b"abc"),
    "a length with a sign": request(POST, HOST, b"content-length: +3", body=b"abc"),
    "a negative length": request(POST, HOST, b"content-length: -3", body=b"abc"),
    "a length in hexadecimal": request(POST, HOST, b"content-length: 0x3", body=b"abc"),
    "a length beyond 64 bits": request(POST, HOST, b"content-length: 18446744073709551617", body=b"a"),
    "white space before a colon": request(POST, HOST, b"content-length : 3", body=b"abc"),
    "a folded header": request(POST, HOST, b"x-a: b\r\n c", b"content-length: 3", body=b"abc"),
    "a header that begins with white space": request(POST, b" x-a: b", HOST),
    "a line that ends without a carriage return": b"POST /first HTTP/1.1\nhost: x\ncontent-length: 3\n\nabc",
    "a carriage return alone": request(POST, HOST, b"x-a: b\rcontent-length: 3"),
    "a null byte in a value": request(POST, HOST, b"x-a: b\x00"),
    "a null byte in a name": request(POST, HOST, b"x\x00a: b"),
    "an empty name": request(POST, HOST, b": b"),
    "a chunk size that is not hexadecimal": request(POST, HOST, b"transfer-encoding: chunked", body=b"g\r\n"),
    "a chunk size with a sign": request(POST, HOST, b"transfer-encoding: chunked", body=b"-1\r\n"),
    "a chunk size beyond 64 bits": request(
        POST, HOST, b"transfer-encoding: chunked", body=b"1" * 17 + b"\r\n"
    ),
    "a chunk longer than its size": request(POST, HOST, b"transfer-encoding: chunked", body=b"1\r\nabc\r\n"),
    "white space after a chunk size": request(POST, HOST, b"transfer-encoding: chunked", body=b"1 \r\na\r\n"),
    "a chunk size that ends without a carriage return": request(
        POST, HOST, b"transfer-encoding: chunked", body=b"1\na\r\n0\r\n\r\n"
    ),
    "a method in lower case": request(b"post /first HTTP/1.1", HOST),
    "a target without a slash": request(b"GET a HTTP/1.1", HOST),
}
READ = {
    "a chunk with an extension": request(
        POST, HOST, b"transfer-encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\n\r\n"
    ),
    "a chunk size with leading zeros": request(
        POST, HOST, b"transfer-encoding: chunked", body=b"003\r\nabc\r\n0\r\n\r\n"
    ),
    "a coding in capitals": request(POST, HOST, b"Transfer-Encoding: Chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "a length with leading zeros": request(POST, HOST, b"content-length: 003", body=b"abc"),
    "white space around a value": request(POST, b"host: \t x \t", b"content-length:3", body=b"abc"),
    "empty lines before the request": b"\r\n\r\n" + request(POST, HOST, b"content-length: 3", body=b"abc"),
    "an empty host": request(POST, b"host:", b"content-length: 3", body=b"abc"),
    "an IPv6 host with a port": request(POST, b"host: [::1]:80", b"content-length: 3", body=b"abc"),
    "an absolute target": request(b"POST http://x/first HTTP/1.1", HOST, b"content-length: 3", body=b"abc"),
    "bytes above ASCII in a value": request(POST, HOST, b"x-a: \xe9", b"content-length: 3", body=b"abc"),
    "HTTP/1.0 without a host": request(b"POST /first HTTP/1.0", b"content-length: 3", body=b"abc"),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_or_malformed_request_is_refused_and_ends_the_connection(
    connection: Connection, sent: bytes
) -> None:
    connection.send(sent)
    status, headers, body = connection.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert orjson.loads(body)["title"] == "Malformed request"
    assert connection.is_ended()


@pytest.mark.parametrize("sent", READ.values(), ids=READ)
def test_an_unusual_but_unambiguous_request_is_read(connection: Connection, sent: bytes) -> None:
    connection.send(sent)
    assert connection.answer()[::2] == (200, b"/first 3")


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9"])
def test_an_unsupported_http_version_is_named(connection: Connection, version: str) -> None:
    connection.send(f"GET /a {version}\r\nhost: x\r\n\r\n".encode())
    detail = orjson.loads(connection.answer()[2])["detail"]
    assert detail == f"the version is {version}; HTTP/1.1 and HTTP/1.0 are read"


# Many requests in one write, and clients that end their side early


def test_thousands_of_requests_in_one_write_are_answered_in_order(connection: Connection) -> None:
    count = 5000
    connection.send(*[head(f"/{number}", 3) + b"abc" for number in range(count)])
    assert [connection.answer()[2] for _ in range(count)] == [b"/%d 3" % number for number in range(count)]


def test_a_long_body_and_the_next_request_in_one_write_are_both_answered(connection: Connection) -> None:
    connection.send(head("/first", 1_000_000), b"x" * 1_000_000, head("/second", 3), b"abc")
    assert connection.answer()[2] == b"/first 1000000"
    assert connection.answer()[2] == b"/second 3"


def test_a_client_that_ends_its_side_after_its_requests_gets_every_answer(
    held: App, connection: Connection
) -> None:
    connection.send(head("/hold", 0), head("/second", 3), b"abc", head("/third", 40_000), b"x" * 40_000)
    connection.socket.shutdown(socket.SHUT_WR)
    assert held.held.wait(60)
    held.go.set()
    assert connection.answer(may_continue=True)[2] == b"/hold 0"
    assert connection.answer()[2] == b"/second 3"
    assert connection.answer()[2] == b"/third 40000"
    assert connection.is_ended()


def test_a_client_that_ends_its_side_within_a_request_gets_the_earlier_answers(
    held: App, connection: Connection
) -> None:
    connection.send(head("/hold", 0), head("/second", 3), b"ab")
    connection.socket.shutdown(socket.SHUT_WR)
    assert held.held.wait(60)
    held.go.set()
    assert connection.answer(may_continue=True)[2] == b"/hold 0"
    assert connection.is_ended()


def test_a_request_whose_beginning_arrived_during_another_one_is_answered(
    held: App, connection: Connection
) -> None:
    second = head("/second", 3) + b"abc"
    connection.send(head("/hold", 0))
    assert held.held.wait(60)
    connection.send(second[:20])
    time.sleep(0.1)  # so that the beginning is read before the answer
    held.go.set()
    assert connection.answer()[2] == b"/hold 0"
    connection.send(second[20:])
    assert connection.answer()[2] == b"/second 3"


def test_a_client_that_ends_its_side_after_garbage_gets_the_earlier_answer(
    held: App, connection: Connection
) -> None:
    connection.send(head("/hold", 0), b"2")
    connection.socket.shutdown(socket.SHUT_WR)
    assert held.held.wait(60)
    held.go.set()
    assert connection.answer(may_continue=True)[2] == b"/hold 0"
    assert connection.is_ended()


def test_a_connection_that_ends_with_an_answer_is_closed_although_more_was_sent(
    port: int, change: Callable[..., ConnectionContext]
) -> None:
    change(request_seconds=0.2)
    connection = Connection(port)
    with connection.socket, connection.stream:
        connection.send(b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", head("/b", 0), b"GET")
        assert connection.answer()[2] == b"/a 0"
        wait_until_reset(connection)


def test_an_http_1_0_client_gets_no_interim_answer(connection: Connection) -> None:
    connection.send(head("/first", 3, "expect: 100-continue", version="1.0"))
    connection.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.stream.readline()


def test_the_connection_ends_after_an_answer_in_place_of_100_continue(
    connection: Connection,
) -> None:
    connection.send(head("/unread", 3, "expect: 100-continue"))
    status, headers, body = connection.answer()
    assert (status, headers["connection"], body) == (200, "close", b"/unread")
    assert connection.is_ended()


def test_the_connection_stays_open_after_100_continue(connection: Connection) -> None:
    for _ in range(2):
        connection.send(head("/first", 3, "expect: 100-continue"))
        assert [connection.stream.readline(), connection.stream.readline()] == [CONTINUE, b"\r\n"]
        connection.send(b"abc")
        status, headers, _ = connection.answer()
        assert (status, headers.get("connection")) == (200, None)


def test_an_error_answer_to_head_has_no_body(connection: Connection) -> None:
    connection.send(b"HEAD /a HTTP/1.1\r\n\r\n")
    assert connection.stream.readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert connection.stream.read().endswith(b"\r\n\r\n")
